// Separation functions: maps of a row of scores z to probabilities p, the second step of every
// retrieval. Rows are independent; arrays are row-major, rows x n.
//
//   softmax      p_i = exp(z_i) / sum
//   entmax       p = argmax over the simplex of p.z + H(p),
//                H(p) = sum_i (p_i - p_i^alpha) / (alpha (alpha - 1)), Shannon's entropy at alpha =
//                1; alpha = 2 is sparsemax, alpha = infinity shares 1 among the largest scores
//   topk         softmax over the k largest scores, the first ones of equal scores
//   polynomial   p_i = z_i^power / sum, power even, or max(z_i, 0)^power / sum
//
// Scores may be -inf, which stands for probability 0 (not under an even power), but neither NaN nor
// +inf, and not all of a row may be -inf.
//
// Accuracy: absolute error of p at most 4 ulp of the row's largest probability, times
// 0.5 / (alpha - 1) for 1 < alpha < 1.5 (the measured errors are below 2 ulp at every alpha);
// exact zeros outside the support. float rows are solved in double precision but for softmax.
// Complexity: O(n) a row with a few passes over the candidates for the support; topk, and entmax
// for alpha > 2, O(n log n) expected at worst. Results do not depend on the number of threads.
//
// Sources: Martins and Astudillo (2016), sparsemax; Peters, Niculae and Martins (2019), entmax and
// its Jacobian; Krotov and Hopfield (2016), polynomial energies.
#pragma once

#include <cstddef>

#include "hopfix/parallel.hpp"

namespace hopfix {

struct Separation {
  enum class Kind { softmax, entmax, topk, polynomial };
  Kind kind = Kind::softmax;
  double alpha = 1;          // entmax: 1 <= alpha <= infinity
  std::ptrdiff_t count = 1;  // topk: 1 <= count <= n; polynomial: the power, >= 1
  bool rectified = false;    // polynomial: max(z, 0) instead of z
};

enum class SeparationFault { none, not_finite, all_minus_infinity, all_zero };

// The first row without an answer and why; then the results mean nothing.
struct SeparationStatus {
  SeparationFault fault = SeparationFault::none;
  std::ptrdiff_t row = 0;
};

// p (rows x n).
template <class T>
SeparationStatus separate(const Separation& separation, const T* z, std::ptrdiff_t rows,
                          std::ptrdiff_t n, T* p, const Execution& execution);

// out (rows) = Psi*(z) = max over p of p.z + H(p), whose gradient is p; for topk over p with at
// most k nonzeros, that is the logarithm of the sum of the k largest exponentials. To a few ulp of
// max(|max z|, 1). A polynomial has none: std::invalid_argument.
template <class T>
SeparationStatus separation_conjugate(const Separation& separation, const T* z, std::ptrdiff_t rows,
                                      std::ptrdiff_t n, T* out, const Execution& execution);

// out (rows x n) = (dp/dz) t, which is diag(s) - s s^T / sum(s) with s_i = p_i^(2 - alpha) on the
// support (p on it for topk, alpha = 1 for softmax), and for polynomials power (diag(u) - p u^T)
// with u_i = z_i^(power - 1) / sum. At alpha > 2 derivatives may overflow to infinity.
template <class T>
SeparationStatus separation_jvp(const Separation& separation, const T* z, const T* t,
                                std::ptrdiff_t rows, std::ptrdiff_t n, T* out,
                                const Execution& execution);

}  // namespace hopfix
