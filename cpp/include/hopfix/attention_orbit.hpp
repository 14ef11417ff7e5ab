// Proofs that the mean field of attention (attention_dynamics.hpp) has a cycle near a given one.
//
// The attentions a_1, ..., a_p of a cycle solve G_t(a) = a_t - F_t(a_t-1, ..., a_t-L) = 0, indices
// modulo p. Let |.| be the largest component, C any matrix (an approximate inverse of G'(a)), and
// nu >= |I - C G'(b)| for all b within rho of a, in the norm that belongs to it. If |C G(a)| + nu
// rho < rho the map b - C G(b) contracts that ball into itself: exactly one cycle lies in it, and
// it is within |C G(a)| / (1 - nu) of a (Krawczyk 1969, Rump 1999). F and its derivatives are
// enclosed in interval arithmetic, gamma / sqrt(M) and 1 - epsilon included; the map meant is the
// one of the doubles that the system holds. O(p (L M + K) + n^2 L M) interval operations, n = p M.
#pragma once

#include <cstddef>
#include <limits>

#include "hopfix/attention_dynamics.hpp"

namespace hopfix {

struct OrbitCertificate {
  // Exactly one cycle lies within uniqueness_radius, and it is within radius; NaN where not proved.
  double radius = std::numeric_limits<double>::quiet_NaN();
  double uniqueness_radius = std::numeric_limits<double>::quiet_NaN();
  bool certified() const { return radius == radius; }
};

// attention: p x M, the first at `position`; inverse: n x n, rows and columns by step, then
// feature. p is a multiple of L if positions differ. Throws std::runtime_error in a thread that
// does not round to nearest with gradual underflow.
OrbitCertificate certify_attention_orbit(const AttentionSystem& system, double beta, double gamma,
                                         double position_weight, const double* attention,
                                         std::ptrdiff_t period, std::ptrdiff_t position,
                                         const double* inverse, const Execution& execution);

}  // namespace hopfix
