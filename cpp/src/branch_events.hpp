// Where an eigenvalue of J is 1 on a branch: found between two of its points, located, classified.
#pragma once

#include "branch_curve.hpp"
#include "hopfix/continuation.hpp"

namespace hopfix {

// An event on one branch.
struct LocatedEvent {
  CurvePoint place;  // the tangent is the branch's
  EventKind kind = EventKind::degenerate;
  std::ptrdiff_t multiplicity = 1;
  std::vector<double> null_vector;  // of I - J, where it is simple
};

class EventFinder {
 public:
  explicit EventFinder(BranchCurve& curve) : curve_(curve) {}

  // Appends the events between two neighbouring points, in their order. False where something
  // changes that cannot be explained by one: the points lie on different branches.
  bool find(const CurvePoint& a, const CurvePoint& b, std::vector<LocatedEvent>& events);

 private:
  using Nodes = std::vector<CurvePoint>;

  bool search(const CurvePoint& a, const CurvePoint& b, std::vector<LocatedEvent>& events);
  bool locate(const CurvePoint& a, const CurvePoint& b, std::vector<LocatedEvent>& events);
  bool sample(const CurvePoint& a, const CurvePoint& b, double centre, Nodes& nodes);
  double crossing_of(const Nodes& nodes, const std::vector<double>& v, double lo, double hi);
  bool classify(const CurvePoint& a, const CurvePoint& b, LocatedEvent& event);

  BranchCurve& curve_;
  double reach_ = 0;  // of the interpolation, in arclength
};

// Newton's method on F = 0, (I - J) v = 0, |v| = 1 in (eta, v, s), from z and v near a fold.
bool polish_fold(BranchCurve& curve, Coordinates& z, std::vector<double>& v);

// The same on F + mu v = 0, (I - J) v = 0, v . dF/ds = 0, |v| = 1 in (eta, v, s, mu), near a
// crossing of two branches; `unfolding` becomes mu, which is 0 if there is one.
bool polish_crossing(BranchCurve& curve, Coordinates& z, std::vector<double>& v, double& unfolding);

// The direction of the other branch at a simple crossing, of length 1; empty where it is not
// determined.
std::optional<Coordinates> other_branch(BranchCurve& curve, const LocatedEvent& event);

}  // namespace hopfix
