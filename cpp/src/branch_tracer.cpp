#include "branch_tracer.hpp"

#include <algorithm>
#include <cmath>

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

constexpr double kFirstStep = 0.02, kLongest = 0.1, kShortest = 1e-7;
// A step is taken where the tangent turns by less than 18 degrees, Newton's method contracts well
// and corrects little: beyond these another branch may be nearer. It grows where all are far off.
constexpr double kTurn = 0.95, kContraction = 0.2, kCorrected = 0.2;
constexpr double kSmallTurn = 0.985, kSmallContraction = 0.08, kSmallCorrected = 0.05;
constexpr double kGrowth = 1.6;

}  // namespace

bool same_event(const Coordinates& a, const Coordinates& b, bool flat) {
  constexpr double kLocated = 1e-7, kFlat = 1e-3;
  for (size_t k = 0; k + 1 < a.size(); ++k)
    if (!(std::fabs(a[k] - b[k]) <= (flat ? kFlat : kLocated))) return false;
  return std::fabs(a.back() - b.back()) <= kLocated;
}

BranchTracer::BranchTracer(const ContinuationMap& map, const TraceLimits& limits,
                           const BranchStart& start)
    : curve_(map),
      finder_(curve_),
      limits_(limits),
      here_(start.point),
      bend_(start.bend),
      step_(kFirstStep) {
  if (bend_) origin_ = here_.z;
  here_.sigma = 0;
  add(here_, -1);
}

void BranchTracer::advance(int steps) {
  for (int k = 0; k < steps && !done_; ++k) step();
}

void BranchTracer::stop(BranchEnd reason) {
  done_ = true;
  trace_.end = reason;
}

void BranchTracer::add(const CurvePoint& point, ptrdiff_t event) {
  // Eigenvalues that are 1 at an event are not above it.
  constexpr double kEqual = 1e-6;
  const double energy = curve_.map().to_energy(curve_.evaluate(point.z).energy());
  // The tracer's own sigma is measured along the tangent of each step, that of an event by
  // interpolation: the two need not ascend together.
  double arclength = 0;
  if (!trace_.points.empty()) {
    Coordinates chord = point.z;
    for (size_t k = 0; k < chord.size(); ++k) chord[k] -= trace_.points.back().z[k];
    arclength = trace_.points.back().arclength + norm(chord);
  }
  trace_.points.push_back({point.z, point.tangent, arclength, energy,
                           point.spectrum.above(event >= 0 ? kEqual : 0), event});
}

void BranchTracer::step() {
  if (++steps_ > limits_.max_steps) return stop(BranchEnd::step_limit);
  while (step_ >= kShortest) {
    auto next = predict_and_correct();
    std::vector<LocatedEvent> events;
    // Next to a crossing the spectrum at the start says nothing.
    if (next && (bend_ || finder_.find(here_, *next, events))) {
      if (!record(*next, std::move(events))) return;
      bend_.reset();
      here_ = std::move(*next);
      step_ = next_step_;
      return;
    }
    step_ /= 2;
  }
  stop(BranchEnd::small_step);
}

std::optional<CurvePoint> BranchTracer::predict_and_correct() {
  Coordinates z = here_.z;
  for (size_t k = 0; k < z.size(); ++k) z[k] += step_ * here_.tangent[k];
  if (bend_)
    for (size_t k = 0; k < z.size(); ++k) z[k] += step_ * step_ * (*bend_)[k];
  const Correction correction = curve_.correct(z, here_.tangent);
  // Below this size contraction is rounding.
  constexpr double kRounding = 1e-8;
  const double contraction = correction.first > kRounding ? correction.contraction : 0;
  if (!correction.converged || contraction > kContraction ||
      correction.first > kCorrected * step_ + kRounding)
    return std::nullopt;
  auto next = curve_.point(z, here_.tangent);
  if (!next) return std::nullopt;
  const double cosine = dot(next->tangent, here_.tangent);
  if (cosine < kTurn) return std::nullopt;
  next->sigma = here_.sigma + step_;
  const bool easy = cosine > kSmallTurn && contraction < kSmallContraction &&
                    correction.first < kSmallCorrected * step_;
  next_step_ = easy ? std::min(kLongest, kGrowth * step_) : step_;
  return next;
}

bool BranchTracer::leaves(const CurvePoint& point) const {
  const double s = point.z.back();
  return s < std::min(limits_.from, limits_.to) || s > std::max(limits_.from, limits_.to);
}

// Adds the events of a step and its end, up to where the branch leaves the range of beta. False
// where it ends.
bool BranchTracer::record(const CurvePoint& next, std::vector<LocatedEvent> events) {
  const CurvePoint* last = &here_;
  CurvePoint place;
  for (LocatedEvent& event : events) {
    if (leaves(event.place)) {
      land(*last, event.place);
      return false;
    }
    if (is_origin(event)) {
      add(event.place, -1);
      stop(BranchEnd::crossing);
      return false;
    }
    place = event.place;
    last = &place;
    add(event.place, static_cast<ptrdiff_t>(trace_.events.size()));
    trace_.events.push_back(std::move(event));
  }
  if (leaves(next)) {
    land(*last, next);
    return false;
  }
  add(next, -1);
  return true;
}

bool BranchTracer::is_origin(const LocatedEvent& event) const {
  return !origin_.empty() && same_event(event.place.z, origin_);
}

// The point between the two at which the branch leaves, with exactly that beta.
void BranchTracer::land(const CurvePoint& inside, const CurvePoint& outside) {
  const bool at_target =
      std::fabs(outside.z.back() - limits_.to) < std::fabs(outside.z.back() - limits_.from);
  const double s = at_target ? limits_.to : limits_.from;
  double length = 0;
  for (size_t k = 0; k < inside.z.size(); ++k)
    length += (outside.z[k] - inside.z[k]) * inside.tangent[k];
  // The cubic is good to some 1e-6; Newton at fixed beta does the rest.
  double lo = 0, hi = length;
  const bool falls = outside.z.back() < inside.z.back();
  for (int k = 0; k < 50; ++k) {
    const double middle = (lo + hi) / 2;
    ((hermite(inside, outside, middle).back() < s) == falls ? hi : lo) = middle;
  }
  Coordinates z = hermite(inside, outside, hi);
  z.back() = s;
  Coordinates along_s(z.size());
  along_s.back() = 1;
  const Correction correction = curve_.correct(z, along_s);
  z.back() = s;
  auto point = curve_.point(z, inside.tangent);
  if (!correction.converged || correction.first > kFirstStep || !point)
    return stop(BranchEnd::small_step);
  point->sigma = inside.sigma + hi;
  add(*point, -1);
  stop(at_target ? BranchEnd::target_beta : BranchEnd::start_beta);
}

}  // namespace hopfix
