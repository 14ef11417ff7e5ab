// Orthonormal coordinates of the affine hull of the patterns, where all fixed points lie.
#pragma once

#include <cstddef>
#include <vector>

#include "hopfix/network.hpp"

namespace hopfix {

// xi = base + basis^T eta with base the projection of the origin onto the hull, so that
// x . xi = |base|^2 + x' . eta: the reduced patterns x' (n x rank) with the same beta and
// log-weights are a Hopfield network with the same dynamics.
struct AffineHull {
  std::ptrdiff_t rank = 0;
  std::vector<double> base;      // dim
  std::vector<double> basis;     // rank x dim, orthonormal rows
  std::vector<double> patterns;  // n x rank

  // states (count x rank) -> count x dim.
  std::vector<double> embed(const double* states, std::ptrdiff_t count) const;
};

// Pivoted Gram-Schmidt on the centred patterns; directions below n eps times the largest are taken
// as rounding. O(n dim rank).
AffineHull affine_hull(const double* patterns, std::ptrdiff_t n, std::ptrdiff_t dim);

}  // namespace hopfix
