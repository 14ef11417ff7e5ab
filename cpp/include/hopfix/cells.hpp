// Exhaustive search for the fixed points of f: finds them all and proves that there are no others.
//
// Branch and bound over boxes, either of the softmax weights p (src/weight_form.hpp: few patterns
// in any dimension) or of coordinates of the affine hull of the patterns (src/hull_form.hpp: any
// number of patterns in few dimensions). A box is shrunk around the fixed points it may hold; it is
// done with when nothing is left, or when it has come down to a certified fixed point whose
// uniqueness ball covers it. Otherwise it is split. Existence is claimed by certificates alone
// (certificate.hpp), absence by bounds in which all rounding is included: both are about the exact
// map for the given doubles.
//
// Over the weights, patterns that can be exchanged, because the Gram matrix and the log-weights
// stay exactly what they are, are searched for together: one point of every orbit, and then its
// images. N orthonormal patterns (exactly, as the unit vectors) have 2^N - 1 fixed points in at
// most 2 N orbits.
//
// Cost: boxes of O(n^3) operations each over the weights, of O(n 2^rank rank) over the hull; their
// number depends on the problem. Over the weights, per fixed point: two for 8 orthonormal patterns
// and six for 12, 130 for 16 random ones in 64 dimensions, 1,000 for 24 in 24. Over the hull: 12
// for 1,000 patterns in 2 dimensions, 60 for 500 in 3, 40 for 20 in 4, 2,200 for 30 in 6.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "hopfix/certificate.hpp"
#include "hopfix/network.hpp"

namespace hopfix {

enum class UndecidedReason {
  degenerate,    // around a point at which an eigenvalue of J is 1, or nearly so
  precision,     // as small as boxes get, but no certificate
  indistinct,    // two certified points that may be one and the same
  hard_support,  // "faces": the large weights of some patterns took too many regions
  box_limit,
  count_limit,
  memory_limit,
  time_limit,
  interrupted,
};

// One sentence for people.
const char* describe(UndecidedReason reason);

// A region that may hold fixed points which are not in the list: within `radius` of `state`.
struct UndecidedRegion {
  std::vector<double> state;
  double radius;
  UndecidedReason reason;
};

// What the boxes are boxes of.
enum class CellForm {
  automatic,
  weights,  // of the softmax weights p: any dimension
  hull,     // of coordinates of the affine hull of the patterns: any number of patterns
};

struct CellOptions {
  CellForm form = CellForm::automatic;
  // Search over weights up to the exchange of patterns that leaves the problem as it is
  // (exchangeable.hpp).
  bool symmetry = true;
  std::int64_t max_boxes = INT64_MAX;
  std::int64_t max_count = INT64_MAX;
  double time_limit = HUGE_VAL;   // seconds
  bool single_precision = false;  // round states to float before they are certified
  // Boxes examined, and those with the ones that wait; calling thread only.
  std::function<void(std::int64_t done, std::int64_t total)> progress;
};

struct CellList {
  std::vector<double> states;  // count x dim, in the order found
  std::vector<Certificate> certificates;
  std::vector<UndecidedRegion> undecided;             // empty: the list is proved to be complete
  bool interrupted = false;                           // by the caller's stop_requested or progress
  CellForm form = CellForm::automatic;                // the one used
  std::vector<std::vector<std::ptrdiff_t>> symmetry;  // classes of exchangeable patterns, if used
  std::ptrdiff_t representatives = 0;  // points found, of which the others are images
  std::int64_t boxes = 0;
  std::int64_t newton_steps = 0;
  int depth = 0;  // most splits above one box
  double seconds = 0;

  std::ptrdiff_t size() const { return static_cast<std::ptrdiff_t>(certificates.size()); }
};

constexpr std::ptrdiff_t kMostPatternsOfWeightCells = 128;
constexpr std::ptrdiff_t kHighestRankOfHullCells = 8;
constexpr std::ptrdiff_t kMostPatternsOfHullCells = std::ptrdiff_t{1} << 21;

struct CellPlan {
  CellForm form;
  double seconds_of_a_box;  // rough, at most, one core
};

// The form that `form` stands for, and what a box of it costs. Throws std::invalid_argument where
// the form cannot be had. O(n dim rank).
CellPlan plan_cells(const Network<double>& network, CellForm form);

// The same result for every number of threads, but for the limits of time. Throws
// std::invalid_argument as plan_cells does, std::runtime_error where a thread does not compute in
// round-to-nearest with gradual underflow. Where beta |x|^2 leaves the range of doubles, everything
// is undecided.
CellList fixed_points_by_cells(const Network<double>& network, const CellOptions& options,
                               const Execution& execution);

}  // namespace hopfix
