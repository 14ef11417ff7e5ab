#include "support_bound.hpp"

#include <algorithm>
#include <cmath>

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

const double* pattern(const Network<double>& network, ptrdiff_t i) {
  return network.patterns().data() + i * network.dim();
}

double dot(const double* a, const double* b, ptrdiff_t dim) {
  double sum = 0;
  for (ptrdiff_t k = 0; k < dim; ++k) sum += a[k] * b[k];
  return sum;
}

}  // namespace

SupportBound::SupportBound(const Network<double>& network, double log_share,
                           std::vector<ClearBall> clear)
    : network_(network),
      log_share_(log_share),
      clear_(std::move(clear)),
      point_(static_cast<size_t>(network.dim())) {
  if (!network.log_weights().empty()) {
    const auto [least, most] =
        std::minmax_element(network.log_weights().begin(), network.log_weights().end());
    least_b_ = *least;
    largest_b_ = std::max(std::fabs(*least), std::fabs(*most));
  }
  for (ptrdiff_t i = 0; i < network.size(); ++i)
    largest_norm_ = std::max(largest_norm_, norm_bound(pattern(network, i), network.dim()).value());
}

// Sums of up to m terms, whose rounding is below (2 m + 16) u of the sizes; the first weight's
// counts there too.
bool SupportBound::excludes(const std::vector<ptrdiff_t>& members,
                            const std::vector<double>& weights, size_t own) {
  const ptrdiff_t dim = network_.dim();
  const auto& b = network_.log_weights();
  std::fill(point_.begin(), point_.end(), 0.0);
  double first = 1, size = 1, positive = 0, log_weights = 0;
  const auto add = [&](size_t l, double weight) {
    const double* x = pattern(network_, members[l]);
    for (ptrdiff_t k = 0; k < dim; ++k) point_[static_cast<size_t>(k)] += weight * x[k];
    positive += std::max(0.0, weight);
    if (!b.empty()) log_weights += weight * b[static_cast<size_t>(members[l])];
  };
  for (size_t l = 1; l < members.size(); ++l) {
    const double weight = l < own ? weights[l] : std::min(0.0, weights[l]);
    if (weight == 0) continue;
    first -= weight;
    size += 2 * std::fabs(weight);
    add(l, weight);
  }
  add(0, first);

  const UpperBound rounding =
      gamma_bound(static_cast<ptrdiff_t>(2 * members.size()) + 24) * UpperBound(size);
  const UpperBound beta(network_.beta());
  const UpperBound norm = norm_bound(point_.data(), dim) + rounding * UpperBound(largest_norm_);
  const UpperBound square = 0.25 * (beta * norm * norm);
  const UpperBound spread = UpperBound(log_share_) * (UpperBound(positive) + rounding);
  const double gain = log_weights - least_b_;  // of either sign
  const UpperBound error = UpperBound(4 * kUnitRoundoff) * UpperBound(size * largest_b_) +
                           2.0 * (rounding * UpperBound(largest_b_));
  const UpperBound above = square + spread + error;
  if (!std::isfinite(above.value()) || !std::isfinite(gain)) return false;
  if (gain < 0 && above.value() < -gain) return true;
  // What is left, over beta, is the square of the radius of the ball (*).
  const double total =
      gain < 0 ? above.value() - lower_bound(-gain) : (above + UpperBound(gain)).value();
  const UpperBound left = UpperBound(std::max(0.0, total)) * UpperBound(1 + 4 * kUnitRoundoff) +
                          UpperBound(4 * kUnitRoundoff) * above;
  const UpperBound radius =
      sqrt(left / network_.beta()) + 0.5 * (rounding * UpperBound(largest_norm_));
  for (double& value : point_) value /= 2;
  for (const ClearBall& ball : clear_) {
    const UpperBound distance = distance_bound(point_.data(), ball.centre.data(), dim, difference_);
    if ((distance + radius).value() < ball.radius) return true;
  }
  return false;
}

// Gilbert's algorithm for the point of the hull nearest to the origin; any point u proves that all
// of the hull is at least min x_i . u / |u| away.
ClearBall ball_outside_hull(const Network<double>& network) {
  constexpr int kMostSteps = 400;
  const ptrdiff_t n = network.size(), dim = network.dim();
  std::vector<double> u(pattern(network, 0), pattern(network, 0) + dim);
  double radius = 0, largest = 0;
  for (ptrdiff_t i = 0; i < n; ++i)
    largest = std::max(largest, norm_bound(pattern(network, i), dim).value());
  for (int step = 0; step < kMostSteps; ++step) {
    ptrdiff_t nearest = 0;
    double least = HUGE_VAL;
    for (ptrdiff_t i = 0; i < n; ++i) {
      const double value = dot(pattern(network, i), u.data(), dim);
      if (value < least) {
        least = value;
        nearest = i;
      }
    }
    const double square = dot(u.data(), u.data(), dim);
    const UpperBound norm = norm_bound(u.data(), dim);
    const double error = (gamma_bound(dim + 4) * UpperBound(largest) * norm).value();
    if (least > error)
      radius = std::max(radius, lower_bound(lower_bound(least - error) / norm.value()));
    if (!(square > 0) || square - least < 1e-6 * square) break;
    const double* x = pattern(network, nearest);
    double length = 0;
    for (ptrdiff_t k = 0; k < dim; ++k)
      length += (x[k] - u[static_cast<size_t>(k)]) * (x[k] - u[static_cast<size_t>(k)]);
    const double share = std::min(1.0, (square - least) / length);
    for (ptrdiff_t k = 0; k < dim; ++k)
      u[static_cast<size_t>(k)] += share * (x[k] - u[static_cast<size_t>(k)]);
  }
  return {std::vector<double>(static_cast<size_t>(dim)), radius};
}

}  // namespace hopfix
