// The search behind sufficient_beta.cpp, in plain double: what it finds is then proved.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <vector>

#include "face_conditions.hpp"
#include "hopfix/sufficient_beta.hpp"
#include "matrix_game.hpp"
#include "soft_maximum.hpp"

namespace hopfix {

// amplitude exp(-x), x = beta (margin - rate eps), enlarged by an entropy where it then reaches
// the log of the number of patterns of the face: see FaceConditions::log_ratio.
struct ExponentialTerm {
  double amplitude, margin, rate, entropy = 0, threshold = HUGE_VAL;

  double value(double beta, double eps) const {
    const double hard = beta * (margin - rate * eps), soft = hard + entropy;
    return amplitude * std::exp(-(soft >= threshold ? soft : hard));
  }
};

inline double sum_of(const std::vector<ExponentialTerm>& terms, double beta, double eps) {
  double sum = 0;
  for (const ExponentialTerm& t : terms) sum += t.value(beta, eps);
  return sum;
}

// The least eps with sum_of(terms) <= eps whose exponents are not positive; NaN if there is none.
// Newton's method from 0 for a convex function rises to its first root.
inline double least_thickness(const std::vector<ExponentialTerm>& terms, double beta) {
  double eps = 0, most = HUGE_VAL;
  for (const ExponentialTerm& t : terms)
    if (t.rate > 0) most = std::min(most, t.margin / t.rate);
  for (int step = 0; step < 200; ++step) {
    double value = -eps, slope = -1;
    for (const ExponentialTerm& t : terms) {
      const double term = t.value(beta, eps);
      value += term;
      slope += beta * t.rate * term;
    }
    if (value <= 1e-15 * eps) return eps;
    if (!(slope < 0)) return std::numeric_limits<double>::quiet_NaN();
    eps -= value / slope;
    if (!(eps <= most)) return std::numeric_limits<double>::quiet_NaN();
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
class BetaTrial {
 public:
  BetaTrial(const FaceGeometry& geometry, BetaMethod method, double shrink)
      : geometry_(&geometry),
        k_(geometry.size()),
        q_(geometry.others()),
        lemma_(method == BetaMethod::kLemma),
        shrink_(shrink),
        theta_((1 - shrink) / static_cast<double>(k_)),
        log_size_(std::log(static_cast<double>(k_)) * (1 + 1e-14)),
        game_(k_),
        facet_game_(lemma_ ? std::max<std::ptrdiff_t>(1, k_ - 1) : k_) {
    witness.margin_strategies.resize(static_cast<std::size_t>(q_ * k_));
    play_margins();
    if (k_ == 1) return;
    witness.facet_strategies.resize(static_cast<std::size_t>(k_ * q_ * k_));
    witness.facet_weights.resize(static_cast<std::size_t>(k_ * k_));
    for (std::ptrdiff_t i = 0; i < k_; ++i) play_facet(i);
  }

  // The same with the strategies against patterns outside made best for it, again and again: by
  // weak duality a strategy y bounds the log of the face's weight over that of pattern j by
  // H(y) + beta margin(y), of which the games' strategies only maximise the margin.
  double solve_softly(double tolerance) {
    double beta = solve(tolerance);
    for (int round = 0; round < 20 && !lemma_ && q_ > 0 && beta < HUGE_VAL; ++round) {
      const BetaTrial before = *this;
      soften(beta);
      const double better = solve(tolerance);
      if (!(better < beta)) {
        *this = before;
        break;
      }
      const bool last = better > beta * (1 - tolerance);
      beta = better;
      if (last) break;
    }
    return beta;
  }

  // The least sufficient beta; improves the facets' weights on the way.
  double solve(double tolerance) {
    inward_.clear();
    std::vector<ExponentialTerm> inward;
    if (!inward_terms(inward)) return HUGE_VAL;
    double beta = 0;
    if (!inward.empty())
      beta = least_beta([&](double b) { return least_thickness(inward, b) >= 0; }, 0,
                        1 / (geometry_->longest() * geometry_->longest()), tolerance);
    if (!(beta < HUGE_VAL) || k_ == 1) return beta;
    inward_ = inward;
    const double least = beta;
    std::vector<double> roots(static_cast<std::size_t>(k_));
    for (std::ptrdiff_t i = 0; i < k_; ++i) {
      roots[static_cast<std::size_t>(i)] = root(i, least, tolerance);
      if (!(roots[static_cast<std::size_t>(i)] < HUGE_VAL)) return HUGE_VAL;
    }
    // The tangent of a convex function at its root's upper bound gives a better one (Newton).
    for (int step = 0; step < 50 * static_cast<int>(k_); ++step) {
      const auto largest = std::max_element(roots.begin(), roots.end());
      beta = std::max(least, *largest);
      if (lemma_ || beta == least) break;
      const std::ptrdiff_t i = largest - roots.begin();
      const std::vector<double> old = witness.facet_weights;
      const double old_entropy = entropies_[static_cast<std::size_t>(i)];
      const double old_slope = slopes_[static_cast<std::size_t>(i)];
      const auto k = static_cast<std::size_t>(k_);
      set_weights(i, SoftMaximum(own_payoffs(i), k, k - 1, beta).minimize());
      const double better = root(i, least, tolerance);
      if (!(better < beta)) {
        witness.facet_weights = old;
        entropies_[static_cast<std::size_t>(i)] = old_entropy;
        slopes_[static_cast<std::size_t>(i)] = old_slope;
        break;
      }
      *largest = better;
      if (better > beta * (1 - tolerance)) break;
    }
    return std::max(least, *std::max_element(roots.begin(), roots.end()));
  }

  double thickness(double beta) const {
    std::vector<ExponentialTerm> inward;
    if (!inward_terms(inward)) return std::numeric_limits<double>::quiet_NaN();
    return inward.empty() ? geometry_->largest_distance() : least_thickness(inward, beta);
  }

  FaceWitness witness;

 private:
  static double centre_of(Interval x) { return 0.5 * x.lo + 0.5 * x.hi; }

  // What a strategy proves of a pattern outside.
  struct Bound {
    double margin, entropy;
  };

  // (x_m - y) . v_l given x_l . y and their sum.
  template <class Inner>
  double payoff(std::ptrdiff_t m, std::ptrdiff_t l, double inner_sum, const Inner& inner) const {
    return theta_ * (centre_of(geometry_->inner_sum(m)) - inner_sum) +
           shrink_ * (centre_of(geometry_->inner(m, l)) - inner(l));
  }

  double outside_payoff(std::ptrdiff_t m, std::ptrdiff_t l, std::ptrdiff_t j) const {
    return payoff(m, l, centre_of(geometry_->outer_sum(j)),
                  [&](std::ptrdiff_t v) { return centre_of(geometry_->outer(v, j)); });
  }

  double own_payoff(std::ptrdiff_t m, std::ptrdiff_t l, std::ptrdiff_t i) const {
    return payoff(m, l, centre_of(geometry_->inner_sum(i)),
                  [&](std::ptrdiff_t v) { return centre_of(geometry_->inner(v, i)); });
  }

  // Rows m of the face, columns l != i, for the pattern i itself.
  std::vector<double> own_payoffs(std::ptrdiff_t i) const {
    std::vector<double> payoffs;
    for (std::ptrdiff_t m = 0; m < k_; ++m)
      for (std::ptrdiff_t l = 0; l < k_; ++l)
        if (l != i) payoffs.push_back(own_payoff(m, l, i));
    return payoffs;
  }

  double entropy(const double* strategy) const {
    return hopfix::entropy(std::vector<double>(strategy, strategy + k_));
  }

  // The strategy over the face that bounds log sum exp(beta payoffs) best.
  template <class Payoff>
  Bound best_at(double beta, const Payoff& entry, std::ptrdiff_t left_out, double* strategy) const {
    std::vector<double> payoffs;
    for (std::ptrdiff_t m = 0; m < k_; ++m)
      for (std::ptrdiff_t l = 0; l < k_; ++l)
        if (l != left_out) payoffs.push_back(entry(m, l));
    const auto rows = static_cast<std::size_t>(k_);
    const std::vector<double> best =
        SoftMaximum(payoffs, rows, payoffs.size() / rows, beta).minimize();
    std::copy(best.begin(), best.end(), strategy);
    return {value(strategy, entry, left_out), hopfix::entropy(best)};
  }

  // Patterns that weigh nothing keep their strategies.
  void soften(double beta) {
    const auto matters = [&](const Bound& bound) { return beta * bound.margin < 60; };
    for (std::ptrdiff_t j = 0; j < q_; ++j) {
      const auto entry = [&](std::ptrdiff_t m, std::ptrdiff_t l) {
        return outside_payoff(m, l, j);
      };
      Bound& bound = margins_[static_cast<std::size_t>(j)];
      if (matters(bound))
        bound = best_at(beta, entry, -1, witness.margin_strategies.data() + j * k_);
      for (std::ptrdiff_t i = 0; i < k_ && k_ > 1; ++i) {
        const std::size_t at = static_cast<std::size_t>(i * q_ + j);
        if (excesses_[at] > 0 && matters(facet_margins_[at]))
          facet_margins_[at] =
              best_at(beta, entry, i,
                      witness.facet_strategies.data() + static_cast<std::ptrdiff_t>(at) * k_);
      }
    }
  }

  // Least entry over columns l != left_out of the strategy's payoffs; a strategy of sum 1.
  template <class Payoff>
  double value(const double* strategy, const Payoff& entry, std::ptrdiff_t left_out) const {
    double least = HUGE_VAL;
    for (std::ptrdiff_t l = 0; l < k_; ++l) {
      if (l == left_out) continue;
      double sum = 0;
      for (std::ptrdiff_t m = 0; m < k_; ++m)
        if (strategy[m] > 0) sum += strategy[m] * entry(m, l);
      least = std::min(least, sum);
    }
    return least;
  }

  // Solves the game with rows m != rows_without and columns l != columns_without (-1: all), which
  // must be square after repeating a column, and writes the rows' strategy over the whole face.
  template <class Payoff>
  void play(MatrixGame& game, const Payoff& entry, std::ptrdiff_t rows_without,
            std::ptrdiff_t columns_without, double* strategy) {
    payoffs_.clear();
    for (std::ptrdiff_t m = 0; m < k_; ++m) {
      if (m == rows_without) continue;
      for (std::ptrdiff_t l = 0; l < k_; ++l) {
        if (l != columns_without) {
          payoffs_.push_back(entry(m, l));
        } else if (rows_without < 0) {
          payoffs_.push_back(entry(m, (l + 1) % k_));
        }
      }
    }
    game.solve(payoffs_);
    const double sum = std::accumulate(game.rows.begin(), game.rows.end(), 0.0);
    std::ptrdiff_t row = 0;
    for (std::ptrdiff_t m = 0; m < k_; ++m)
      strategy[m] = m == rows_without ? 0 : game.rows[static_cast<std::size_t>(row++)] / sum;
  }

  void play_margins() {
    for (std::ptrdiff_t j = 0; j < q_; ++j) {
      double* strategy = witness.margin_strategies.data() + j * k_;
      const auto entry = [&](std::ptrdiff_t m, std::ptrdiff_t l) {
        return outside_payoff(m, l, j);
      };
      play(game_, entry, -1, -1, strategy);
      margins_.push_back({value(strategy, entry, -1), entropy(strategy)});
    }
  }

  // The lemma's games do not use pattern i itself, and need all patterns outside.
  void play_facet(std::ptrdiff_t i) {
    const std::ptrdiff_t without = lemma_ ? i : -1;
    for (std::ptrdiff_t j = 0; j < q_; ++j) {
      double* strategy = witness.facet_strategies.data() + (i * q_ + j) * k_;
      const auto entry = [&](std::ptrdiff_t m, std::ptrdiff_t l) {
        return outside_payoff(m, l, j);
      };
      const double excess = std::max(0.0, geometry_->coordinate(i, j) - theta_);
      excesses_.push_back(excess);
      if (excess > 0 || lemma_) {
        play(facet_game_, entry, without, i, strategy);
        facet_margins_.push_back({value(strategy, entry, i), entropy(strategy)});
      } else {
        std::fill(strategy, strategy + k_, 1.0);
        facet_margins_.push_back(
            {std::numeric_limits<double>::quiet_NaN(), 0});  // of no consequence
      }
    }
    std::vector<double> weights(static_cast<std::size_t>(k_));
    const auto entry = [&](std::ptrdiff_t m, std::ptrdiff_t l) { return own_payoff(m, l, i); };
    play(facet_game_, entry, without, i, weights.data());
    entropies_.push_back(0);
    slopes_.push_back(0);
    set_weights(i, weights);
  }

  void set_weights(std::ptrdiff_t i, const std::vector<double>& weights) {
    std::copy(weights.begin(), weights.end(), witness.facet_weights.begin() + i * k_);
    const auto entry = [&](std::ptrdiff_t m, std::ptrdiff_t l) { return own_payoff(m, l, i); };
    entropies_[static_cast<std::size_t>(i)] = hopfix::entropy(weights);
    slopes_[static_cast<std::size_t>(i)] = value(weights.data(), entry, i);
  }

  // The terms whose sum must not exceed the thickness; none where the patterns outside are none or
  // in the face's affine hull. False if a margin forbids every thickness.
  bool inward_terms(std::vector<ExponentialTerm>& terms) const {
    if (q_ == 0 || geometry_->flat()) return true;
    if (lemma_) {
      double least = HUGE_VAL;
      for (const Bound& bound : margins_) least = std::min(least, bound.margin);
      terms.push_back({2 * geometry_->longest() * static_cast<double>(q_), least,
                       geometry_->largest_distance()});
      return least > 0;
    }
    for (std::ptrdiff_t j = 0; j < q_; ++j) {
      const double distance = geometry_->distance(j);
      const Bound& bound = margins_[static_cast<std::size_t>(j)];
      if (distance == 0) continue;
      if (!(bound.margin > 0)) return false;
      terms.push_back({distance, bound.margin, distance, bound.entropy, log_size_});
    }
    return true;
  }

  // The least beta >= `least` at which the witness proves facet i to push outwards.
  double root(std::ptrdiff_t i, double least, double tolerance) const {
    const double slope = slopes_[static_cast<std::size_t>(i)];
    const double bits = entropies_[static_cast<std::size_t>(i)];
    if (!(slope > 1e-14 * geometry_->longest() * geometry_->longest() * shrink_)) return HUGE_VAL;
    const double alone = (-std::log(theta_) - bits) / slope;
    std::vector<ExponentialTerm> terms;
    if (!outward_terms(i, slope, terms)) return HUGE_VAL;
    if (terms.empty()) return std::max(least, alone);
    const auto holds = [&](double beta) {
      const double eps =
          inward_.empty() ? geometry_->largest_distance() : least_thickness(inward_, beta);
      if (!(eps >= 0)) return false;
      for (const ExponentialTerm& t : terms)
        if (!(t.margin - t.rate * eps >= 0)) return false;
      const double rest = theta_ - sum_of(terms, beta, eps);
      return rest > 0 && bits + beta * slope >= -std::log(rest);
    };
    return least_beta(holds, std::max(least, alone), std::max(least, alone), tolerance);
  }

  bool outward_terms(std::ptrdiff_t i, double slope, std::vector<ExponentialTerm>& terms) const {
    double least = slope, largest = 1;
    for (std::ptrdiff_t j = 0; j < q_; ++j) {
      const std::size_t at = static_cast<std::size_t>(i * q_ + j);
      const double margin = facet_margins_[at].margin;
      if (lemma_) {
        least = std::min(least, margin);
        largest = std::max(largest, geometry_->coordinate(i, j));
      } else if (excesses_[at] > 0) {
        if (!(margin >= 0)) return false;
        terms.push_back(
            {excesses_[at], margin, geometry_->distance(j), facet_margins_[at].entropy, log_size_});
      }
    }
    if (lemma_ && q_ > 0)
      terms.push_back(
          {static_cast<double>(q_ + 1) * largest, least, geometry_->largest_distance()});
    return !lemma_ || least > 0;
  }

  const FaceGeometry* geometry_;
  std::ptrdiff_t k_, q_;
  bool lemma_;
  double shrink_, theta_, log_size_;
  MatrixGame game_, facet_game_;
  std::vector<double> payoffs_, excesses_, entropies_, slopes_;
  std::vector<Bound> margins_, facet_margins_;
  std::vector<ExponentialTerm> inward_;
};

}  // namespace hopfix
