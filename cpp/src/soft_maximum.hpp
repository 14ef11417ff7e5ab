// min over the simplex of log sum exp(beta B nu), a small smooth convex problem.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "small_cholesky.hpp"

namespace hopfix {

// H(p) of non-negative p with sum 1.
inline double entropy(const std::vector<double>& p) {
  double sum = 0;
  for (const double x : p)
    if (x > 0) sum -= x * std::log(x);
  return sum;
}

// By a primal-dual interior-point method with line search on the barrier function: some 15 steps
// of O(columns^2 (columns + rows)). Gives softmax(beta B nu) at the best nu, a dual solution:
// every probability vector p proves the minimum to be at least H(p) + beta min_k (B^T p)_k, so
// nothing that is proved rests on convergence.
class SoftMaximum {
 public:
  // payoffs: B, (rows, columns) row-major.
  SoftMaximum(std::vector<double> payoffs, std::size_t rows, std::size_t columns, double beta)
      : b_(std::move(payoffs)), rows_(rows), columns_(columns) {
    for (double& x : b_) x *= beta;
  }

  std::vector<double> minimize() {
    point_.nu.assign(columns_, 1.0 / static_cast<double>(columns_));
    evaluate(point_);
    std::vector<double> best_p;
    double best = -HUGE_VAL;
    for (int step = 0; step < 100; ++step) {
      find_gradient();
      const double gap =
          dot(gradient_, point_.nu) - *std::min_element(gradient_.begin(), gradient_.end());
      if (point_.value - gap > best) {
        best = point_.value - gap;
        best_p = point_.p;
      }
      if (columns_ == 1 || !(gap > 1e-16 * (1 + std::fabs(point_.value)))) break;
      const double target = 0.1 * gap / static_cast<double>(columns_);
      if (step == 0) start_multipliers(target);
      sigma_ = step == 0 ? target : std::min(sigma_, target);
      if (!find_step() || !advance()) break;
    }
    return best_p;
  }

 private:
  struct Point {
    std::vector<double> nu, p;
    double value;
  };

  static double dot(const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t k = 0; k < a.size(); ++k) sum += a[k] * b[k];
    return sum;
  }

  void evaluate(Point& point) const {
    point.p.assign(rows_, 0.0);
    for (std::size_t m = 0; m < rows_; ++m)
      for (std::size_t k = 0; k < columns_; ++k) point.p[m] += b_[m * columns_ + k] * point.nu[k];
    const double most = *std::max_element(point.p.begin(), point.p.end());
    double sum = 0;
    for (double& x : point.p) sum += x = std::exp(x - most);
    for (double& x : point.p) x /= sum;
    point.value = most + std::log(sum);
  }

  double barrier(const Point& point) const {
    double sum = 0;
    for (const double x : point.nu) sum += std::log(x);
    return point.value - sigma_ * sum;
  }

  void find_gradient() {
    gradient_.assign(columns_, 0.0);
    for (std::size_t m = 0; m < rows_; ++m)
      for (std::size_t k = 0; k < columns_; ++k) gradient_[k] += point_.p[m] * b_[m * columns_ + k];
  }

  void start_multipliers(double target) {
    multipliers_.resize(columns_);
    for (std::size_t k = 0; k < columns_; ++k) multipliers_[k] = 10 * target / point_.nu[k];
  }

  // Newton's step for the Hessian B^T (diag p - p p^T) B, within the plane of constant sum.
  bool find_step() {
    const std::size_t n = columns_;
    std::vector<double> system(n * n, 0.0);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        double sum = 0;
        for (std::size_t m = 0; m < rows_; ++m)
          sum += point_.p[m] * (b_[m * n + i] - gradient_[i]) * (b_[m * n + j] - gradient_[j]);
        system[i * n + j] = sum;
      }
      system[i * n + i] += multipliers_[i] / point_.nu[i];
    }
    if (!cholesky_.factor(std::move(system), n)) return false;
    step_.resize(n);
    for (std::size_t k = 0; k < n; ++k) step_[k] = sigma_ / point_.nu[k] - gradient_[k];
    std::vector<double> ones(n, 1.0);
    cholesky_.solve(step_);
    cholesky_.solve(ones);
    double excess = 0, total = 0;
    for (std::size_t k = 0; k < n; ++k) {
      excess += step_[k];
      total += ones[k];
    }
    for (std::size_t k = 0; k < n; ++k) step_[k] -= excess / total * ones[k];
    return true;
  }

  bool advance() {
    double length = 1, dual_length = 1, slope = 0;
    std::vector<double> toward(columns_);
    for (std::size_t k = 0; k < columns_; ++k) {
      const double nu = point_.nu[k], z = multipliers_[k];
      toward[k] = sigma_ / nu - z - z * step_[k] / nu;
      slope += (gradient_[k] - sigma_ / nu) * step_[k];
      if (step_[k] < 0) length = std::min(length, -0.995 * nu / step_[k]);
      if (toward[k] < 0) dual_length = std::min(dual_length, -0.995 * z / toward[k]);
    }
    const double now = barrier(point_), noise = 1e-15 * (1 + std::fabs(now));
    Point next = point_;
    for (int halving = 0;; ++halving, length *= 0.5) {
      if (halving == 40) return false;
      double sum = 0;
      for (std::size_t k = 0; k < columns_; ++k)
        sum += next.nu[k] = point_.nu[k] + length * step_[k];
      for (double& x : next.nu) x /= sum;
      evaluate(next);
      if (barrier(next) <= now + 1e-4 * length * slope + noise) break;
    }
    point_ = std::move(next);
    for (std::size_t k = 0; k < columns_; ++k) {
      const double middle = sigma_ / point_.nu[k];
      multipliers_[k] =
          std::clamp(multipliers_[k] + dual_length * toward[k], 1e-10 * middle, 1e10 * middle);
    }
    return true;
  }

  std::vector<double> b_;
  std::size_t rows_, columns_;
  Point point_;
  double sigma_ = 0;
  std::vector<double> gradient_, multipliers_, step_;
  SmallCholesky cholesky_;
};

}  // namespace hopfix
