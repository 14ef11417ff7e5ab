// From which inverse temperature on a face of k affinely independent patterns x_i, i in I, surely
// has an unstable fixed point of f (log-weights 0), and where.
//
// The region. Barycentric coordinates lambda_i of the face, extended to all of space by orthogonal
// projection onto aff(x_I); theta = (1 - alpha) / k for a shrinkage 0 < alpha < 1. The shrunk face
// S = {lambda_i >= theta} within aff(x_I) has the vertices v_k = theta sum_m x_m + alpha x_k, and
// R = S + D with D the ball of radius eps in the directions orthogonal to the face.
//
// Theorem. Let, for all xi in R,
//   (out)  lambda_i(f(xi)) < theta  where lambda_i(xi) = theta,  for every i in I (void if k = 1),
//   (in)   |P_orth (f(xi) - x_i)| <= eps.
// Then f has a fixed point in R, and for k >= 2 one that is no local minimum of the energy, hence
// unstable. If none lies on the boundary of R, the indices of those in R add up to (-1)^(k-1), and
// if none is degenerate either, one has Morse index k - 1.
// Proof. Write xi = (s, t) along and across the face, and let F = s - f_along, pi the nearest point
// in S. (s, t) -> (pi(s + F), f_across) maps the compact convex R into itself: it has a fixed
// point, where f_across = t and F is in the normal cone of S at s, F = -sum c_i grad lambda_i over
// the facets that contain s, c_i >= 0. By (out) grad lambda_i . F > 0 there, so |F|^2 <= 0.
// The gradient flow xi' = f - xi of the analytic energy leaves R exactly through the facets of S,
// transversally, by (in) and (out). A trajectory that stays converges. Were all critical points in
// R local minima, the points that stay and those that leave would both be open sets, neither empty
// (the fixed point; the facets), that make up the connected R. The exit set is the boundary of S
// times D, so the Conley index is that of a (k-1)-sphere, which gives the last two claims. A point
// that is no minimum is unstable for f too, since f lowers the energy and near a critical point of
// an analytic function all others have its value.
// (Theorem 2.1 of the source, Poincare-Miranda, gives the existence; nothing here asks for CIPS.)
//
// What is checked. With P = sum_{m in I} exp(beta (x_m - x_i) . xi), w_j the distance of x_j from
// aff(x_I), and margins
//   D_j  <= min over S            of max_{m in I} (x_m - x_j) . xi,
//   D_ij <= min over facet i of S of the same,
// pattern j outside weighs at most exp(-beta (D_j - eps w_j)) of what the face weighs on R, and
// likewise D_ij on facet i. So
//   (in)   sum_j w_j exp(-beta (D_j - eps w_j)) <= eps,  or  eps >= max_j w_j,
//   (out)  min over facet i of S of log P > -log(theta - s_i),
//          s_i = sum_j max(0, lambda_i(x_j) - theta) exp(-beta (D_ij - eps w_j)),
// suffice. The minimum of log P is a convex problem. Weak duality: for every probability vector p
// over I it is at least H(p) + beta min_k sum_m p_m (x_m - x_i) . v_k, k != i. D_j and D_ij are
// values of matrix games, bounded below by any strategy in the same way. These vectors are the
// certificate: whoever has them checks the claim with O(k^2 N) interval operations.
//
// Every larger beta. If all exponents D - eps w that occur are >= 0, the conditions at beta imply
// those at every larger one, with the same R: the exponentials fall, and so does the right side of
// (out), while log P at a fixed xi is convex in beta with the value log k < log 1 / theta at 0, so
// that once above the right side it rises. That is part of what is checked. Conversely `beta` is
// the smallest for which these conditions hold at the shrinkage returned (the outside terms bounded
// one by one, so that a sharper treatment of them may allow less); the shrinkage itself is found on
// grids refined around the best one, from 1e-6 to 1 - 1e-6.
//
// If the face and its facets are CIPS, all exponents are positive for alpha near 1 and eps near 0,
// and a sufficient beta exists. Singletons: (in) alone; a fixed point within eps of the pattern.
//
// "lemma" puts the mass bound (N - k) exp(-beta Delta) of Lemma 2.4 (Delta the least margin) in
// the place of the sums: 2 L (N-k) exp(-beta (Delta - eps w)) <= eps with L the largest norm, and
// (N-k+1) Lambda_i exp(-beta (Delta_i - eps w)) <= theta, Delta_i the margin on facet i of the set
// I without i and Lambda_i >= 1 the largest lambda_i of a pattern. It implies the above, by which
// it is checked.
//
// Source: "On Unstable Fixed Points in Modern Continuous Hopfield Networks", Theorems 2.1 and 3.1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hopfix/parallel.hpp"

namespace hopfix {

// Vectors that need only be non-negative, not normalised; q = N - k patterns outside, ascending
// (q = 0 for an isolated face).
struct FaceWitness {
  std::vector<double> facet_weights;      // (k, k): p of facet i; k = 1: empty
  std::vector<double> margin_strategies;  // (q, k): proves D_j
  std::vector<double> facet_strategies;   // (k, q, k): proves D_ij; k = 1: empty
};

struct SufficientBeta {
  double beta;       // infinite: none was proved, see reason
  double shrink;     // alpha; NaN without beta
  double thickness;  // eps; NaN without beta
  const char* reason = "";
  FaceWitness witness;
};

enum class BetaMethod { kExact, kLemma };

struct SufficientBetaOptions {
  bool isolated = false;
  BetaMethod method = BetaMethod::kExact;
  double shrink = 0;  // 0: optimised
};

// patterns: (n, dim) row-major; faces: (count, size) row-major, distinct indices in a row.
// Some 60 shrinkages a face, each O(k^2 (N - k)) to set up games of O(k^3) and a few convex
// problems of O(k^3) a step. Tasks are faces times shrinkages; results do not depend on threads.
std::vector<SufficientBeta> sufficient_betas(const double* patterns, std::ptrdiff_t n,
                                             std::ptrdiff_t dim, const std::int64_t* faces,
                                             std::ptrdiff_t count, std::ptrdiff_t size,
                                             const SufficientBetaOptions& options,
                                             const Execution& execution);

// Whether the witness proves the claim, in interval arithmetic; `claim.reason` is not looked at.
bool proves_sufficient_beta(const double* patterns, std::ptrdiff_t n, std::ptrdiff_t dim,
                            const std::int64_t* face, std::ptrdiff_t size, bool isolated,
                            const SufficientBeta& claim);

}  // namespace hopfix
