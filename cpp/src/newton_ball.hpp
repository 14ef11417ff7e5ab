// Where Newton's method proves a fixed point of a gradient map with a self-concordant derivative.
//
// Let J be the symmetric positive semi-definite derivative of the map, with
//   exp(-rate |d|) J(xi) <= J(xi + d) <= exp(rate |d|) J(xi)      for every d,
// and lambda its eigenvalues at xi. Then at most one fixed point lies strictly within
// ln(1 + min |1 - lambda| / lambda) / rate of xi, and one within rho if q(rho) = (exp(rate rho) -
// 1) sqrt(lambda_max) max sqrt(lambda) / |1 - lambda| < 1 and |(I - J)^-1 (xi - f(xi))| <= (1 - q)
// rho (see hopfix/certificate.hpp).
#pragma once

#include <optional>

#include "hopfix/rounding.hpp"
#include "spectrum.hpp"

namespace hopfix {

struct NewtonBall {
  double radius;             // a fixed point lies within this distance
  double uniqueness_radius;  // at most one lies strictly within; larger than `radius`
};

// A bound of exp(t) - 1 for t >= 0.
UpperBound growth(UpperBound t);

// `residual` bounds |xi - f(xi)|. Nothing where the test does not succeed.
std::optional<NewtonBall> find_newton_ball(const Spectrum& spectrum, UpperBound rate,
                                           UpperBound residual);

}  // namespace hopfix
