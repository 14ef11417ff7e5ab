// Searches for fixed points of f, of every Morse index.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "hopfix/certificate.hpp"
#include "hopfix/network.hpp"

namespace hopfix {

struct FixedPointList {
  std::vector<double> states;  // count x dim
  std::vector<Certificate> certificates;
  bool time_limit_reached = false;
  bool count_limit_reached = false;
  bool interrupted = false;
  std::int64_t starts = 0;  // Newton runs made

  std::ptrdiff_t size() const { return static_cast<std::ptrdiff_t>(certificates.size()); }
};

struct SearchOptions {
  std::uint64_t seed = 0;
  std::int64_t max_count = INT64_MAX;  // stop when this many points are known
  double time_limit = HUGE_VAL;        // seconds
  bool single_precision = false;       // round states to float before they are certified
  std::function<void(std::int64_t done, std::int64_t total)> progress;  // calling thread only
};

// Multi-start: stored patterns (after plain retrieval), their mean, their pairwise means, the
// barycentres of all faces while these are few, and Dirichlet mixtures of random faces of every
// size, each followed by damped Newton in the affine hull. Newton's limits are told apart by
// their certificates: a limit inside half the uniqueness ball of a known point is that point. The
// search goes on until the degree sum and the Morse inequalities hold and a share of the starts
// as large as all before it has found nothing new. It cannot know that it is complete.
// The result does not depend on the number of threads. Throws std::runtime_error where a thread
// does not compute in round-to-nearest with gradual underflow.
FixedPointList fixed_points_by_starts(const Network<double>& network, const SearchOptions& options,
                                      const Execution& execution);

// Whether points are all certified and their Morse indices pass the degree sum and the strong Morse
// inequalities in `dim` dimensions: necessary for a complete list, not sufficient.
bool passes_degree_audit(const std::vector<Certificate>& certificates, std::ptrdiff_t dim);

// Whether patterns are orthogonal with equal norms and log-weights are equal, up to rounding:
// x_i . x_j within `tolerance` |x_1|^2 of |x_1|^2 delta_ij. O(n^2 dim).
bool is_equinorm_orthogonal(const Network<double>& network, double tolerance);

// Weights of the fixed points with k patterns at weight u and the others at v: one row of n per
// k-subset, in lexicographic order, at most `limit` rows.
std::vector<double> subset_weights(std::ptrdiff_t n, std::ptrdiff_t k, double u, double v,
                                   std::int64_t limit);

}  // namespace hopfix
