#include "support_region.hpp"

#include <algorithm>
#include <cmath>

#include "hopfix/interval.hpp"
#include "small_inverse.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

constexpr double kUnit = kUnitRoundoff;
// A sum of non-negative terms, fewer than 9,000 roundings deep, times this is above the exact one.
constexpr double kAbove = 1 + 2e-12;
constexpr double kTiny = 1e-290;  // covers what underflow loses in any sum here

size_t at(ptrdiff_t i) { return static_cast<size_t>(i); }

double middle(double low, double high) { return low + (high - low) / 2; }

// The logarithmic mean, to rounding: log has slope 1 / mean between the ends on average.
double mean(double low, double high) {
  const double ratio = std::log(high / low);
  return ratio > 1e-4 ? (high - low) / ratio : middle(low, high);
}

}  // namespace

SupportRegion SupportContractor::start(const std::vector<ptrdiff_t>& support, double share) {
  support_ = support;
  SupportRegion region;
  region.lo.assign(at(n_), 0.0);
  region.hi.assign(at(n_), share);
  for (const ptrdiff_t i : support) {
    region.lo[at(i)] = share;
    region.hi[at(i)] = 1;
  }
  return region;
}

double SupportContractor::coupling(ptrdiff_t i, ptrdiff_t k) const {
  const ptrdiff_t r = members_.back();
  const double *own = form_.row(i), *reference = form_.row(r);
  return (own[k] - reference[k]) - (own[r] - reference[r]);
}

double SupportContractor::constant(ptrdiff_t i) const {
  const ptrdiff_t r = members_.back();
  return (form_.row(i)[r] - form_.row(r)[r]) + (form_.log_weight(i) - form_.log_weight(r));
}

bool SupportContractor::within(ptrdiff_t i, double low, double high) {
  double &lo = region_->lo[at(i)], &hi = region_->hi[at(i)];
  if (low > lo) lo = low;
  if (high < hi) hi = high;
  return lo <= hi;
}

// How much the support's logarithms and the mass outside are open: no bound, to see progress.
double SupportContractor::openness() const {
  double sum = 0, outside = 0;
  for (const ptrdiff_t i : support_) {
    const double lo = region_->lo[at(i)], hi = region_->hi[at(i)];
    sum += std::log(hi / lo);
    outside -= hi - lo;
  }
  for (ptrdiff_t k = 0; k < n_; ++k) outside += region_->hi[at(k)] - region_->lo[at(k)];
  return sum + std::max(0.0, outside);
}

bool SupportContractor::contract(SupportRegion& region) {
  constexpr int kMostRounds = 40;
  constexpr double kWorthwhile = 0.9;
  region_ = &region;
  if (!by_sum()) return false;
  choose_members();
  if (!by_scores()) return false;
  double before = openness();
  for (int round = 0; round < kMostRounds; ++round) {
    if (!by_newton() || !by_scores() || !by_sum()) return false;
    const double now = openness();
    if (!(now < kWorthwhile * before)) break;
    before = now;
  }
  return true;
}

bool SupportContractor::by_sum() {
  double low = 0, high = 0;
  for (ptrdiff_t i = 0; i < n_; ++i) {
    low += region_->lo[at(i)];
    high += region_->hi[at(i)];
  }
  const double rounding = static_cast<double>(2 * n_ + 16) * kUnit;
  const double low_error = rounding * (1 + low), high_error = rounding * (1 + high);
  if (low - low_error > 1 || high + high_error < 1) return false;
  for (ptrdiff_t i = 0; i < n_; ++i)
    if (!within(i, 1 - (high - region_->hi[at(i)]) - high_error,
                1 - (low - region_->lo[at(i)]) + low_error))
      return false;
  return true;
}

// A weight outside the support joins once scores have bounded it from below, if it moves scores or
// weights noticeably.
void SupportContractor::choose_members() {
  constexpr double kHeavy = 2e-4;
  const double heavy = kHeavy / std::max(1.0, form_.largest());
  members_ = support_;
  others_.clear();
  auto next = support_.begin();
  for (ptrdiff_t k = 0; k < n_; ++k) {
    if (next != support_.end() && *next == k) {
      ++next;
      continue;
    }
    const double lo = region_->lo[at(k)], hi = region_->hi[at(k)];
    (hi > heavy && lo > 1e-12 * hi ? members_ : others_).push_back(k);
  }
  const auto largest =
      std::max_element(members_.begin(), members_.end(), [this](ptrdiff_t i, ptrdiff_t k) {
        return region_->lo[at(i)] + region_->hi[at(i)] < region_->lo[at(k)] + region_->hi[at(k)];
      });
  std::iter_swap(largest, members_.end() - 1);
}

// Slopes s (any numbers would do) and the range of rho = log p - s p: concave in p, so least at an
// end, and at most log(1/s) - 1.
void SupportContractor::linearise() {
  const size_t count = members_.size();
  for (auto* list : {&slope_, &rho_, &rho_radius_}) list->resize(count);
  for (size_t a = 0; a < count; ++a) {
    const double from = region_->lo[at(members_[a])], to = region_->hi[at(members_[a])];
    const double s = 1 / mean(from, to);
    const double log_from = log_down(from), log_to = log_down(to);
    const double least = std::min(log_from - s * from, log_to - s * to);
    const double most = -log_down(s) - 1;
    slope_[a] = s;
    rho_[a] = middle(least, most);
    rho_radius_[a] =
        (std::max(0.0, most - least) / 2 +
         8 * kUnit * (std::fabs(log_from) + std::fabs(log_to) + s * to + std::fabs(most) + 1)) *
        kAbove;
  }
  outside_ = outside_radius_ = 0;
  for (const ptrdiff_t k : others_) {
    const double lo = region_->lo[at(k)], hi = region_->hi[at(k)];
    outside_ += middle(lo, hi);
    outside_radius_ += (hi - lo) / 2 + static_cast<double>(2 * n_ + 8) * kUnit * hi;
  }
}

// The rounding of H's entries is paid for in the side: it acts on weights whose sum is at most 1.
void SupportContractor::set_up_equations() {
  const ptrdiff_t m = order();
  const double s_r = slope_.back(), rho_r = rho_.back();
  matrix_.resize(at(m * m));
  side_.resize(at(m));
  side_radius_.resize(at(m));
  for (ptrdiff_t a = 0; a < m; ++a) {
    const ptrdiff_t i = members_[at(a)];
    for (ptrdiff_t c = 0; c < m; ++c) matrix_[at(a * m + c)] = s_r - coupling(i, members_[at(c)]);
    matrix_[at(a * (m + 1))] += slope_[at(a)];

    double outside = 0, radius = 0, size = 0;
    for (const ptrdiff_t k : others_) {
      const double coefficient = coupling(i, k) - s_r;
      const double lo = region_->lo[at(k)], hi = region_->hi[at(k)];
      outside += coefficient * middle(lo, hi);
      radius += std::fabs(coefficient) * ((hi - lo) / 2);
      size += std::fabs(coefficient) * hi;
    }
    const double start = constant(i), rho = rho_[at(a)];
    side_[at(a)] = start + s_r - rho + rho_r + outside;
    const double magnitude = 4 * s_r + std::fabs(start) + std::fabs(rho) + std::fabs(rho_r) + size +
                             8 * form_.largest() + slope_[at(a)] * region_->hi[at(i)];
    side_radius_[at(a)] = (form_.slack() + radius + static_cast<double>(n_ + 8) * kUnit * size +
                           16 * kUnit * magnitude) *
                              kAbove +
                          kTiny;
  }
}

// False where a pivot vanishes. Whatever comes out is only an approximation, judged by its
// residual.
bool SupportContractor::invert() {
  const ptrdiff_t m = order();
  inverse_ = matrix_;
  return invert_in_place(inverse_.data(), m, pivots_);
}

// p_i is within `radius` of `centre`, plus own times its rho, the radius of which is not in
// `radius`. Then log p_i = s p_i + rho has the coefficient 1 + s own for it.
bool SupportContractor::narrow(ptrdiff_t a, double centre, double radius, double own) {
  const double s = slope_[at(a)], rho = rho_[at(a)], rho_radius = rho_radius_[at(a)];
  radius = (radius + 4 * kUnit * std::fabs(centre)) * kAbove + kTiny;
  const double reach = (radius + std::fabs(own) * rho_radius) * kAbove;
  const double log_centre = s * centre + rho;
  const double log_reach =
      (s * radius + (std::fabs(1 + s * own) + 4 * kUnit * (1 + s * std::fabs(own))) * rho_radius +
       8 * kUnit * (s * std::fabs(centre) + std::fabs(rho))) *
      kAbove;
  if (!std::isfinite(reach) || !std::isfinite(log_reach) || !std::isfinite(centre)) return true;
  const ptrdiff_t i = members_[at(a)];
  return within(i, centre - reach, centre + reach) &&
         within(i, exp_down(log_centre - log_reach), exp_up(log_centre + log_reach));
}

// Row by row of Y: p_i = Y_i . side + E_i . p with E = I - Y H. `row` gathers E_i; its rounding is
// at most gamma_(m+2) |Y_i| |H|.
bool SupportContractor::solve() {
  const ptrdiff_t m = order();
  const double gamma = static_cast<double>(2 * m + 16) * kUnit;
  const double rho_r_radius = rho_radius_.back();
  row_.resize(at(m));
  row_sizes_.resize(at(m));
  last_row_.assign(at(m), 0.0);
  last_sizes_.assign(at(m), 0.0);
  for (ptrdiff_t c = 0; c < m; ++c) {
    double size = 0;
    for (ptrdiff_t k = 0; k < m; ++k)
      size += std::fabs(matrix_[at(c * m + k)]) * region_->hi[at(members_[at(k)])];
    row_sizes_[at(c)] = size;
  }
  double last_slack = 0, last_influence = 0;
  results_.clear();  // centre, radius and own for every row
  for (ptrdiff_t a = 0; a < m; ++a) {
    const double* y = inverse_.data() + a * m;
    std::fill(row_.begin(), row_.end(), 0.0);
    double centre = 0, total = 0, sizes = 0, spread = 0, slack = 0;
    for (ptrdiff_t c = 0; c < m; ++c) {
      add_multiple(row_.data(), y[c], matrix_.data() + c * m, m);
      const double size = std::fabs(y[c]);
      centre += y[c] * side_[at(c)];
      total += y[c];
      sizes += size;
      spread += size * side_radius_[at(c)];
      if (c != a) spread += size * rho_radius_[at(c)];
      slack += size * (row_sizes_[at(c)] + std::fabs(side_[at(c)]));
      last_row_[at(c)] -= y[c];
      last_sizes_[at(c)] += size;
    }
    slack *= gamma;
    for (ptrdiff_t k = 0; k < m; ++k)
      slack += std::fabs(row_[at(k)] - (k == a ? 1 : 0)) * region_->hi[at(members_[at(k)])];
    last_slack += slack;
    last_influence += std::fabs(total);
    spread += slack + (std::fabs(total) + gamma * sizes) * rho_r_radius;
    results_.insert(results_.end(), {centre, spread, -y[a]});
  }

  // p_r = 1 - those outside - sum_i p_i: minus the sum of the rows.
  double centre = 1 - outside_, total = 0, sizes = 0, spread = outside_radius_ + last_slack + gamma;
  for (ptrdiff_t c = 0; c < m; ++c) {
    const double y = last_row_[at(c)], size = last_sizes_[at(c)];
    const double reach = side_radius_[at(c)] + rho_radius_[at(c)];
    centre += y * side_[at(c)];
    total += y;
    sizes += size;
    spread += std::fabs(y) * reach + gamma * size * (reach + std::fabs(side_[at(c)]));
  }
  spread += gamma * sizes * rho_r_radius;
  results_.insert(results_.end(), {centre, spread, total});

  influence_.assign(members_.size(), 0.0);
  influence_.back() = last_influence * rho_r_radius;
  for (ptrdiff_t c = 0; c < m; ++c) influence_[at(c)] = last_sizes_[at(c)] * rho_radius_[at(c)];

  for (ptrdiff_t a = 0; a <= m; ++a) {
    const double* result = results_.data() + 3 * a;
    if (!narrow(a, result[0], result[1], result[2])) return false;
  }
  return true;
}

bool SupportContractor::by_newton() {
  choose_members();
  linearise();
  ++newton_steps_;
  const auto m = static_cast<double>(members_.size());
  work_ += m * (static_cast<double>(n_) + m * m);
  set_up_equations();
  if (!invert()) {
    influence_ = rho_radius_;
    last_sizes_.assign(at(order()), 0.0);
    return true;
  }
  return solve();
}

// beta |x_k - x_r|^2 = C_kk, off by less than slack().
bool SupportContractor::by_scores() {
  const ptrdiff_t m = order(), r = members_.back();
  const auto distance = [this](ptrdiff_t k) {
    return std::sqrt(std::max(0.0, coupling(k, k)) + form_.slack()) * kAbove;
  };
  double lever = 0;
  for (const ptrdiff_t k : others_) lever += distance(k) * region_->hi[at(k)];
  lever = lever * kAbove + kTiny;
  const double log_low = log_down(region_->lo[at(r)]), log_high = log_up(region_->hi[at(r)]);
  for (const ptrdiff_t k : others_) {
    double value = constant(k), spread = 0, size = std::fabs(value);
    for (ptrdiff_t a = 0; a < m; ++a) {
      const ptrdiff_t i = members_[at(a)];
      const double lo = region_->lo[at(i)], hi = region_->hi[at(i)], c = coupling(k, i);
      value += c * middle(lo, hi);
      spread += std::fabs(c) * ((hi - lo) / 2);
      size += std::fabs(c) * hi;
    }
    const double error =
        (spread + distance(k) * lever + form_.slack() +
         static_cast<double>(2 * m + 16) * kUnit *
             (size + 8 * form_.largest() + std::fabs(log_low) + std::fabs(log_high))) *
            kAbove +
        kTiny;
    if (!within(k, exp_down(log_low + (value - error)), exp_up(log_high + (value + error))))
      return false;
  }
  return true;
}

std::optional<std::pair<SupportRegion, SupportRegion>> SupportContractor::halves(
    const SupportRegion& region) const {
  double best = -1;
  ptrdiff_t choice = members_.front();
  bool member = true;
  for (size_t a = 0; a < members_.size(); ++a) {
    const double lo = region.lo[at(members_[a])], hi = region.hi[at(members_[a])];
    const double value = hi / lo > 1 + 1e-12 ? influence_[a] : -1.0;
    if (value > best) {
      best = value;
      choice = members_[a];
    }
  }
  for (const ptrdiff_t k : others_) {
    const double width = region.hi[at(k)] - region.lo[at(k)];
    double value = width;
    for (ptrdiff_t c = 0; c < order(); ++c)
      value += last_sizes_[at(c)] * std::fabs(coupling(members_[at(c)], k)) * width / 2;
    if (value > best) {
      best = value;
      choice = k;
      member = false;
    }
  }
  const double low = region.lo[at(choice)], high = region.hi[at(choice)];
  double cut = member ? std::max(mean(low, high), low + 1e-3 * (high - low)) : middle(low, high);
  if (!member && low < high / 64) cut = high / 16;
  if (!(low < cut && cut < high)) return std::nullopt;
  std::pair<SupportRegion, SupportRegion> parts{region, region};
  parts.first.lo[at(choice)] = cut;
  parts.second.hi[at(choice)] = cut;
  ++parts.first.depth;
  ++parts.second.depth;
  return parts;
}

}  // namespace hopfix
