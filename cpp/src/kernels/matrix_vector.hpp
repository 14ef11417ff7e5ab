// Products of a row-major matrix and one vector, each summed in an order fixed by the shape.
#pragma once

#include "simd.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

// Four running vectors hide the latency of the additions; then a fixed tree, then the tail.
inline double dot(const double* a, const double* b, std::ptrdiff_t count) {
  constexpr int lanes = kLanes<double>;
  Vec<double> sum[4] = {};
  std::ptrdiff_t k = 0;
  for (; k + 4 * lanes <= count; k += 4 * lanes)
    for (int v = 0; v < 4; ++v)
      sum[v] = fma(load(a + k + v * lanes), load(b + k + v * lanes), sum[v]);
  for (; k + lanes <= count; k += lanes) sum[0] = fma(load(a + k), load(b + k), sum[0]);
  const Vec<double> all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  double total = 0;
  for (int l = 0; l < lanes; ++l) total += all[l];
  for (; k < count; ++k) total += a[k] * b[k];
  return total;
}

inline void matrix_vector(const double* a, const double* x, std::ptrdiff_t m, std::ptrdiff_t k,
                          double* y) {
  for (std::ptrdiff_t i = 0; i < m; ++i) y[i] = dot(a + i * k, x, k);
}

inline void vector_matrix(const double* x, const double* a, std::ptrdiff_t m, std::ptrdiff_t k,
                          double* y) {
  constexpr int lanes = kLanes<double>;
  std::ptrdiff_t j = 0;
  for (; j + lanes <= k; j += lanes) {
    Vec<double> sum = {};
    for (std::ptrdiff_t i = 0; i < m; ++i) sum = fma(broadcast(x[i]), load(a + i * k + j), sum);
    store(y + j, sum);
  }
  for (; j < k; ++j) {
    y[j] = 0;
    for (std::ptrdiff_t i = 0; i < m; ++i) y[j] += x[i] * a[i * k + j];
  }
}

}  // namespace hopfix::kernels::HOPFIX_LEVEL
