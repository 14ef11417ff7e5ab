// Scores of patterns as linear forms in the softmax weights, for any number of patterns.
//
// At a fixed point log p_i = g_i - C for all i, with g_i = sum_k K_ik p_k + b_i, K = beta X X' and
// sum p = 1. Only differences count: for any r
//
//   g_i - g_r = D_ir + b_i - b_r + sum_{k != r} C_ik p_k,   D_ik = K_ik - K_rk,  C_ik = D_ik -
//   D_ir.
//
// Entries are rounded from double-double products; slack() covers that and the rounding of D, C and
// b_i - b_r in g_i - g_r, for all p >= 0 with sum 1.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "hopfix/network.hpp"
#include "hopfix/rounding.hpp"
#include "weight_form.hpp"

namespace hopfix {

class SupportForm {
 public:
  // Memory for 24 n^2 bytes, of which 8 n^2 stay.
  static constexpr std::ptrdiff_t kMostPatterns = 4096;

  // O(n^2 dim). n <= kMostPatterns.
  explicit SupportForm(const Network<double>& network) : n_(network.size()) {
    const ScaledGram gram(network);
    products_.resize(static_cast<std::size_t>(n_ * n_));
    for (std::ptrdiff_t i = 0; i < n_; ++i)
      for (std::ptrdiff_t k = 0; k < n_; ++k)
        products_[static_cast<std::size_t>(i * n_ + k)] = gram(i, k).hi;
    b_ = network.log_weights();
    b_.resize(static_cast<std::size_t>(n_), 0.0);
    double largest_b = 0;
    for (const double b : b_) largest_b = std::max(largest_b, std::fabs(b));
    const UpperBound size = gram.largest() + UpperBound(largest_b);
    slack_ = (8.0 * gram.error() + UpperBound(40 * kUnitRoundoff) * size).value();
    largest_ = gram.largest().value();
    in_range_ = size.value() < 1e140;
  }

  std::ptrdiff_t size() const { return n_; }
  bool in_range() const { return in_range_; }
  const double* row(std::ptrdiff_t i) const { return products_.data() + i * n_; }
  double log_weight(std::ptrdiff_t i) const { return b_[static_cast<std::size_t>(i)]; }
  double slack() const { return slack_; }
  double largest() const { return largest_; }  // upper bound of |K_ik|

 private:
  std::ptrdiff_t n_;
  std::vector<double> products_, b_;
  double slack_ = 0, largest_ = 0;
  bool in_range_ = true;
};

}  // namespace hopfix
