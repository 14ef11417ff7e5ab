#include "hopfix/sufficient_beta.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <stdexcept>

#include "face_conditions.hpp"
#include "matrix_game.hpp"
#include "soft_maximum.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kLeastShrink = 1e-6;

double middle(Interval x) { return 0.5 * x.lo + 0.5 * x.hi; }

// amplitude exp(-beta (margin - rate eps))
struct Term {
  double amplitude, margin, rate;
};

double total(const std::vector<Term>& terms, double beta, double eps) {
  double sum = 0;
  for (const Term& t : terms) sum += t.amplitude * std::exp(-beta * (t.margin - t.rate * eps));
  return sum;
}

// The least eps with total(terms) <= eps whose exponents are not positive; NaN if there is none.
// Newton's method from 0 for a convex function rises to its first root.
double least_thickness(const std::vector<Term>& terms, double beta) {
  double eps = 0, most = HUGE_VAL;
  for (const Term& t : terms)
    if (t.rate > 0) most = std::min(most, t.margin / t.rate);
  for (int step = 0; step < 200; ++step) {
    double value = -eps, slope = -1;
    for (const Term& t : terms) {
      const double term = t.amplitude * std::exp(-beta * (t.margin - t.rate * eps));
      value += term;
      slope += beta * t.rate * term;
    }
    if (value <= 1e-15 * eps) return eps;
    if (!(slope < 0)) return kNaN;
    eps -= value / slope;
    if (!(eps <= most)) return kNaN;
  }
  return eps;
}

// The least beta, to a relative tolerance, at which a condition holds that holds at every larger
// one; `start` > 0 is a guess, `least` is known to be too small or the answer. Infinite beyond
// 1e18 times the guess.
template <class Condition>
double least_beta(const Condition& holds, double least, double start, double tolerance) {
  if (holds(least)) return least;
  double high = std::max(start, least), low = least;
  const double limit = 1e18 * high;
  while (!holds(high)) {
    low = high;
    high *= 2;
    if (!(high < limit)) return HUGE_VAL;
  }
  while (high - low > tolerance * high) {
    const double centre = low > 0 && high > 4 * low ? std::sqrt(low * high) : 0.5 * (low + high);
    if (!(centre > low && centre < high)) break;
    (holds(centre) ? high : low) = centre;
  }
  return high;
}

// One face at one shrinkage, in plain double.
class Trial {
 public:
  Trial(const FaceGeometry& geometry, BetaMethod method, double shrink)
      : g_(geometry),
        k_(geometry.size()),
        q_(geometry.others()),
        lemma_(method == BetaMethod::kLemma),
        shrink_(shrink),
        theta_((1 - shrink) / static_cast<double>(k_)),
        game_(k_),
        facet_game_(lemma_ ? std::max<ptrdiff_t>(1, k_ - 1) : k_) {
    witness.margin_strategies.resize(static_cast<size_t>(q_ * k_));
    play_margins();
    if (k_ == 1) return;
    witness.facet_strategies.resize(static_cast<size_t>(k_ * q_ * k_));
    witness.facet_weights.resize(static_cast<size_t>(k_ * k_));
    for (ptrdiff_t i = 0; i < k_; ++i) play_facet(i);
  }

  // The least sufficient beta; improves the facets' weights on the way.
  double solve(double tolerance) {
    std::vector<Term> inward;
    if (!inward_terms(inward)) return HUGE_VAL;
    double beta = 0;
    if (!inward.empty())
      beta = least_beta([&](double b) { return least_thickness(inward, b) >= 0; }, 0,
                        1 / (g_.longest() * g_.longest()), tolerance);
    if (!(beta < HUGE_VAL) || k_ == 1) return beta;
    inward_ = inward;
    const double least = beta;
    std::vector<double> roots(static_cast<size_t>(k_));
    for (ptrdiff_t i = 0; i < k_; ++i) {
      roots[static_cast<size_t>(i)] = root(i, least, tolerance);
      if (!(roots[static_cast<size_t>(i)] < HUGE_VAL)) return HUGE_VAL;
    }
    // The tangent of a convex function at its root's upper bound gives a better one (Newton).
    for (int step = 0; step < 50 * static_cast<int>(k_); ++step) {
      const auto largest = std::max_element(roots.begin(), roots.end());
      beta = std::max(least, *largest);
      if (lemma_ || beta == least) break;
      const ptrdiff_t i = largest - roots.begin();
      const std::vector<double> old = witness.facet_weights;
      const double old_entropy = entropies_[static_cast<size_t>(i)];
      const double old_slope = slopes_[static_cast<size_t>(i)];
      const auto k = static_cast<size_t>(k_);
      set_weights(i, SoftMaximum(own_payoffs(i), k, k - 1, beta).minimize());
      const double better = root(i, least, tolerance);
      if (!(better < beta)) {
        witness.facet_weights = old;
        entropies_[static_cast<size_t>(i)] = old_entropy;
        slopes_[static_cast<size_t>(i)] = old_slope;
        break;
      }
      *largest = better;
      if (better > beta * (1 - tolerance)) break;
    }
    return std::max(least, *std::max_element(roots.begin(), roots.end()));
  }

  double thickness(double beta) const {
    std::vector<Term> inward;
    if (!inward_terms(inward)) return kNaN;
    return inward.empty() ? g_.largest_distance() : least_thickness(inward, beta);
  }

  FaceWitness witness;

 private:
  // (x_m - y) . v_l given x_l . y and their sum.
  template <class Inner>
  double payoff(ptrdiff_t m, ptrdiff_t l, double inner_sum, const Inner& inner) const {
    return theta_ * (middle(g_.inner_sum(m)) - inner_sum) +
           shrink_ * (middle(g_.inner(m, l)) - inner(l));
  }

  double outside_payoff(ptrdiff_t m, ptrdiff_t l, ptrdiff_t j) const {
    return payoff(m, l, middle(g_.outer_sum(j)),
                  [&](ptrdiff_t v) { return middle(g_.outer(v, j)); });
  }

  double own_payoff(ptrdiff_t m, ptrdiff_t l, ptrdiff_t i) const {
    return payoff(m, l, middle(g_.inner_sum(i)),
                  [&](ptrdiff_t v) { return middle(g_.inner(v, i)); });
  }

  // Rows m of the face, columns l != i, for the pattern i itself.
  std::vector<double> own_payoffs(ptrdiff_t i) const {
    std::vector<double> payoffs;
    for (ptrdiff_t m = 0; m < k_; ++m)
      for (ptrdiff_t l = 0; l < k_; ++l)
        if (l != i) payoffs.push_back(own_payoff(m, l, i));
    return payoffs;
  }

  // Least entry over columns l != left_out of the strategy's payoffs; a strategy of sum 1.
  template <class Payoff>
  double value(const double* strategy, const Payoff& entry, ptrdiff_t left_out) const {
    double least = HUGE_VAL;
    for (ptrdiff_t l = 0; l < k_; ++l) {
      if (l == left_out) continue;
      double sum = 0;
      for (ptrdiff_t m = 0; m < k_; ++m)
        if (strategy[m] > 0) sum += strategy[m] * entry(m, l);
      least = std::min(least, sum);
    }
    return least;
  }

  // Solves the game with rows m != rows_without and columns l != columns_without (-1: all), which
  // must be square after repeating a column, and writes the rows' strategy over the whole face.
  template <class Payoff>
  void play(MatrixGame& game, const Payoff& entry, ptrdiff_t rows_without,
            ptrdiff_t columns_without, double* strategy) {
    payoffs_.clear();
    for (ptrdiff_t m = 0; m < k_; ++m) {
      if (m == rows_without) continue;
      for (ptrdiff_t l = 0; l < k_; ++l) {
        if (l != columns_without) {
          payoffs_.push_back(entry(m, l));
        } else if (rows_without < 0) {
          payoffs_.push_back(entry(m, (l + 1) % k_));
        }
      }
    }
    game.solve(payoffs_);
    const double sum = std::accumulate(game.rows.begin(), game.rows.end(), 0.0);
    ptrdiff_t row = 0;
    for (ptrdiff_t m = 0; m < k_; ++m)
      strategy[m] = m == rows_without ? 0 : game.rows[static_cast<size_t>(row++)] / sum;
  }

  void play_margins() {
    for (ptrdiff_t j = 0; j < q_; ++j) {
      double* strategy = witness.margin_strategies.data() + j * k_;
      const auto entry = [&](ptrdiff_t m, ptrdiff_t l) { return outside_payoff(m, l, j); };
      play(game_, entry, -1, -1, strategy);
      margins_.push_back(value(strategy, entry, -1));
    }
  }

  // The lemma's games do not use pattern i itself, and need all patterns outside.
  void play_facet(ptrdiff_t i) {
    const ptrdiff_t without = lemma_ ? i : -1;
    for (ptrdiff_t j = 0; j < q_; ++j) {
      double* strategy = witness.facet_strategies.data() + (i * q_ + j) * k_;
      const auto entry = [&](ptrdiff_t m, ptrdiff_t l) { return outside_payoff(m, l, j); };
      const double excess = std::max(0.0, g_.coordinate(i, j) - theta_);
      excesses_.push_back(excess);
      if (excess > 0 || lemma_) {
        play(facet_game_, entry, without, i, strategy);
        facet_margins_.push_back(value(strategy, entry, i));
      } else {
        std::fill(strategy, strategy + k_, 1.0);
        facet_margins_.push_back(kNaN);  // of no consequence
      }
    }
    std::vector<double> weights(static_cast<size_t>(k_));
    const auto entry = [&](ptrdiff_t m, ptrdiff_t l) { return own_payoff(m, l, i); };
    play(facet_game_, entry, without, i, weights.data());
    entropies_.push_back(0);
    slopes_.push_back(0);
    set_weights(i, weights);
  }

  void set_weights(ptrdiff_t i, const std::vector<double>& weights) {
    std::copy(weights.begin(), weights.end(), witness.facet_weights.begin() + i * k_);
    const auto entry = [&](ptrdiff_t m, ptrdiff_t l) { return own_payoff(m, l, i); };
    entropies_[static_cast<size_t>(i)] = entropy(weights);
    slopes_[static_cast<size_t>(i)] = value(weights.data(), entry, i);
  }

  // The terms whose sum must not exceed the thickness; none where the patterns outside are none or
  // in the face's affine hull. False if a margin forbids every thickness.
  bool inward_terms(std::vector<Term>& terms) const {
    if (q_ == 0 || g_.flat()) return true;
    if (lemma_) {
      const double least = *std::min_element(margins_.begin(), margins_.end());
      terms.push_back({2 * g_.longest() * static_cast<double>(q_), least, g_.largest_distance()});
      return least > 0;
    }
    for (ptrdiff_t j = 0; j < q_; ++j) {
      const double distance = g_.distance(j), margin = margins_[static_cast<size_t>(j)];
      if (distance == 0) continue;
      if (!(margin > 0)) return false;
      terms.push_back({distance, margin, distance});
    }
    return true;
  }

  // The least beta >= `least` at which the witness proves facet i to push outwards.
  double root(ptrdiff_t i, double least, double tolerance) const {
    const double slope = slopes_[static_cast<size_t>(i)];
    const double bits = entropies_[static_cast<size_t>(i)];
    if (!(slope > 1e-14 * g_.longest() * g_.longest() * shrink_)) return HUGE_VAL;
    const double alone = (-std::log(theta_) - bits) / slope;
    std::vector<Term> terms;
    if (!outward_terms(i, slope, terms)) return HUGE_VAL;
    if (terms.empty()) return std::max(least, alone);
    const auto holds = [&](double beta) {
      const double eps = inward_.empty() ? g_.largest_distance() : least_thickness(inward_, beta);
      if (!(eps >= 0)) return false;
      for (const Term& t : terms)
        if (!(t.margin - t.rate * eps >= 0)) return false;
      const double rest = theta_ - total(terms, beta, eps);
      return rest > 0 && bits + beta * slope >= -std::log(rest);
    };
    return least_beta(holds, std::max(least, alone), std::max(least, alone), tolerance);
  }

  bool outward_terms(ptrdiff_t i, double slope, std::vector<Term>& terms) const {
    double least = slope, largest = 1;
    for (ptrdiff_t j = 0; j < q_; ++j) {
      const size_t at = static_cast<size_t>(i * q_ + j);
      const double margin = facet_margins_[at];
      if (lemma_) {
        least = std::min(least, margin);
        largest = std::max(largest, g_.coordinate(i, j));
      } else if (excesses_[at] > 0) {
        if (!(margin >= 0)) return false;
        terms.push_back({excesses_[at], margin, g_.distance(j)});
      }
    }
    if (lemma_ && q_ > 0)
      terms.push_back({static_cast<double>(q_ + 1) * largest, least, g_.largest_distance()});
    return !lemma_ || least > 0;
  }

  const FaceGeometry& g_;
  ptrdiff_t k_, q_;
  bool lemma_;
  double shrink_, theta_;
  MatrixGame game_, facet_game_;
  std::vector<double> payoffs_, margins_, facet_margins_, excesses_, entropies_, slopes_;
  std::vector<Term> inward_;
};

SufficientBeta none(const char* reason) { return {HUGE_VAL, kNaN, kNaN, reason, {}}; }

// The numbers of a trial, enlarged until the rigorous conditions hold.
SufficientBeta proved(const FaceGeometry& geometry, BetaMethod method, double shrink) {
  Trial trial(geometry, method, shrink);
  const double found = trial.solve(1e-14);
  if (!(found < HUGE_VAL)) return none("no shrinkage tried satisfies the conditions at any beta");
  const FaceConditions conditions(geometry, shrink, trial.witness);
  for (double slack = 0; slack < 0.1; slack = std::max(1e-15, 2 * slack)) {
    const double beta = found * (1 + slack), least = trial.thickness(beta);
    for (const double eps : {least, least * (1 + 1e-12), least * (1 + 1e-6)})
      if (conditions.hold(beta, eps)) return {beta, shrink, eps, "", std::move(trial.witness)};
  }
  return none("rounding leaves the conditions open");
}

// Shrinkages to try, by x with alpha = 1 / (1 + exp(-x)).
double shrink_at(double x) {
  return std::clamp(1 / (1 + std::exp(-x)), kLeastShrink, 1 - kLeastShrink);
}

struct Search {
  std::unique_ptr<FaceGeometry> geometry;
  double best = HUGE_VAL, centre = 0;
};

// beta at every x of a grid for every face that is still of interest.
void refine(std::vector<Search>& searches, const std::vector<double>& offsets, BetaMethod method,
            const Execution& execution) {
  const auto points = static_cast<ptrdiff_t>(offsets.size());
  std::vector<double> values(searches.size() * offsets.size(), HUGE_VAL);
  parallel_for(static_cast<ptrdiff_t>(values.size()), execution, [&](ptrdiff_t task, int) {
    const Search& search = searches[static_cast<size_t>(task / points)];
    if (search.geometry == nullptr) return;
    const double x = search.centre + offsets[static_cast<size_t>(task % points)];
    Trial trial(*search.geometry, method, shrink_at(x));
    values[static_cast<size_t>(task)] = trial.solve(1e-9);
  });
  for (size_t s = 0; s < searches.size(); ++s) {
    const double* row = values.data() + s * offsets.size();
    const double* least = std::min_element(row, row + points);
    if (!(*least < searches[s].best)) continue;
    searches[s].best = *least;
    searches[s].centre += offsets[static_cast<size_t>(least - row)];
  }
}

void require_sound_arithmetic() {
  if (!arithmetic_is_sound())
    throw std::runtime_error(
        "sufficient_beta: this thread does not compute in round-to-nearest IEEE doubles, so that "
        "nothing can be proved");
}

}  // namespace

std::vector<SufficientBeta> sufficient_betas(const double* patterns, ptrdiff_t n, ptrdiff_t dim,
                                             const std::int64_t* faces, ptrdiff_t count,
                                             ptrdiff_t size, const SufficientBetaOptions& options,
                                             const Execution& execution) {
  require_sound_arithmetic();
  std::vector<SufficientBeta> answers(static_cast<size_t>(count), none(""));
  std::vector<Search> searches(static_cast<size_t>(count));
  parallel_for(count, execution, [&](ptrdiff_t f, int) {
    auto geometry =
        std::make_unique<FaceGeometry>(patterns, n, dim, faces + f * size, size, options.isolated);
    SufficientBeta& answer = answers[static_cast<size_t>(f)];
    if (!geometry->finite()) {
      answer.reason = "the patterns are too large: inner products may overflow";
    } else if (!geometry->independent()) {
      answer.reason = "the patterns of the face are affinely dependent, or nearly so";
    } else {
      searches[static_cast<size_t>(f)].geometry = std::move(geometry);
    }
  });
  const bool search = options.shrink == 0 && size > 1;
  if (search) {
    std::vector<double> offsets;
    for (int x = -14; x <= 14; ++x) offsets.push_back(x);
    refine(searches, offsets, options.method, execution);
    for (double step = 0.25; step > 1e-4; step *= 0.25) {
      offsets.clear();
      for (int x : {-3, -2, -1, 1, 2, 3}) offsets.push_back(step * x);
      refine(searches, offsets, options.method, execution);
    }
  }
  parallel_for(count, execution, [&](ptrdiff_t f, int) {
    const Search& found = searches[static_cast<size_t>(f)];
    if (found.geometry == nullptr) return;
    double shrink = options.shrink > 0 ? options.shrink : shrink_at(found.centre);
    if (size == 1) shrink = options.shrink > 0 ? options.shrink : 0.5;  // of no consequence
    answers[static_cast<size_t>(f)] = proved(*found.geometry, options.method, shrink);
  });
  return answers;
}

bool proves_sufficient_beta(const double* patterns, ptrdiff_t n, ptrdiff_t dim,
                            const std::int64_t* face, ptrdiff_t size, bool isolated,
                            const SufficientBeta& claim) {
  require_sound_arithmetic();
  if (!(claim.shrink > 0 && claim.shrink < 1)) return false;
  const FaceGeometry geometry(patterns, n, dim, face, size, isolated);
  if (!geometry.finite() || !geometry.independent()) return false;
  return FaceConditions(geometry, claim.shrink, claim.witness).hold(claim.beta, claim.thickness);
}

}  // namespace hopfix
