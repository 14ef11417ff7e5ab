// The separation kernels of one instruction-set level, as the core sees them: one row at a time.
#pragma once

#include <cstddef>

namespace hopfix::kernels {

// Why a row has no answer.
enum class RowFault { none, not_finite, all_minus_infinity, all_zero };

// Where the results of a row of n go. `slopes` (or nullptr, unless told otherwise) takes s with
// dp/dz = diag(s) - s s^T / sum(s), for polynomials dp/dz = diag(s) - p s^T; `conjugate` (or
// nullptr) takes the conjugate, of which p is the gradient.
template <class T>
struct RowResult {
  T* probabilities;
  double* slopes;
  T* conjugate;
};

// Numbers that may be touched beyond the n of `slopes` and of each array in `scratch`.
inline constexpr std::ptrdiff_t kRowSlack = 16;

// `scratch` holds 2 (n + kRowSlack) numbers.
template <class T>
struct SeparationKernels {
  RowFault (*softmax)(const T* z, std::ptrdiff_t n, const RowResult<T>& result);
  // 1 < alpha <= infinity.
  RowFault (*entmax)(const T* z, std::ptrdiff_t n, double alpha, const RowResult<T>& result,
                     double* scratch);
  // 1 <= k <= n; of equal entries the first ones are taken.
  RowFault (*topk)(const T* z, std::ptrdiff_t n, std::ptrdiff_t k, const RowResult<T>& result,
                   double* scratch);
  // p ~ max(z, 0)^power, or |z|^power; no conjugate.
  RowFault (*polynomial)(const T* z, std::ptrdiff_t n, std::ptrdiff_t power, bool rectified,
                         const RowResult<T>& result, double* scratch);
  // out = (diag(s) - s s^T / sum(s)) t. One entry of s may be infinite; s is overwritten.
  void (*symmetric_jvp)(double* slopes, const T* t, std::ptrdiff_t n, T* out);
  // out = (diag(s) - p s^T) t; s is overwritten.
  void (*polynomial_jvp)(double* slopes, const T* probabilities, const T* t, std::ptrdiff_t n,
                         T* out);
};

struct SeparationTable {
  SeparationKernels<float> f32;
  SeparationKernels<double> f64;
};

}  // namespace hopfix::kernels
