#include "hull_weights.hpp"

#include <algorithm>
#include <cmath>

#include "hopfix/interval.hpp"
#include "hopfix/rounding.hpp"
#include "plain_sums.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

constexpr double kUnit = kUnitRoundoff;

double exp_or_zero(double x) { return x < -700 ? 0 : exp_near(x); }

}  // namespace

bool HullWeights::bound(const HullForm& form, HullBox& box) {
  gather(form, box);
  evaluate_centre(form, box);
  factorise();
  measure_rounding(form, box);
  std::fill(log_lo_.begin(), log_lo_.end(), kInfinity);
  bound_at_centre(form.beta());
  visit_vertices(form.beta(), 0, logit_.data(), exponential_.data(), 0);
  return exponentiate(box);
}

void HullWeights::gather(const HullForm& form, const HullBox& box) {
  rank_ = box.rank();
  live_ = box.live();
  for (auto* list : {&y_, &slope_, &path_logit_, &path_exponential_})
    list->resize(at(rank_ * live_));
  factors_.resize(at(2 * rank_ * live_));
  for (auto* list : {&logit_, &exponential_, &log_lo_, &log_hi_, &tangent_, &lo_, &hi_})
    list->resize(at(live_));
  for (ptrdiff_t k = 0; k < rank_; ++k) {
    const double *y = form.coordinate(k), *slope = form.slope(k);
    for (ptrdiff_t a = 0; a < live_; ++a) {
      y_[at(k * live_ + a)] = y[box.orders[at(a)]];
      slope_[at(k * live_ + a)] = slope[box.orders[at(a)]];
    }
  }
}

void HullWeights::evaluate_centre(const HullForm& form, const HullBox& box) {
  for (ptrdiff_t a = 0; a < live_; ++a) logit_[at(a)] = form.constants()[box.orders[at(a)]];
  for (ptrdiff_t k = 0; k < rank_; ++k) {
    const double low = box.lo[at(k)], high = box.hi[at(k)], middle = low + (high - low) / 2;
    centre_[at(k)] = middle;
    radius_[at(k)] = next_up(std::max(high - middle, middle - low));
    const double* slope = slope_.data() + k * live_;
    for (ptrdiff_t a = 0; a < live_; ++a) logit_[at(a)] += slope[a] * middle;
  }
  const double top = *std::max_element(logit_.begin(), logit_.end());
  for (ptrdiff_t a = 0; a < live_; ++a) {
    logit_[at(a)] -= top;
    exponential_[at(a)] = exp_or_zero(logit_[at(a)]);
  }
}

// exp(-+ slope radius) over the largest of the kind.
void HullWeights::factorise() {
  for (ptrdiff_t k = 0; k < rank_; ++k)
    for (size_t side = 0; side < 2; ++side) {
      const double* slope = slope_.data() + k * live_;
      double* factor = factors_.data() + (2 * k + static_cast<ptrdiff_t>(side)) * live_;
      const double step = side == 0 ? -radius_[at(k)] : radius_[at(k)];
      double most = -kInfinity;
      for (ptrdiff_t a = 0; a < live_; ++a) {
        factor[a] = slope[a] * step;
        most = std::max(most, factor[a]);
      }
      for (ptrdiff_t a = 0; a < live_; ++a) factor[a] = exp_or_zero(factor[a] - most);
      shifts_[at(k)][side] = most;
    }
}

// Weights at a point are off by the rounding of the arguments of exp, 2,000 u in all for those at
// the centre and where a vertex is computed afresh, and by three units of the largest step of each
// coordinate otherwise; by two units of every exp; and by that of their sums. What logit_error()
// says counts twice in differences of logits, once more for the rounding of t (of which it is many
// units), once for the way from the form to the network.
void HullWeights::measure_rounding(const HullForm& form, const HullBox& box) {
  double steps = 0;
  for (ptrdiff_t k = 0; k < rank_; ++k) steps += form.beta() * form.extent(k) * radius_[at(k)];
  const double sums = static_cast<double>(2 * live_ + 4096) * kUnit + 16 * kUnit * steps;
  const double relative = (2 * form.logit_error() + sums) * kAbove;
  // The dropped patterns add up to 2 dropped >= -log(1 - dropped) to log sum exp.
  slack_ = (4 * form.logit_error() + 2 * sums + 2 * box.dropped) * kAbove;
  tangent_slack_ = 8 * steps * (relative + 8 * kUnit) * kAbove;
}

// log sum exp of the live logits, and the average of y.
double HullWeights::log_of_sum(const double* exponential, double shift, HullVector& average) const {
  const double sum = sum_of(live_, [&](ptrdiff_t a) { return exponential[a]; });
  for (ptrdiff_t k = 0; k < rank_; ++k) {
    const double* y = coordinate(k);
    average[at(k)] = sum_of(live_, [&](ptrdiff_t a) { return exponential[a] * y[a]; }) / sum;
  }
  return shift + log_near(sum);
}

void HullWeights::bound_at_centre(double beta) {
  HullVector average;
  log_sum_ = log_of_sum(exponential_.data(), 0, average);
  for (ptrdiff_t a = 0; a < live_; ++a) log_hi_[at(a)] = start(a);
  for (ptrdiff_t k = 0; k < rank_; ++k) {
    const double *slope = slope_.data() + k * live_, flat = beta * average[at(k)];
    const double radius = radius_[at(k)];
    for (ptrdiff_t a = 0; a < live_; ++a) log_hi_[at(a)] += std::fabs(slope[a] - flat) * radius;
  }
}

// A walk over the sides of one coordinate after the other; the exponentials are those of
// logit - shift.
void HullWeights::visit_vertices(double beta, ptrdiff_t k, const double* logit,
                                 const double* exponential, double shift) {
  if (k == rank_) return bound_at_vertex(beta, logit, exponential, shift);
  double* next_logit = path_logit_.data() + k * live_;
  double* next_exponential = path_exponential_.data() + k * live_;
  const double* slope = slope_.data() + k * live_;
  for (size_t side = 0; side < 2; ++side) {
    const double* factor = factors_.data() + (2 * k + static_cast<ptrdiff_t>(side)) * live_;
    const double step = side == 0 ? -radius_[at(k)] : radius_[at(k)];
    for (ptrdiff_t a = 0; a < live_; ++a) {
      next_logit[a] = logit[a] + slope[a] * step;
      next_exponential[a] = exponential[a] * factor[a];
    }
    upper_[at(k)] = side == 1;
    visit_vertices(beta, k + 1, next_logit, next_exponential, shift + shifts_[at(k)][side]);
  }
}

void HullWeights::bound_at_vertex(double beta, const double* logit, const double* exponential,
                                  double shift) {
  double* tangent = tangent_.data();
  if (!(sum_of(live_, [&](ptrdiff_t a) { return exponential[a]; }) > kSmallestSum)) {
    shift = *std::max_element(logit, logit + live_);
    for (ptrdiff_t a = 0; a < live_; ++a) tangent[a] = exp_or_zero(logit[a] - shift);
    exponential = tangent;
  }
  HullVector average;
  const double log_sum = log_of_sum(exponential, shift, average);
  for (ptrdiff_t a = 0; a < live_; ++a) {
    tangent[a] = logit[a] - log_sum;
    log_lo_[at(a)] = std::min(log_lo_[at(a)], tangent[a]);
  }
  for (ptrdiff_t k = 0; k < rank_; ++k) {
    const double *slope = slope_.data() + k * live_, flat = beta * average[at(k)];
    // Into the box, the coordinate falls from an upper side and rises from a lower one.
    const double inwards = upper_[at(k)] ? -2 * radius_[at(k)] : 2 * radius_[at(k)];
    for (ptrdiff_t a = 0; a < live_; ++a) tangent[a] += std::max(0.0, (slope[a] - flat) * inwards);
  }
  for (ptrdiff_t a = 0; a < live_; ++a) log_hi_[at(a)] = std::min(log_hi_[at(a)], tangent[a]);
}

// Together with what the box knew, and the sum of all weights.
bool HullWeights::exponentiate(HullBox& box) {
  double low_sum = 0, high_sum = 0;
  for (ptrdiff_t a = 0; a < live_; ++a) {
    double &lo = box.log_lo[at(a)], &hi = box.log_hi[at(a)];
    lo = std::max(lo, log_lo_[at(a)] - slack_);
    hi = std::min(hi, log_hi_[at(a)] + (slack_ + tangent_slack_));
    if (lo > hi) return false;
    lo_[at(a)] = exp_down(lo);
    hi_[at(a)] = exp_up(hi);
    low_sum += lo_[at(a)];
    high_sum += hi_[at(a)];
  }
  const double rounding = static_cast<double>(2 * live_ + 16) * kUnit;
  if (low_sum > 1 + rounding || high_sum * (1 + rounding) + box.dropped < 1 - rounding)
    return false;
  constexpr double kWorthALogarithm = 0.95;
  for (ptrdiff_t a = 0; a < live_; ++a) {
    const double high = 1 + rounding - (low_sum - lo_[at(a)]);
    if (!(high < kWorthALogarithm * hi_[at(a)])) continue;
    if (high < lo_[at(a)]) return false;
    hi_[at(a)] = high;
    box.log_hi[at(a)] = log_up(high);
  }
  return true;
}

}  // namespace hopfix
