// What it takes to follow saddles down their sides to the attractors they join, in double
// precision.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hopfix/network.hpp"
#include "hopfix/parallel.hpp"

namespace hopfix {

// out (count x dim) = unit eigenvectors of the largest eigenvalue of J(states), of either sign: the
// unstable direction of a saddle of Morse index 1. To rounding for min(n, dim) <= 64, else by
// Lanczos with an estimated relative error of 1e-5 where the next eigenvalue is not close. NaN
// where J overflows. Cost as `Network::spectral_radius`; throws as that.
void leading_directions(const Network<double>& network, const double* states, std::ptrdiff_t count,
                        double* out, const Execution& execution);

// out (count) = the number of the place (n x dim) nearest to each state, the first of several, or
// -1 if it is further away than its reach (n). O(count n dim), most of which is saved where some
// place is close. Throws Interrupted when a stop was requested.
void nearest_within(const double* states, std::ptrdiff_t count, const double* places,
                    const double* reach, std::ptrdiff_t n, std::ptrdiff_t dim, std::int64_t* out,
                    const Execution& execution);

}  // namespace hopfix
