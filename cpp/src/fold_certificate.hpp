// Proof of a generic fold.
//
// On the system xi - f(xi; beta) = 0, v - J v = 0, |v|^2 = 1 in (xi, v, beta), of 2 dim + 1
// equations for the given patterns, Krawczyk's operator is evaluated in interval arithmetic: where
// it maps a box into its interior there is exactly one solution in the box, and the derivative of
// the system is regular all over it. Such a solution is a fixed point with a simple eigenvalue 1
// of J at which beta turns quadratically (Moore & Spence 1980).
#pragma once

#include <vector>

#include "hopfix/continuation.hpp"

namespace hopfix {

struct FoldCertificate {
  bool certified = false;
  double radius = 0;       // the fold's state is within this distance of the one given
  double beta_radius = 0;  // and its beta
};

// The most dimensions for which a proof is tried: (2 dim + 1)^3 interval operations.
inline constexpr std::ptrdiff_t kMostFoldDimensions = 64;

// state and v (dim each, |v| near 1) close to the fold. O(n dim^2 + dim^3). Never certified where
// the thread does not round to nearest.
FoldCertificate certify_fold(const Network<double>& network, const LogitTerms& terms,
                             const std::vector<double>& state, const std::vector<double>& v,
                             double beta);

}  // namespace hopfix
