// Branches and events put together from what tracers found.
#pragma once

#include "branch_tracer.hpp"
#include "crossing_directions.hpp"

namespace hopfix {

// Eigenvalues so near to 1 make a given fixed point degenerate.
inline constexpr double kDegenerate = 1e-9;

// A given fixed point, and where it went.
struct BranchOrigin {
  Coordinates z;
  std::optional<CurvePoint> point;  // none: `failure` says why
  BranchEnd failure = BranchEnd::no_solution;
  std::ptrdiff_t branch = -1;
};

// An event of the list, with what is needed to look for other branches there.
struct KnownEvent {
  LocatedEvent located;
  std::vector<std::ptrdiff_t> branches;
  LineSet tangents;  // of these
  bool explored = false;
  std::ptrdiff_t found = 0;

  bool is_simple_crossing() const {
    return located.kind == EventKind::pitchfork || located.kind == EventKind::transcritical;
  }
  bool wants_exploring() const {
    if (explored) return false;
    return located.kind == EventKind::multiple || (is_simple_crossing() && branches.size() == 1);
  }
  // Whether a branch in that direction is on it already.
  bool holds(const Coordinates& direction) const {
    return is_simple_crossing() ? branches.size() > 1 : tangents.contains(direction);
  }
};

class BranchAssembly {
 public:
  BranchAssembly(const ContinuationMap& map, const TraceLimits& limits, double beta_from,
                 double beta_to)
      : map_(map), limits_(limits), beta_from_(beta_from), beta_to_(beta_to) {}

  std::vector<BranchOrigin> starts;
  std::vector<KnownEvent> events;
  std::vector<Branch> branches;

  // A branch of one point, that of a given fixed point.
  void add_single(std::size_t start, BranchEnd end);
  // From a given fixed point.
  void add_traced(std::size_t start, const Trace& trace);
  // Both halves of the branch that crosses at an event, as one; nothing if it is known.
  void add_crossing_branch(std::size_t event, const CrossingDirection& along, const Trace& back,
                           const Trace& forth);
  BranchEvent event(std::size_t number) const;

 private:
  void append(Branch& branch, const TracePoint& point, double sign, double start) const;
  void add_event(Branch& branch, const LocatedEvent& event, std::ptrdiff_t number);
  void claim(Branch& branch, const Coordinates& z, std::ptrdiff_t number);
  void claim_end(Branch& branch, const Trace& trace, std::ptrdiff_t number);
  bool ends_on_known(const Trace& trace) const;
  bool is_doubtful(std::size_t event, const Trace& trace) const;

  const ContinuationMap& map_;
  const TraceLimits& limits_;
  const double beta_from_, beta_to_;
};

}  // namespace hopfix
