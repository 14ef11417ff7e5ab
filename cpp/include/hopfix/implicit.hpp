// The linear system behind derivatives of a fixed point.
//
// A fixed point xi = f(xi, theta) moves by dxi = (I - J)^-1 (df/dtheta) dtheta (the implicit
// function theorem), so that c . dxi = lambda . (df/dtheta) dtheta with (I - J) lambda = c.
#pragma once

#include "hopfix/network.hpp"

namespace hopfix {

// out (count x dim): (I - J(state)) lambda = c for every state; states need not be fixed points.
// distances (count): about 1 / (|(I - J)^-1| max(1, |J|)); near the unit roundoff I - J is
// singular to working precision, and out is then not to be used. By LU on the smaller of N and
// dim, O(N d m + m^3), or for m = min(N, d) > 768 by Lanczos to a relative residual of 1e-14,
// O(steps N d). Patterns without weight are dropped as in Network::jacobian.
void solve_fixed_point_adjoint(const Network<double>& network, const double* states,
                               const double* cotangents, std::ptrdiff_t count, double* out,
                               double* distances, const Execution& execution);

}  // namespace hopfix
