// The Brouwer degree of id - f on a box of states, proved from the boundary of the box alone.
//
// With g(xi) = xi - f(xi), the degree counts how often g covers a ray on the way round the
// boundary. The boundary is split until on every piece one component of g has a proved sign, which
// shows that no fixed point lies on it; then
//
//   deg(g, box) = sum over the pieces Q with g_l > 0 of +-deg(g without g_l, Q),
//
// the degree of d - 1 functions of d - 1 variables, and so on down to points. A piece on which any
// other component has a sign adds nothing. The sign is (-1)^(k + l) on the face of the largest
// k-th coordinate, the opposite on the other. Pieces are split off the middle, and rays are changed
// if one runs through the edge of a piece, since on these g without g_l must not vanish either.
//
// Cost: boxes of O(m^2 dim + m dim^2 + n dim) operations, m of n patterns with weight on it
// (without the square above 128); their number grows like (size of the box / scale of f)^(dim - 1),
// practical up to dim = 5 or so.
//
// Source: Franek & Ratschan, "Effective topological degree computation based on interval
// arithmetic" (2015), for the recursion.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "hopfix/network.hpp"

namespace hopfix {

struct DegreeOptions {
  std::int64_t max_boxes = INT64_MAX;
  double time_limit = HUGE_VAL;  // seconds
  // Boxes examined, and those with the ones that wait; calling thread only.
  std::function<void(std::int64_t done, std::int64_t total)> progress;
};

enum class DegreeFailure {
  none,
  boundary,        // a fixed point on the boundary, or too near it
  no_general_ray,  // every ray tried runs through the edge of a piece
  box_limit,
  time_limit,
};

// One sentence for people; empty for none.
const char* describe(DegreeFailure failure);

struct BrouwerDegree {
  DegreeFailure failure = DegreeFailure::none;
  std::int64_t value = 0;     // where failure is none
  std::vector<double> state;  // for failure boundary: where
  std::int64_t boxes = 0;
};

// lower < upper (dim each), finite. Runs in the calling thread. Throws Interrupted when a stop was
// requested, std::runtime_error where the thread does not compute in round-to-nearest with gradual
// underflow.
BrouwerDegree brouwer_degree(const Network<double>& network, const double* lower,
                             const double* upper, const DegreeOptions& options,
                             const Execution& execution);

}  // namespace hopfix
