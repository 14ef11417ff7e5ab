// Branches of fixed points as the inverse temperature beta changes, through folds and crossings.
//
// A branch is a curve of solutions (xi, s), s = log beta, of xi = f(xi; e^s). It is followed by
// pseudo-arclength continuation (Keller 1977) in coordinates of the affine hull of the patterns,
// divided by the largest distance R of a pattern from their mean: a predictor on the tangent, then
// Newton's method on the plane across it. With J = beta Cov_p(x) the tangent solves (I - J) dxi =
// df/ds ds, df/ds = beta Cov_p(x, g), g_i = x_i . xi + a_i with offsets a (J xi without).
//
// Events lie where J has an eigenvalue 1. Between two points of a branch they are found by the
// change of sign of ds and by the change of the space on which I - J is negative (which sees
// crossings that leave the Morse index as it was), enclosed by halving the step, and located on a
// polynomial through points on both sides of them. Simple ones are then polished to rounding:
// folds on the extended system of Moore & Spence (1980), crossings of two branches on that of
// Moore (1980), in which the component along the null vector is unfolded. All arithmetic is plain
// double precision; folds are proved afterwards, see fold_certificate.hpp in src.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "hopfix/network.hpp"
#include "hopfix/parallel.hpp"

namespace hopfix {

// What depends on the pattern alone in the logits beta (x_i . xi + a_i) + b_i.
struct LogitTerms {
  std::vector<double> log_weights;  // b, n or empty for zeros
  std::vector<double> offsets;      // a, likewise
};

enum class EventKind {
  fold,           // beta turns, at a simple eigenvalue 1
  pitchfork,      // two branches cross, and beta turns on one of them
  transcritical,  // two branches cross, and beta turns on neither
  multiple,       // several eigenvalues are 1: branches that symmetry makes meet in one point;
                  // those that leave it are looked for, see crossing_directions.hpp in src
  degenerate,     // one eigenvalue is 1, but the crossing is none of the above
};

const char* describe(EventKind kind);

struct BranchEvent {
  EventKind kind = EventKind::degenerate;
  double beta = 0;
  std::vector<double> state;             // dim
  std::ptrdiff_t multiplicity = 1;       // of the eigenvalue 1
  bool certified = false;                // folds: proved to be one, of generic kind, in the balls
  double radius = 0, beta_radius = 0;    // of state and beta; 0 unless certified
  std::ptrdiff_t found = 0;              // branches that were found at this crossing
  std::vector<std::ptrdiff_t> branches;  // those it lies on
};

// Why a branch stops where it does.
enum class BranchEnd {
  start,        // the given fixed point it was followed from
  start_beta,   // came back to the beta it started at
  target_beta,  // reached beta_to
  crossing,     // came back to the crossing it was found at
  degenerate,   // the given fixed point is degenerate: no tangent
  no_solution,  // Newton's method finds no fixed point near the one given
  small_step,   // steps became too small
  step_limit,
  time_limit,
  interrupted,
};

// One word for people.
const char* describe(BranchEnd end);

struct Branch {
  std::vector<double> beta;               // count
  std::vector<double> states;             // count x dim
  std::vector<double> log_beta_slopes;    // count, by arclength
  std::vector<double> state_slopes;       // count x dim, by arclength
  std::vector<double> arclength;          // count, ascending
  std::vector<double> energy;             // count, as Network::energy
  std::vector<std::int64_t> morse_index;  // count, eigenvalues above 1 (those equal to 1 apart)
  std::vector<std::ptrdiff_t> events;     // numbers of its events, in their order along it
  std::vector<std::ptrdiff_t> places;     // and the points they are
  std::vector<std::ptrdiff_t> starts;     // numbers of the given fixed points at its ends
  BranchEnd first = BranchEnd::start, last = BranchEnd::target_beta;

  std::ptrdiff_t size() const { return static_cast<std::ptrdiff_t>(beta.size()); }
};

struct FollowOptions {
  double beta_to = 1;
  LogitTerms terms;  // of all betas; the network's log-weights are those of its own beta
  std::int64_t max_steps = 10000;                                       // per branch and direction
  double time_limit = HUGE_VAL;                                         // seconds
  std::function<void(std::int64_t done, std::int64_t total)> progress;  // calling thread only
};

struct BranchList {
  std::vector<Branch> branches;
  std::vector<BranchEvent> events;  // in the order found
  bool interrupted = false, time_limit_reached = false;
};

// Follows all branches through the given fixed points (count x dim, at the network's beta) from
// there to beta_to, and those that cross them in between, each once: all at simple crossings, and
// those that are found at multiple ones. The same result for every number of threads, but for
// limits of time. A step costs O(n r^2 + r^3), r the dimension of the affine hull.
BranchList follow_branches(const Network<double>& network, const double* states,
                           std::ptrdiff_t count, const FollowOptions& options,
                           const Execution& execution);

// Newton's method in hull coordinates from count states: count states, and whether each settled on
// a fixed point.
struct Corrected {
  std::vector<double> states;
  std::vector<std::uint8_t> solved;
};
Corrected correct_states(const Network<double>& network, const double* states, std::ptrdiff_t count,
                         const Execution& execution);

}  // namespace hopfix
