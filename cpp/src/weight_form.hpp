// The fixed points of a network as solutions in the open simplex of weights p,
//
//   log p_i - beta x_i . (sum_k p_k x_k) - b_i  the same for all i,   sum p = 1,
//
// with the rounding of every coefficient bounded. p = softmax(beta x . xi + b) and xi = sum p_k x_k
// map the two sets of solutions onto each other.
//
// Only differences of scores g_i = beta x_i . (sum p_k x_k) + b_i count, and on the simplex
//
//   g_i - g_r = sum_k C^r_ik p_k + c_ir,   C^r_ik = beta (x_i - x_r) . (x_k - x_r),
//                                          c_ir = beta (x_i - x_r) . x_r + b_i - b_r.
//
// Exchangeable patterns (exchangeable.hpp) of equal weight count as one. For groups I of them, the
// joint weights P_I = |I| p_i solve the same equations with the mean pattern of I in the place of
// x_i and b_i + log |I| in that of b_i: p_i x_k . sum_I x_i = P_I x_k . mean_I x, and x_i . xi is
// the same for all i in I.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hopfix/double_double.hpp"
#include "hopfix/network.hpp"
#include "hopfix/rounding.hpp"

namespace hopfix {

// beta x_i . x_k in double-double. O(n^2 dim).
class ScaledGram {
 public:
  explicit ScaledGram(const Network<double>& network);

  DoubleDouble operator()(std::ptrdiff_t i, std::ptrdiff_t k) const {
    return products_[static_cast<std::size_t>(i * n_ + k)];
  }
  // Upper bounds: of the error of an entry, and of all entries.
  UpperBound error() const { return error_; }
  UpperBound largest() const { return largest_; }

 private:
  std::ptrdiff_t n_;
  std::vector<DoubleDouble> products_;
  UpperBound error_{0}, largest_{0};
};

using PatternGroups = std::vector<std::vector<std::ptrdiff_t>>;

class WeightForm {
 public:
  static constexpr std::ptrdiff_t kMostPatterns = 128;

  // n patterns: O(n^3 log n) beside the Gram matrix, memory 9 n^3 bytes. n <= kMostPatterns.
  explicit WeightForm(const Network<double>& network);
  WeightForm(const Network<double>& network, const ScaledGram& gram);
  // n groups, disjoint, none empty, each of exchangeable patterns and all with equal products with
  // any pattern outside; in the equations above "i" is then a group, "p_i" its joint weight.
  WeightForm(const Network<double>& network, const ScaledGram& gram, const PatternGroups& groups);

  std::ptrdiff_t size() const { return n_; }
  // Whether no coefficient nears overflow; nothing else may be asked where one does.
  bool in_range() const { return in_range_; }

  // C^r, n x n.
  const double* matrix(std::ptrdiff_t r) const { return matrices_.data() + r * n_ * n_; }
  double constant(std::ptrdiff_t i, std::ptrdiff_t r) const { return constants_[place(i, r)]; }
  // g_i - g_r, from the stored coefficients, is off by at most this for every p in the simplex.
  double error(std::ptrdiff_t i, std::ptrdiff_t r) const { return errors_[place(i, r)]; }
  // The largest |C^r_ik| of row i.
  double largest(std::ptrdiff_t i, std::ptrdiff_t r) const { return largest_[place(i, r)]; }
  // Of all.
  double largest() const { return largest_of_all_; }
  // The patterns k by ascending C^r_ik.
  const std::uint8_t* order(std::ptrdiff_t i, std::ptrdiff_t r) const {
    return orders_.data() + (r * n_ + i) * n_;
  }

 private:
  std::size_t place(std::ptrdiff_t i, std::ptrdiff_t r) const {
    return static_cast<std::size_t>(r * n_ + i);
  }

  std::ptrdiff_t n_;
  bool in_range_ = true;
  double largest_of_all_ = 0;
  std::vector<double> matrices_, constants_, errors_, largest_;
  std::vector<std::uint8_t> orders_;
};

}  // namespace hopfix
