// From fixed points up to the exchange of patterns (exchangeable.hpp) to all of them.
//
// Exchanges are isometries of the state space that commute with f: the images of a certified state
// are certified with its radii and its spectrum, up to the rounding with which they are computed.
// Which weights of its fixed point are equal, and so how many images there are, is decided from the
// certificate. Let Q exchange i and j of a class, L = |x_i - x_j|. Q moves the state xi by
// 2 |(x_i - x_j) . xi| / L. If that plus the radius is below the uniqueness radius, Q keeps the
// fixed point, and p_i = p_j. If |(x_i - x_j) . xi| > L radius, then p_i and p_j differ.
//
// The image under disjoint exchanges (a b) of one with a smaller weight is
// xi - sum (x_a - x_b) ((x_a - x_b) . xi) / D, since the x_a - x_b are orthogonal.
#pragma once

#include <vector>

#include "exchangeable.hpp"
#include "hopfix/cells.hpp"

namespace hopfix {

// `list` holds, of every orbit of fixed points, those in the fundamental domain of
// symmetric_contractor.hpp, in double precision, and the regions that may hold more of these. The
// result has all images, in the order of their representatives, each first, or as many as
// options.max_count, 8 GiB of memory and the rest of options.time_limit allow. A region that stands
// for a whole orbit, of fixed points or of regions, contains it; regions with few images are listed
// one by one. O(n dim) an image.
CellList expand_orbits(const Network<double>& network,
                       const std::vector<ExchangeableClass>& classes, CellList list,
                       const CellOptions& options, const Execution& execution);

}  // namespace hopfix
