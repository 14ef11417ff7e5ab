// Critical faces: the critical points of the limit beta -> infinity, where the energy becomes
//
//   E(xi) = |xi|^2 / 2 - max_i s_i(xi),   s_i(xi) = x_i . xi + a_i     (half the power distance).
//
// A set I of patterns is a critical face if it is affinely independent and the point xi_I of
// aff(x_I) at which its scores are all equal, to c say, has (1) xi_I = sum_I p_i x_i with p > 0 and
// (2) s_j(xi_I) < c for every j outside I. Its fixed point has Morse index |I| - 1 for large beta.
//
// Enumeration. Depth first over index sets in ascending order. Let V_J = {xi : the scores of J are
// equal and no score is larger}, the face of the power diagram that belongs to J.
//
//   (a) If I is critical and J a subset of I, then V_J is not empty: xi_I lies in V_I, and
//       V_I lies in V_J. So a J with empty V_J has no critical superset.
//   (b) With a = 0, E(xi_I) = -|xi_I|^2 / 2, as c = p . X^T xi_I = |xi_I|^2. Let alpha_J be the
//       minimum of |xi|^2 / 2 - c over V_J. It grows with J, since V_J shrinks, and is at most 0,
//       since the origin is in every V_J. If it is 0, a critical superset of J has its point at the
//       origin, where all patterns tie: it is the set of all patterns or none.
//   (c) A pattern m can extend J only if V_{j,m} is not empty (alpha < 0 if a = 0) for all j in J.
//
// alpha_J is a quadratic programme, and any weights with sum 1, free on J and <= 0 elsewhere, bound
// it from below; the energies of critical sets within J and its candidates are bounded from above
// by any point (src/power_cell.hpp). The two bounds, from weights and points that need not be
// exact, are evaluated with all rounding: a node is dropped, and candidates are, only where these
// prove that nothing is lost. Where the patterns are independent (linearly if a = 0, else affinely)
// no V_J is empty and nothing is solved.
//
// A child appends a row to the inverse Cholesky factor of the Gram matrix of the differences:
// O(|J|^2), and O(|J| N) for the scores of all patterns.
//
// Rounding. Weights are known to within 16 k u ||M^-1|| S (1 + sum |p|), M that Gram matrix, S the
// largest |x|^2 + |a|, and scores to the error this and summation bring. What this leaves open is
// solved again in double-double arithmetic, and what that leaves open, as sets nearer to affine
// dependence than 1e-6 of the scale, exactly (src/exact_face.hpp), for the patterns and offsets as
// given: what is reported as tied ties, and no set is left out for being nearly dependent. Only
// where the numbers' exponents differ by some 500 or more are sets reported as tied that are
// undecided. With a = 0 a node is dropped where weights with sum x_k w_k = 0 put all its critical
// supersets at the origin; where rounding alone hides whether there are such weights, origin_radius
// tells how far from it faces may have been lost, some 1e-15 of the largest |x| (more for
// ill-conditioned sets).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "hopfix/parallel.hpp"

namespace hopfix {

struct CriticalFaceOptions {
  std::ptrdiff_t max_size = 0;  // 0: no limit
  std::int64_t max_count = INT64_MAX;
  double time_limit = HUGE_VAL;                                         // seconds
  std::function<void(std::int64_t done, std::int64_t total)> progress;  // called by the caller
};

// Ragged: the k-th face is indices[first[k]] .. indices[first[k + 1] - 1], with its weights.
struct CriticalFaceList {
  std::vector<std::int64_t> first{0}, indices;
  std::vector<double> weights, gaps;  // gap: c less the largest score outside; inf if none outside
  // Sets of tied or undecided patterns with the weights (of an affinely independent subset, zeros
  // elsewhere) that give their point.
  std::vector<std::vector<std::int64_t>> tied;
  std::vector<std::vector<double>> tied_weights;
  // Without offsets, faces whose points are nearer to the origin than this may be missing.
  double origin_radius = 0;
  bool complete = true;  // up to max_size; false: cut short by a limit or interrupted
  bool interrupted = false;
};

// patterns: (n, dim) row-major; offsets: n numbers, or null for zeros. O(n^2) memory beside the
// answer. The same bits for every number of threads unless the time limit or an interruption cuts.
CriticalFaceList critical_faces(const double* patterns, const double* offsets, std::ptrdiff_t n,
                                std::ptrdiff_t dim, const CriticalFaceOptions& options,
                                const Execution& execution);

}  // namespace hopfix
