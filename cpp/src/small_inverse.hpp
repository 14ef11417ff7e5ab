// Approximate inverses of small matrices, for proofs that judge them by their residual.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace hopfix {

// to += factor from; apart, so that compilers vectorise it.
inline void add_multiple(double* __restrict to, double factor, const double* __restrict from,
                         std::ptrdiff_t count) {
  for (std::ptrdiff_t k = 0; k < count; ++k) to[k] += factor * from[k];
}

// y (m x m) becomes its inverse, by Gauss-Jordan elimination with partial pivoting; false, with y
// of no meaning, where a pivot vanishes. `pivots` is scratch. O(m^3).
inline bool invert_in_place(double* y, std::ptrdiff_t m, std::vector<std::ptrdiff_t>& pivots) {
  pivots.resize(static_cast<std::size_t>(m));
  for (std::ptrdiff_t c = 0; c < m; ++c) {
    std::ptrdiff_t pivot = c;
    for (std::ptrdiff_t a = c + 1; a < m; ++a)
      if (std::fabs(y[a * m + c]) > std::fabs(y[pivot * m + c])) pivot = a;
    pivots[static_cast<std::size_t>(c)] = pivot;
    if (!(std::fabs(y[pivot * m + c]) > 0)) return false;
    if (pivot != c) std::swap_ranges(y + pivot * m, y + (pivot + 1) * m, y + c * m);
    double* const row = y + c * m;
    const double scale = 1 / row[c];
    row[c] = 1;
    for (std::ptrdiff_t k = 0; k < m; ++k) row[k] *= scale;
    for (std::ptrdiff_t a = 0; a < m; ++a) {
      if (a == c) continue;
      const double factor = y[a * m + c];
      y[a * m + c] = 0;
      add_multiple(y + a * m, -factor, row, m);
    }
  }
  for (std::ptrdiff_t c = m; c-- > 0;)
    if (const std::ptrdiff_t pivot = pivots[static_cast<std::size_t>(c)]; pivot != c)
      for (std::ptrdiff_t a = 0; a < m; ++a) std::swap(y[a * m + c], y[a * m + pivot]);
  return true;
}

}  // namespace hopfix
