#include "branch_assembly.hpp"

#include <algorithm>
#include <cmath>

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

size_t at(ptrdiff_t i) { return static_cast<size_t>(i); }

// Two polished points closer than this (in units of the scale) are one.
constexpr double kSamePoint = 1e-7;

double distance(const Coordinates& a, const Coordinates& b) {
  double most = 0;
  for (size_t k = 0; k < a.size(); ++k) most = std::max(most, std::fabs(a[k] - b[k]));
  return most;
}

// How far the eigenvalues that should be 1 are from it.
double defect(const LocatedEvent& event) {
  std::vector<double> gaps;
  for (const double value : event.place.spectrum.values) gaps.push_back(std::fabs(value - 1));
  std::sort(gaps.begin(), gaps.end());
  return gaps[at(event.multiplicity - 1)];
}

}  // namespace

void BranchAssembly::add_single(size_t start, BranchEnd end) {
  Branch branch;
  TracePoint point;
  point.z = starts[start].z;
  point.tangent.assign(point.z.size(), 0);
  BranchCurve curve(map_);
  const MapPoint& here = curve.evaluate(point.z);
  point.energy = map_.to_energy(here.energy());
  point.morse_index = spectrum_of(here.jacobian(), map_.rank()).above(kDegenerate);
  append(branch, point, 1, 0);
  branch.last = end;
  branch.starts = {static_cast<ptrdiff_t>(start)};
  starts[start].branch = static_cast<ptrdiff_t>(branches.size());
  branches.push_back(std::move(branch));
}

void BranchAssembly::add_traced(size_t start, const Trace& trace) {
  const auto number = static_cast<ptrdiff_t>(branches.size());
  Branch branch;
  for (const TracePoint& point : trace.points) {
    append(branch, point, 1, 0);
    if (point.event >= 0) add_event(branch, trace.events[at(point.event)], number);
  }
  branch.last = trace.end;
  claim(branch, starts[start].z, number);
  claim_end(branch, trace, number);
  branches.push_back(std::move(branch));
}

void BranchAssembly::add_crossing_branch(size_t event, const CrossingDirection& along,
                                         const Trace& back, const Trace& forth) {
  if (events[event].holds(along.direction) || ends_on_known(back) || ends_on_known(forth)) return;
  if (!along.isolated && (is_doubtful(event, back) || is_doubtful(event, forth))) return;
  const auto number = static_cast<ptrdiff_t>(branches.size());
  const bool closed = forth.end == BranchEnd::crossing;
  const double start = closed ? 0 : back.points.back().arclength;
  Branch branch;
  if (!closed)
    for (auto point = back.points.rbegin(); point + 1 != back.points.rend(); ++point) {
      append(branch, *point, -1, start);
      if (point->event >= 0) add_event(branch, back.events[at(point->event)], number);
    }
  LocatedEvent origin = events[event].located;
  origin.place.tangent = along.direction;
  ++events[event].found;
  for (const TracePoint& point : forth.points) {
    append(branch, point, 1, start);
    if (&point == &forth.points.front())
      add_event(branch, origin, number);
    else if (point.event >= 0)
      add_event(branch, forth.events[at(point.event)], number);
  }
  branch.first = closed ? BranchEnd::crossing : back.end;
  branch.last = forth.end;
  if (!closed) claim_end(branch, back, number);
  claim_end(branch, forth, number);
  branches.push_back(std::move(branch));
}

// The given fixed points at which a branch comes back to the beta of all.
void BranchAssembly::claim_end(Branch& branch, const Trace& trace, ptrdiff_t number) {
  if (trace.end == BranchEnd::start_beta) claim(branch, trace.points.back().z, number);
}

// More than one if a point was given several times.
void BranchAssembly::claim(Branch& branch, const Coordinates& z, ptrdiff_t number) {
  for (size_t j = 0; j < starts.size(); ++j) {
    if (starts[j].branch >= 0 || distance(starts[j].z, z) > kSamePoint) continue;
    starts[j].branch = number;
    branch.starts.push_back(static_cast<ptrdiff_t>(j));
  }
}

// Where flat crossings hide that a branch is known, its end still shows it.
bool BranchAssembly::ends_on_known(const Trace& trace) const {
  if (trace.end != BranchEnd::start_beta) return false;
  return std::any_of(starts.begin(), starts.end(), [&](const BranchOrigin& start) {
    return start.branch >= 0 && distance(start.z, trace.points.back().z) <= kSamePoint;
  });
}

// Steps from a guessed direction may lead to a branch that has another one, or nowhere.
bool BranchAssembly::is_doubtful(size_t event, const Trace& trace) const {
  if (trace.end == BranchEnd::small_step) return true;
  const TracePoint& end = trace.points.back();
  const std::vector<double> state = map_.to_state(end.z);
  const auto is_end = [&](double beta, const double* other) {
    double most = std::fabs(std::log(beta) - std::log(map_.to_beta(end.z.back())));
    for (size_t k = 0; k < state.size(); ++k)
      most = std::max(most, std::fabs(state[k] - other[k]) / map_.scale());
    return most <= kSamePoint;
  };
  const auto& on = events[event].branches;
  return std::any_of(on.begin(), on.end(), [&](ptrdiff_t number) {
    const Branch& branch = branches[at(number)];
    return is_end(branch.beta.front(), branch.states.data()) ||
           is_end(branch.beta.back(), &branch.states[branch.states.size() - state.size()]);
  });
}

void BranchAssembly::append(Branch& branch, const TracePoint& point, double sign,
                            double start) const {
  const double s = point.z.back();
  branch.beta.push_back(s == limits_.from ? beta_from_
                        : s == limits_.to ? beta_to_
                                          : map_.to_beta(s));
  const auto state = map_.to_state(point.z), slope = map_.to_direction(point.tangent);
  branch.states.insert(branch.states.end(), state.begin(), state.end());
  for (const double value : slope) branch.state_slopes.push_back(sign * value);
  branch.log_beta_slopes.push_back(sign * point.tangent.back());
  branch.arclength.push_back(start + sign * point.arclength);
  branch.energy.push_back(point.energy);
  branch.morse_index.push_back(point.morse_index);
}

// The event of the last point of a branch.
void BranchAssembly::add_event(Branch& branch, const LocatedEvent& event, ptrdiff_t number) {
  size_t id = 0;
  while (id < events.size() &&
         !(same_event(events[id].located.place.z, event.place.z, event.multiplicity > 1) &&
           events[id].located.multiplicity == event.multiplicity))
    ++id;
  if (id == events.size()) {
    events.emplace_back();
    events.back().located = event;
  } else if (event.multiplicity > 1 && defect(event) < defect(events[id].located)) {
    // Of branches that are nearly tangent to the null space one that is not knows the place best.
    events[id].located = event;
  }
  events[id].tangents.insert(event.place.tangent);
  auto& on = events[id].branches;
  if (std::find(on.begin(), on.end(), number) == on.end()) on.push_back(number);
  branch.events.push_back(static_cast<ptrdiff_t>(id));
  branch.places.push_back(branch.size() - 1);
}

BranchEvent BranchAssembly::event(size_t number) const {
  const KnownEvent& known = events[number];
  BranchEvent out;
  out.kind = known.located.kind;
  out.beta = map_.to_beta(known.located.place.z.back());
  out.state = map_.to_state(known.located.place.z);
  out.multiplicity = known.located.multiplicity;
  out.branches = known.branches;
  out.found = known.found;
  return out;
}

}  // namespace hopfix
