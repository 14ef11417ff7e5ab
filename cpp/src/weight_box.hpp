// A box of weights: lo <= p <= hi and log_lo <= log p <= log_hi, kept apart because a weight such
// as e^-2000 has a logarithm but is no double.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include "hopfix/network.hpp"

namespace hopfix {

class WeightBox {
 public:
  // The whole simplex of n weights.
  explicit WeightBox(std::ptrdiff_t n) : n_(n), bounds_(static_cast<std::size_t>(4 * n)) {
    std::fill_n(hi(), n, 1.0);
    std::fill_n(log_lo(), n, -std::numeric_limits<double>::infinity());
  }

  // From the bounds() of another.
  explicit WeightBox(std::vector<double> bounds)
      : n_(static_cast<std::ptrdiff_t>(bounds.size() / 4)), bounds_(std::move(bounds)) {}

  std::ptrdiff_t size() const { return n_; }
  const std::vector<double>& bounds() const { return bounds_; }
  double* lo() { return bounds_.data(); }
  double* hi() { return bounds_.data() + n_; }
  double* log_lo() { return bounds_.data() + 2 * n_; }
  double* log_hi() { return bounds_.data() + 3 * n_; }
  const double* lo() const { return bounds_.data(); }
  const double* hi() const { return bounds_.data() + n_; }
  const double* log_lo() const { return bounds_.data() + 2 * n_; }
  const double* log_hi() const { return bounds_.data() + 3 * n_; }

  double middle(std::ptrdiff_t i) const { return lo()[i] + (hi()[i] - lo()[i]) / 2; }

  double width() const {
    double widest = 0;
    for (std::ptrdiff_t i = 0; i < n_; ++i) widest = std::max(widest, hi()[i] - lo()[i]);
    return widest;
  }

  // The logarithmic mean of lo and hi, to rounding: log has slope 1/mean between them on average.
  double mean(std::ptrdiff_t i) const {
    const double width = hi()[i] - lo()[i], ratio = log_hi()[i] - log_lo()[i];
    if (!(ratio > 1e-4)) return middle(i);
    return std::isinf(ratio) ? 0 : width / ratio;
  }

  // How far the logarithm over the interval is from a straight line, in units of p: what keeps the
  // equations from being linear in weight i. Estimates need no rigour.
  double bend(std::ptrdiff_t i) const {
    const double width = hi()[i] - lo()[i], ratio = log_hi()[i] - log_lo()[i];
    if (!(ratio > 1e-2)) return width * ratio / 8;
    const double slope_one = mean(i);  // where the logarithm is furthest above its chord
    if (slope_one == 0) return width;
    return hi()[i] - slope_one * (1 + log_hi()[i] - std::log(slope_one));
  }

 private:
  std::ptrdiff_t n_;
  std::vector<double> bounds_;
};

// sum_i p_i x_i at the middle of a box.
std::vector<double> middle_state(const Network<double>& network, const WeightBox& box);
// No point of the box and the simplex is further than this from `state`: for sum p = 1,
// |sum p_i x_i - state| <= |sum m_i (x_i - state)| + sum |p_i - m_i| |x_i - state|.
double reach_from(const Network<double>& network, const WeightBox& box,
                  const std::vector<double>& state);

}  // namespace hopfix
