// One branch followed in one direction, a few steps at a time.
#pragma once

#include "branch_events.hpp"

namespace hopfix {

// Where a branch is followed: s between the two, `from` being that of the given fixed points.
struct TraceLimits {
  double from = 0, to = 0;
  std::int64_t max_steps = 0;
};

struct TracePoint {
  Coordinates z, tangent;
  double arclength = 0;  // of the polygon through the points so far
  double energy = 0;
  std::ptrdiff_t morse_index = 0;
  std::ptrdiff_t event = -1;  // its number among the events
};

// What was found on the way.
struct Trace {
  std::vector<TracePoint> points;
  std::vector<LocatedEvent> events;
  BranchEnd end = BranchEnd::interrupted;
};

// A point with the tangent to go along; a crossing where `bend` says what is known of the second
// order in the arclength there.
struct BranchStart {
  CurvePoint point;
  std::optional<Coordinates> bend;
};

class BranchTracer {
 public:
  BranchTracer(const ContinuationMap& map, const TraceLimits& limits, const BranchStart& start);

  // At most so many steps more.
  void advance(int steps);
  bool done() const { return done_; }
  void stop(BranchEnd reason);

  // The tracer is of no further use.
  Trace take() { return std::move(trace_); }

 private:
  void step();
  std::optional<CurvePoint> predict_and_correct();
  bool record(const CurvePoint& next, std::vector<LocatedEvent> events);
  bool leaves(const CurvePoint& point) const;
  void land(const CurvePoint& inside, const CurvePoint& outside);
  void add(const CurvePoint& point, std::ptrdiff_t event);
  bool is_origin(const LocatedEvent& event) const;

  BranchCurve curve_;
  EventFinder finder_;
  TraceLimits limits_;
  CurvePoint here_;
  std::optional<Coordinates> bend_;  // until the crossing it starts from is left
  Coordinates origin_;               // the crossing it starts from
  double step_, next_step_ = 0;
  std::int64_t steps_ = 0;
  bool done_ = false;
  Trace trace_;
};

// Whether two points are the same event, located twice: beta is known well always, eta is not where
// a crossing is so flat (of fifth order, say) that it hardly decides.
bool same_event(const Coordinates& a, const Coordinates& b, bool flat = false);

}  // namespace hopfix
