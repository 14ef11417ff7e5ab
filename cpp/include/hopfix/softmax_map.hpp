// All fixed points of the softmax map p -> softmax(beta p) on n components (the network whose
// patterns are the unit vectors), with their spectra.
//
// A fixed point other than the centre 1/n has k components u and n - k components v < u,
// 1 <= k < n. With y = ln(u / v) > 0,
//
//   u = 1 / (k + (n - k) e^-y),   v = e^-y u,
//   fixed  <=>  beta = B_{n,k}(y),   B_{n,k}(y) = k y + n g(y),   g(y) = y / (e^y - 1).
//
// B is strictly convex, B(0) = n and B'(0) = k - n/2. Hence for k < n/2 a threshold
// beta_{n,k} = min B < n: no such point below it, two between it and n, one from n on (at n the
// other one has merged with the centre). For k >= n/2 the threshold is n: none up to n, one above.
//
// Source: Tiňo, "Bifurcation structure of equilibria of iterated softmax" (2009).
#pragma once

#include <cstdint>
#include <vector>

namespace hopfix {

// One class of fixed points: the C(n, k) placements of the k components u. The centre has k = n.
//
// u, v, log_ratio and the eigenvalues are within one ulp of the exact values, except that where v
// is subnormal (y > 700) eigenvalue_v and eigenvalue_mixed, below 1e-280 there, keep the absolute
// error of v times beta and n. Where beta is within a few ulp of n, u and v may round to the same
// number; morse_index is exact regardless.
struct SoftmaxMapClass {
  std::int64_t k;            // how many components equal u
  double u;                  // the k larger components
  double v;                  // the n - k smaller components
  double log_ratio;          // y = ln(u / v); 0 at the centre
  double eigenvalue_u;       // beta u, k - 1 times in the Jacobian's spectrum; always > 1 for k < n
  double eigenvalue_v;       // beta v, n - k - 1 times; always < 1 for k < n
  double eigenvalue_mixed;   // beta n u v, once for k < n, absent at the centre
  std::int64_t morse_index;  // the number of eigenvalues > 1; a further eigenvalue is 0, once
  bool degenerate;           // an eigenvalue is 1: a double root at a threshold, the centre at n
};

// The smallest beta from which points with k components u exist (an infimum for k >= n/2, where
// it is n); correctly rounded but for near-ties. O(log n) double-double operations.
// Requires 2 <= n <= 2^53, 1 <= k < n; std::invalid_argument otherwise.
double softmax_map_threshold(std::int64_t n, std::int64_t k);

// Every class at this beta, by ascending k, then descending u; the centre comes last.
//
// A class whose threshold rounds to beta is listed once, as degenerate, at its fold: whether it
// has no or two points there is decided beyond the precision of a double. At beta = n the centre
// (n > 1) is degenerate and stands for the roots that have merged with it.
// O(n) double-double operations: 0.03 s for n = 10,000.
// Requires 1 <= n <= 2^53, beta finite and > 0; std::invalid_argument otherwise.
std::vector<SoftmaxMapClass> softmax_map_classes(std::int64_t n, double beta);

}  // namespace hopfix
