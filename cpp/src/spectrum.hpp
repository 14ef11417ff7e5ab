// Bounds of the eigenvalues of a symmetric positive semi-definite J, relative to 1, from a computed
// matrix B with |J - B| <= error in the 2-norm.
//
// * By one factorisation, from order 192 on, where at most 16 eigenvalues are above 1. Lanczos
//   proposes vectors V for these k, and theta < 1 above all others. If theta I - B + W W' = L L' +
//   E with W = V diag(s)^1/2, then B <= (theta + |E|) I + W W', so that no more than k eigenvalues
//   are above theta + |E|; that k are above 1 follows from V' B V. A bound of |E| is computed from
//   the factor itself, whatever the algorithm it comes from.
// * By an approximate eigensystem otherwise: with V = U P polar and |V'V - I| <= epsilon < 1,
//   |U' B U - D| <= |B V - V D| + epsilon (|B| + |D|), and Weyl's inequality pairs the eigenvalues
//   of B, then of J, with those in D. All to rounding, 8 to 10 times the cost.
#pragma once

#include <cstddef>
#include <limits>
#include <vector>

#include "hopfix/rounding.hpp"

namespace hopfix {

// What is known of eigenvalues >= 0: lower and upper bounds of numbers that tell how far they are
// from 1, and the largest.
class Spectrum {
 public:
  bool degenerate = false;                                     // one may be 1
  double min_ratio = std::numeric_limits<double>::infinity();  // lower bound, |1-lambda|/lambda
  UpperBound inverse_gap{0};                                   // 1 / |1 - lambda|
  UpperBound root_over_gap{0};                                 // sqrt(lambda) / |1 - lambda|
  UpperBound largest{0};
  double largest_low = 0;  // a lower bound of the largest
  int above_one = 0;
  // To rounding: the largest, and the smallest |1 - lambda|.
  double radius = 0;
  double min_gap = 1;

  // An eigenvalue within `error` of `value`.
  void add(double value, double error);
  // `count` eigenvalues from low to high.
  void add_between(double low, UpperBound high, int count);

 private:
  void merge(double gap, double at, UpperBound lambda);
};

// Memory to use again.
struct SpectrumWorkspace {
  std::vector<double> matrix;  // B, order x order
  std::vector<double> values, vectors, product, factor, factor_product;
};

// Of B = work.matrix and, if with_zero, of one more eigenvalue 0 of B. False when an iteration did
// not converge.
bool enclose_spectrum(std::ptrdiff_t order, UpperBound error, bool with_zero,
                      SpectrumWorkspace& work, Spectrum& spectrum);

}  // namespace hopfix
