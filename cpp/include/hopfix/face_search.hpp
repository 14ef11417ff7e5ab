// The fixed points of a network near the critical faces of its limit beta -> infinity.
//
// A seed is a set of patterns with positive weights: a critical face (critical_faces.hpp) or a tied
// set with its weights of maximum entropy. Newton's method on the weights of the set by itself
// (face_newton.hpp), whose first step is the first-order correction in 1 / beta, then with all
// patterns whose weight is felt in double precision, leads to the fixed point, if it still exists
// at this beta; the weights of all other patterns follow from the scores.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "hopfix/cells.hpp"
#include "hopfix/network.hpp"

namespace hopfix {

// Ragged: the k-th set is indices[first[k]] .. indices[first[k + 1] - 1], with its weights.
struct FaceSeeds {
  std::vector<std::int64_t> first{0}, indices;
  std::vector<double> weights;

  std::ptrdiff_t size() const { return static_cast<std::ptrdiff_t>(first.size()) - 1; }
};

struct FaceSearchOptions {
  std::int64_t max_count = INT64_MAX;
  // Of the proof, sets of patterns included, and as many boxes at most; 0: no proof.
  std::int64_t max_regions = INT64_MAX;
  bool boxes = true;              // may prove, too: of states or weights, as in cells.hpp
  double time_limit = HUGE_VAL;   // seconds
  bool single_precision = false;  // round states to float before they are certified
  std::function<void(std::int64_t done, std::int64_t total)> progress;  // calling thread only
};

struct FaceSearchList {
  std::vector<double> states;  // count x dim
  std::vector<Certificate> certificates;
  std::vector<UndecidedRegion> undecided;  // limits reached, and points that may be one
  std::vector<UndecidedRegion> open;       // where the proof of completeness came to its end
  bool proved = false;                     // the certified points are all there are
  bool interrupted = false;                // by the caller's stop_requested or progress
  // Of the boxes that proved it (cells.hpp); automatic: it was by supports
  // (src/support_search.hpp).
  CellForm form = CellForm::automatic;
  std::int64_t sets = 0;     // of patterns that may carry a fixed point, in the proof by supports
  std::int64_t regions = 0;  // examined for them, or boxes
  std::int64_t newton_steps = 0;
  int depth = 0;  // most splits above one region
  double seconds = 0;

  std::ptrdiff_t size() const { return static_cast<std::ptrdiff_t>(certificates.size()); }
};

// O(n dim + |I|^3) a Newton step and point, |I| the patterns whose weight is felt. The same result
// for every number of threads, but for the limits of time. Throws std::runtime_error where a thread
// does not compute in round-to-nearest with gradual underflow.
FaceSearchList fixed_points_by_faces(const Network<double>& network, const FaceSeeds& seeds,
                                     const FaceSearchOptions& options, const Execution& execution);

}  // namespace hopfix
