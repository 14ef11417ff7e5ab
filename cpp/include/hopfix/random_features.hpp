// Random features: maps phi with E[phi(a) . phi(b)] = k(a, b) over Gaussian rows w_1 ... w_r.
//
//   exponential   phi_j(z) = r^(-1/2) exp(w_j . z - |z|^2 / 2),   k(a, b) = exp(a . b)
//   rectified     phi_j(z) = r^(-1/2) (max(w_j . z, 0) + offset)
//
// O(r d) a row, in tiles: each number is summed in the order of the components alone, so that
// results are bitwise the same for every number of threads and for a row alone or in any batch.
// Accuracy: relative error of an exponential about u (d sum_k |w_jk z_k| + |z|^2) + 3 u, u the unit
// roundoff; it overflows to +inf and underflows to 0.
//
// Source: Choromanski et al., "Rethinking Attention with Performers" (2021), Lemma 1 and Eq. 8.
#pragma once

#include <cstddef>

#include "hopfix/parallel.hpp"

namespace hopfix {

enum class FeatureKind { exponential, rectified };

// The rows w_j (count x dim, row-major).
template <class T>
struct FeatureMap {
  FeatureKind kind;
  const T* matrix;
  std::ptrdiff_t count, dim;
  T offset = 0;
};

// out (n x map.count) := phi of the rows (n x map.dim). Throws Interrupted when asked to stop.
template <class T>
void random_features(const FeatureMap<T>& map, const T* rows, std::ptrdiff_t n, T* out,
                     const Execution& execution);

// out (m x n) := a^T b for a (k x m) and b (k x n), row-major.
template <class T>
void transposed_product(const T* a, const T* b, std::ptrdiff_t k, std::ptrdiff_t m,
                        std::ptrdiff_t n, T* out, const Execution& execution);

}  // namespace hopfix
