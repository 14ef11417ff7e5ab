// Symmetric positive definite systems of a few unknowns.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace hopfix {

class SmallCholesky {
 public:
  // a: (n, n), of which the lower triangle is read. False if it is not positive definite to
  // rounding. n^3 / 6 multiplications.
  bool factor(std::vector<double> a, std::size_t n) {
    a_ = std::move(a);
    n_ = n;
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j <= i; ++j) {
        double sum = a_[i * n + j];
        for (std::size_t k = 0; k < j; ++k) sum -= a_[i * n + k] * a_[j * n + k];
        if (i == j) {
          if (!(sum > 0 && sum < HUGE_VAL)) return false;
          a_[i * n + i] = std::sqrt(sum);
        } else {
          a_[i * n + j] = sum / a_[j * n + j];
        }
      }
    return true;
  }

  // b becomes the solution.
  void solve(std::vector<double>& b) const {
    for (std::size_t i = 0; i < n_; ++i) {
      for (std::size_t k = 0; k < i; ++k) b[i] -= a_[i * n_ + k] * b[k];
      b[i] /= a_[i * n_ + i];
    }
    for (std::size_t i = n_; i-- > 0;) {
      for (std::size_t k = i + 1; k < n_; ++k) b[i] -= a_[k * n_ + i] * b[k];
      b[i] /= a_[i * n_ + i];
    }
  }

 private:
  std::vector<double> a_;
  std::size_t n_ = 0;
};

}  // namespace hopfix
