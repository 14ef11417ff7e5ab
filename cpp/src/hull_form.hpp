// The fixed points of a network in coordinates eta of the affine hull of its patterns,
//
//   eta = sum_i p_i y_i,   p = softmax(l),   l_i = beta y_i . eta + c_i,
//
// for networks with many patterns in few dimensions. The y_i and c_i are the doubles stored here.
// What they leave of the exact problem is bounded: a fixed point xi = sum p_i x_i of the network
// has eta = sum p_i y_i and p = softmax(l + e) with |e_i| <= logit_error().
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hopfix/network.hpp"

namespace hopfix {

class HullForm {
 public:
  static constexpr std::ptrdiff_t kHighestRank = 8;
  // Sums over more patterns would round more than plain_sums.hpp allows for.
  static constexpr std::ptrdiff_t kMostPatterns = std::ptrdiff_t{1} << 21;

  // O(n dim rank + n rank log n).
  explicit HullForm(const Network<double>& network);

  std::ptrdiff_t size() const { return n_; }
  std::ptrdiff_t rank() const { return rank_; }
  double beta() const { return beta_; }
  // Whether the rank is at most kHighestRank, no coefficient nears overflow and the error of the
  // logits is small; nothing below may be asked otherwise.
  bool usable() const { return usable_; }

  // Coordinate k of all y_i, and of all beta y_i.
  const double* coordinate(std::ptrdiff_t k) const { return coordinates_.data() + k * n_; }
  const double* slope(std::ptrdiff_t k) const { return slopes_.data() + k * n_; }
  const double* constants() const { return constants_.data(); }
  // The patterns by ascending coordinate k.
  const std::int32_t* order(std::ptrdiff_t k) const { return orders_.data() + k * n_; }
  // max_i |y_ik|.
  double extent(std::ptrdiff_t k) const { return extents_[static_cast<std::size_t>(k)]; }

  // An exact logit differs by at most this, and a number common to all patterns, from
  // slope . eta + constant summed in double precision, for every eta in the hull of the y_i.
  double logit_error() const { return logit_error_; }

  // base + sum_k eta_k basis_k, in double precision.
  std::vector<double> embed(const double* eta) const;
  // |xi - state| <= embedding_norm() |eta - centre| + embedding_error() for the fixed point xi that
  // belongs to eta and state = embed(centre), centre in the box |centre_k| <= extent(k).
  double embedding_norm() const { return embedding_norm_; }
  double embedding_error() const { return embedding_error_; }

 private:
  void choose_coordinates(const Network<double>& network);
  void bound_errors(const Network<double>& network);

  std::ptrdiff_t n_, dim_, rank_ = 0;
  double beta_;
  bool usable_ = false;
  std::vector<double> base_, basis_;  // dim; rank x dim, nearly orthonormal
  std::vector<double> coordinates_, slopes_, constants_, extents_;
  std::vector<std::int32_t> orders_;
  double logit_error_ = 0, embedding_norm_ = 1, embedding_error_ = 0;
};

}  // namespace hopfix
