#include "weight_contractor.hpp"

#include <algorithm>
#include <cmath>

#include "hopfix/interval.hpp"
#include "hopfix/parallel.hpp"
#include "hopfix/rounding.hpp"
#include "small_inverse.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

constexpr double kUnit = kUnitRoundoff;
// A sum of non-negative terms, fewer than 2,000 roundings deep, times this is above the exact one.
constexpr double kAbove = 1 + 1e-12;
constexpr double kTiny = 1e-290;  // covers what underflow loses in any sum here
constexpr double kSubnormal = 0x1p-1060, kLargest = std::numeric_limits<double>::max();

size_t at(ptrdiff_t i) { return static_cast<size_t>(i); }

// One weight of a box, shrunk by what is known of it; false where nothing is left.
class Weight {
 public:
  Weight(WeightBox& box, ptrdiff_t i)
      : lo_(box.lo()[i]),
        hi_(box.hi()[i]),
        log_lo_(box.log_lo()[i]),
        log_hi_(box.log_hi()[i]),
        before_{lo_, hi_, log_lo_, log_hi_} {}

  bool within(double low, double high) {
    lo_ = std::max(lo_, low);
    hi_ = std::min(hi_, high);
    return lo_ <= hi_;
  }
  bool log_within(double low, double high) {
    log_lo_ = std::max(log_lo_, low);
    log_hi_ = std::min(log_hi_, high);
    return log_lo_ <= log_hi_;
  }
  // Carries bounds that have changed over to the other kind. Afterwards lo >= exp_down(log_lo) and
  // log_lo >= log_down(lo), if that held before, and likewise for hi.
  bool agree() {
    const bool new_lo = lo_ != before_[0], new_hi = hi_ != before_[1];
    if (log_lo_ != before_[2]) lo_ = std::max(lo_, exp_down(log_lo_));
    if (log_hi_ != before_[3]) hi_ = std::min(hi_, exp_up(log_hi_));
    if (new_lo) log_lo_ = std::max(log_lo_, log_down(lo_));
    if (new_hi) log_hi_ = std::min(log_hi_, log_up(hi_));
    return lo_ <= hi_ && log_lo_ <= log_hi_;
  }

 private:
  double &lo_, &hi_, &log_lo_, &log_hi_;
  const double before_[4];
};

// The rules at work on one box.
class Contraction {
 public:
  enum class Newton { empty, useless, done };

  Contraction(const WeightForm& form, WeightBox& box, WeightContractor::Workspace& work)
      : form_(form), n_(form.size()), box_(box), w_(work) {}

  bool by_sum();
  bool by_scores();
  Newton by_newton();
  bool follow_the_live();

  double bend() const {
    double most = 0;
    for (ptrdiff_t i = 0; i < n_; ++i) most = std::max(most, box_.bend(i));
    return most;
  }

 private:
  // A weight is dead where it is below this and moves no score by as much.
  static constexpr double kDead = 2e-4;

  void measure_rest() {
    rest_ = 1;
    for (ptrdiff_t k = 0; k < n_; ++k) rest_ -= box_.lo()[k];
  }
  Interval score_range(ptrdiff_t i, ptrdiff_t r) const;
  double knapsack(ptrdiff_t i, ptrdiff_t r, double start, bool largest) const;

  void choose_live();
  void linearise();
  void set_up_equations();
  bool invert();
  Newton solve();
  bool narrow_live(ptrdiff_t a, double centre, double radius, double own);

  ptrdiff_t order() const { return static_cast<ptrdiff_t>(w_.live.size()) - 1; }

  const WeightForm& form_;
  const ptrdiff_t n_;
  WeightBox& box_;
  WeightContractor::Workspace& w_;
  double rest_ = 0;                    // 1 - sum lo of the box as it is, for score_range
  double dead_ = 0, dead_radius_ = 0;  // the mass of the dead patterns
};

bool Contraction::by_sum() {
  double low = 0, high = 0;
  for (ptrdiff_t i = 0; i < n_; ++i) {
    low += box_.lo()[i];
    high += box_.hi()[i];
  }
  const double rounding = static_cast<double>(2 * n_ + 16) * kUnit;
  const double low_error = rounding * (1 + low), high_error = rounding * (1 + high);
  if (low - low_error > 1 || high + high_error < 1) return false;
  for (ptrdiff_t i = 0; i < n_; ++i) {
    Weight weight(box_, i);
    if (!weight.within(1 - (high - box_.hi()[i]) - high_error,
                       1 - (low - box_.lo()[i]) + low_error) ||
        !weight.agree())
      return false;
  }
  return true;
}

// The least (largest) sum_k C^r_ik p_k over box and simplex, from `start` = sum_k C^r_ik lo_k.
double Contraction::knapsack(ptrdiff_t i, ptrdiff_t r, double start, bool largest) const {
  const double* row = form_.matrix(r) + i * n_;
  const std::uint8_t* order = form_.order(i, r);
  double sum = start, rest = rest_;
  for (ptrdiff_t t = 0; t < n_ && rest > 0; ++t) {
    const ptrdiff_t k = order[largest ? n_ - 1 - t : t];
    const double share = std::min(rest, box_.hi()[k] - box_.lo()[k]);
    sum += row[k] * share;
    rest -= share;
  }
  return sum;
}

// Of g_i - g_r. The mass 1 - sum lo and the shares handed out are off by at most 16 n u + 64 u
// together, each unit of which counts twice max |C| at most; the sums themselves err by 4 n u.
Interval Contraction::score_range(ptrdiff_t i, ptrdiff_t r) const {
  const double* row = form_.matrix(r) + i * n_;
  double start = 0;
  for (ptrdiff_t k = 0; k < n_; ++k) start += row[k] * box_.lo()[k];
  const double constant = form_.constant(i, r);
  const double error = (form_.error(i, r) + static_cast<double>(32 * n_ + 128) * kUnit *
                                                (form_.largest(i, r) + std::fabs(constant))) *
                           kAbove +
                       kTiny;
  return {knapsack(i, r, start, false) + constant - error,
          knapsack(i, r, start, true) + constant + error};
}

// Among the live patterns, whose weights sum to 1 less the dead ones'.
bool Contraction::by_scores() {
  choose_live();
  w_.lower.resize(at(n_ * n_));
  w_.exponentials.resize(at(n_ * n_));
  measure_rest();
  const size_t live = w_.live.size();
  for (size_t a = 0; a < live; ++a) {
    const ptrdiff_t i = w_.live[a];
    w_.lower[at(i * n_ + i)] = 0;
    w_.exponentials[at(i * n_ + i)] = 1;
    for (size_t c = 0; c < a; ++c) {
      const ptrdiff_t r = w_.live[c];
      const Interval range = score_range(i, r);
      for (const auto& [place, low] : {std::pair{i * n_ + r, range.lo}, {r * n_ + i, -range.hi}}) {
        w_.lower[at(place)] = low;
        w_.exponentials[at(place)] = exp_down(low);
      }
    }
  }
  double dead = 0;
  for (const ptrdiff_t k : w_.dead) dead += box_.hi()[k];
  for (const ptrdiff_t i : w_.live) {
    double least = 0, most = 0;  // of the sum of exp(g_r - g_i)
    for (const ptrdiff_t r : w_.live) {
      least += w_.exponentials[at(r * n_ + i)];
      most += 1 / w_.exponentials[at(i * n_ + r)];
    }
    Weight weight(box_, i);
    const double low = (1 - dead * kAbove) / (most * kAbove) / kAbove - kSubnormal;
    const double high = 1 / std::min(least, kLargest) * kAbove + kSubnormal;
    if (!weight.within(low, high) || !weight.agree()) return false;
  }
  for (const ptrdiff_t i : w_.live) {
    Weight weight(box_, i);
    for (const ptrdiff_t r : w_.live)
      if (!weight.log_within(rounded::add_down(box_.log_lo()[r], w_.lower[at(i * n_ + r)]),
                             rounded::add_up(box_.log_hi()[r], -w_.lower[at(r * n_ + i)])))
        return false;
    if (!weight.agree()) return false;
  }
  return follow_the_live();
}

// log p_k = log p_r + g_k - g_r for the dead patterns k.
bool Contraction::follow_the_live() {
  if (w_.dead.empty()) return true;
  const ptrdiff_t r = w_.live.back();
  for (const ptrdiff_t k : w_.dead) {
    measure_rest();
    const Interval range = score_range(k, r);
    Weight weight(box_, k);
    if (!weight.log_within(rounded::add_down(box_.log_lo()[r], range.lo),
                           rounded::add_up(box_.log_hi()[r], range.hi)) ||
        !weight.agree())
      return false;
  }
  return true;
}

void Contraction::choose_live() {
  w_.live.clear();
  w_.dead.clear();
  const double dead_below = kDead / std::max(1.0, form_.largest());
  for (ptrdiff_t i = 0; i < n_; ++i) (box_.hi()[i] < dead_below ? w_.dead : w_.live).push_back(i);
  const auto largest =
      std::max_element(w_.live.begin(), w_.live.end(),
                       [this](ptrdiff_t i, ptrdiff_t k) { return box_.mean(i) < box_.mean(k); });
  std::rotate(largest, largest + 1, w_.live.end());
}

// Slopes s (any number would do) and the range of rho = log p - s p: concave in p, so least at an
// end, and at most log(1/s) - 1. The ends are those of p and of log p together, which agree()
// keeps within two steps of each other.
void Contraction::linearise() {
  const size_t count = w_.live.size();
  for (auto* list : {&w_.slope, &w_.rho, &w_.rho_radius}) list->resize(count);
  dead_ = dead_radius_ = 0;
  for (size_t a = 0; a < count; ++a) {
    const ptrdiff_t i = w_.live[a];
    const double s = 1 / std::max(box_.mean(i), 1e-12 * box_.hi()[i]);
    const double from = next_up(next_up(box_.lo()[i])), to = box_.hi()[i];
    const double log_from = box_.log_lo()[i], log_to = next_down(next_down(box_.log_hi()[i]));
    const double least = std::min(log_from - s * from, log_to - s * to);
    const double most = -log_down(s) - 1;
    w_.slope[a] = s;
    w_.rho[a] = least / 2 + most / 2;
    w_.rho_radius[a] =
        (std::max(0.0, most - least) / 2 +
         8 * kUnit * (std::fabs(log_from) + std::fabs(log_to) + s * to + std::fabs(most) + 1)) *
        kAbove;
  }
  for (const ptrdiff_t k : w_.dead) {
    dead_ += box_.middle(k);
    dead_radius_ += (box_.hi()[k] - box_.lo()[k]) / 2;
    dead_radius_ += 2 * kUnit * static_cast<double>(n_) * box_.hi()[k];
  }
}

// H and the right-hand side. The rounding of H's entries, s_r - C and then + s_i, is paid for in
// the side: it acts on weights whose sum is at most 1.
void Contraction::set_up_equations() {
  const ptrdiff_t m = order(), r = w_.live.back();
  const double s_r = w_.slope.back(), rho_r = w_.rho.back();
  w_.matrix.resize(at(m * m));
  w_.side.resize(at(m));
  w_.side_radius.resize(at(m));
  for (ptrdiff_t a = 0; a < m; ++a) {
    const ptrdiff_t i = w_.live[at(a)];
    const double* row = form_.matrix(r) + i * n_;
    for (ptrdiff_t c = 0; c < m; ++c) w_.matrix[at(a * m + c)] = s_r - row[w_.live[at(c)]];
    w_.matrix[at(a * (m + 1))] += w_.slope[at(a)];

    double dead = 0, radius = 0;
    for (const ptrdiff_t k : w_.dead) {
      const double coefficient = row[k] - s_r;
      dead += coefficient * box_.middle(k);
      radius += std::fabs(coefficient) * ((box_.hi()[k] - box_.lo()[k]) / 2 +
                                          static_cast<double>(n_ + 8) * kUnit * box_.hi()[k]);
    }
    const double constant = form_.constant(i, r), rho = w_.rho[at(a)];
    w_.side[at(a)] = constant + s_r - rho + rho_r + dead;
    const double magnitude = 2 * s_r + std::fabs(constant) + std::fabs(rho) + std::fabs(rho_r) +
                             std::fabs(dead) + form_.largest(i, r) + w_.slope[at(a)] * box_.hi()[i];
    w_.side_radius[at(a)] = (form_.error(i, r) + radius + 16 * kUnit * magnitude) * kAbove + kTiny;
  }
}

// False where a pivot vanishes. Whatever comes out is only an approximation, judged by its
// residual.
bool Contraction::invert() {
  const ptrdiff_t m = order();
  w_.inverse = w_.matrix;
  return invert_in_place(w_.inverse.data(), m, w_.pivots);
}

// p_i (live[a] = i) is within `radius` of `centre`, plus own times its rho, the radius of which is
// not in `radius`. Then log p_i = s p_i + rho has the coefficient 1 + s own for it.
bool Contraction::narrow_live(ptrdiff_t a, double centre, double radius, double own) {
  const double s = w_.slope[at(a)], rho = w_.rho[at(a)], rho_radius = w_.rho_radius[at(a)];
  radius = (radius + 4 * kUnit * std::fabs(centre)) * kAbove + kTiny;
  const double reach = (radius + std::fabs(own) * rho_radius) * kAbove;
  const double log_centre = s * centre + rho;
  const double log_reach =
      (s * radius + (std::fabs(1 + s * own) + 4 * kUnit * (1 + s * std::fabs(own))) * rho_radius +
       8 * kUnit * (s * std::fabs(centre) + std::fabs(rho))) *
      kAbove;
  if (!std::isfinite(reach) || !std::isfinite(log_reach)) return true;
  Weight weight(box_, w_.live[at(a)]);
  return weight.within(centre - reach, centre + reach) &&
         weight.log_within(log_centre - log_reach, log_centre + log_reach) && weight.agree();
}

// Row by row of Y: p_i = Y_i . side + E_i . p with E = I - Y H. `row` gathers E_i; its rounding is
// at most gamma_(m+2) |Y_i| |H|.
Contraction::Newton Contraction::solve() {
  const ptrdiff_t m = order();
  const double gamma = static_cast<double>(2 * m + 16) * kUnit;
  const double rho_r_radius = w_.rho_radius.back();
  w_.row.resize(at(m));
  w_.row_sizes.resize(at(m));
  w_.last_row.assign(at(m), 0.0);
  w_.last_sizes.assign(at(m), 0.0);
  for (ptrdiff_t c = 0; c < m; ++c) {
    double size = 0;
    for (ptrdiff_t k = 0; k < m; ++k)
      size += std::fabs(w_.matrix[at(c * m + k)]) * box_.hi()[w_.live[at(k)]];
    w_.row_sizes[at(c)] = size;
  }
  double last_slack = 0, last_influence = 0;
  w_.results.clear();  // centre, radius and own for every row
  for (ptrdiff_t a = 0; a < m; ++a) {
    const double* y = w_.inverse.data() + a * m;
    std::fill(w_.row.begin(), w_.row.end(), 0.0);
    double centre = 0, total = 0, sizes = 0, spread = 0, slack = 0;
    for (ptrdiff_t c = 0; c < m; ++c) {
      const double* h = w_.matrix.data() + c * m;
      add_multiple(w_.row.data(), y[c], h, m);
      const double size = std::fabs(y[c]);
      centre += y[c] * w_.side[at(c)];
      total += y[c];
      sizes += size;
      spread += size * w_.side_radius[at(c)];
      if (c != a) spread += size * w_.rho_radius[at(c)];
      slack += size * (w_.row_sizes[at(c)] + std::fabs(w_.side[at(c)]));
      w_.last_row[at(c)] -= y[c];
      w_.last_sizes[at(c)] += size;
    }
    slack *= gamma;
    for (ptrdiff_t k = 0; k < m; ++k)
      slack += std::fabs(w_.row[at(k)] - (k == a ? 1 : 0)) * box_.hi()[w_.live[at(k)]];
    last_slack += slack;
    last_influence += std::fabs(total);
    spread += slack + (std::fabs(total) + gamma * sizes) * rho_r_radius;
    w_.results.insert(w_.results.end(), {centre, spread, -y[a]});
  }

  // p_r = 1 - the dead - sum_i p_i: minus the sum of the rows.
  double centre = 1 - dead_, total = 0, sizes = 0, spread = dead_radius_ + last_slack + gamma;
  for (ptrdiff_t c = 0; c < m; ++c) {
    const double y = w_.last_row[at(c)], size = w_.last_sizes[at(c)];
    const double reach = w_.side_radius[at(c)] + w_.rho_radius[at(c)];
    centre += y * w_.side[at(c)];
    total += y;
    sizes += size;
    spread += std::fabs(y) * reach + gamma * size * (reach + std::fabs(w_.side[at(c)]));
  }
  spread += gamma * sizes * rho_r_radius;
  w_.results.insert(w_.results.end(), {centre, spread, total});

  std::fill(w_.influence.begin(), w_.influence.end(), 0.0);
  w_.influence[at(w_.live.back())] = last_influence * rho_r_radius;
  for (ptrdiff_t c = 0; c < m; ++c)
    w_.influence[at(w_.live[at(c)])] = w_.last_sizes[at(c)] * w_.rho_radius[at(c)];

  for (ptrdiff_t a = 0; a <= m; ++a) {
    const double* result = w_.results.data() + 3 * a;
    if (!narrow_live(a, result[0], result[1], result[2])) return Newton::empty;
  }
  return Newton::done;
}

Contraction::Newton Contraction::by_newton() {
  choose_live();
  ++w_.newton_steps;
  linearise();
  set_up_equations();
  return invert() ? solve() : Newton::useless;
}

}  // namespace

bool WeightContractor::contract(WeightBox& box, Workspace& work) const {
  constexpr int kMostSteps = 60;
  constexpr double kWorthwhile = 0.95;
  Contraction rules(form_, box, work);
  work.influence.assign(at(form_.size()), 1.0);
  if (!rules.by_sum() || !rules.by_scores() || !rules.by_sum()) return false;
  double before = rules.bend();
  for (int step = 0; step < kMostSteps; ++step) {
    if (step > 0 && work.stop && work.stop()) throw Interrupted();
    using Newton = Contraction::Newton;
    const Newton outcome = rules.by_newton();
    if (outcome == Newton::empty || !rules.by_sum() || !rules.follow_the_live()) return false;
    const double now = rules.bend();
    if (outcome == Newton::useless || !(now < kWorthwhile * before)) break;
    before = now;
  }
  return true;
}

// The fourth root is by experiment: fewer boxes than with the bend or the influence alone.
std::optional<std::pair<WeightBox, WeightBox>> WeightContractor::halves(
    const WeightBox& box, const Workspace& work) const {
  ptrdiff_t choice = 0;
  double best = -1;
  for (ptrdiff_t i = 0; i < box.size(); ++i) {
    const double value = box.bend(i) * std::sqrt(std::sqrt(work.influence[at(i)]));
    if (!(value > best)) continue;
    best = value;
    choice = i;
  }
  const double low = box.lo()[choice], high = box.hi()[choice];
  const double middle = std::max(box.mean(choice), low + 1e-3 * (high - low));
  if (!(low < middle && middle < high)) return std::nullopt;
  std::pair<WeightBox, WeightBox> parts{box, box};
  auto& [above, below] = parts;
  above.lo()[choice] = middle;
  above.log_lo()[choice] = std::max(above.log_lo()[choice], log_down(middle));
  below.hi()[choice] = middle;
  below.log_hi()[choice] = std::min(below.log_hi()[choice], log_up(middle));
  return parts;
}

}  // namespace hopfix
