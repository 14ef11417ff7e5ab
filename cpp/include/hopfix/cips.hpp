// How far a face is convexly inner product separated (CIPS) from the other patterns:
//
//   margin(I) = min over xi in conv(x_I) of [ max_{i in I} x_i . xi - max_{j not in I} x_j . xi ]
//             = min over j not in I of the value of the matrix game  (x_i - x_j) . x_k,  i, k in I,
//
// whose row player (i) maximises and whose column player (k) minimises. Each game is solved by the
// simplex method; whatever it returns, its two mixed strategies, clipped at zero, bound the value
// from both sides, and those bounds are widened by all rounding: of the payoffs, of the strategies'
// sums and of the products. So lower <= margin <= upper holds for the patterns as given.
//
// O(|I| N) payoffs rows of O(|I|) and some |I| pivots of O(|I|^2) for each of the N - |I| games.
// Source: "On Unstable Fixed Points in Modern Continuous Hopfield Networks", definition of CIPS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hopfix/parallel.hpp"

namespace hopfix {

struct CipsMargins {
  std::vector<double> lower, upper;  // one per face; both +infinity if the face holds all patterns
};

// patterns: (n, dim) row-major; faces: (count, size) row-major, distinct indices of 0..n-1 in a
// row.
CipsMargins cips_margins(const double* patterns, std::ptrdiff_t n, std::ptrdiff_t dim,
                         const std::int64_t* faces, std::ptrdiff_t count, std::ptrdiff_t size,
                         const Execution& execution);

}  // namespace hopfix
