#include "hopfix/continuation.hpp"

#include <algorithm>
#include <chrono>
#include <memory>

#include "branch_tracer.hpp"
#include "fold_certificate.hpp"

namespace hopfix {

const char* describe(EventKind kind) {
  switch (kind) {
    case EventKind::fold:
      return "fold";
    case EventKind::pitchfork:
      return "pitchfork";
    case EventKind::transcritical:
      return "transcritical";
    case EventKind::multiple:
      return "multiple";
    case EventKind::degenerate:
      return "degenerate";
  }
  return "";
}

const char* describe(BranchEnd end) {
  switch (end) {
    case BranchEnd::start:
      return "start";
    case BranchEnd::start_beta:
      return "start_beta";
    case BranchEnd::target_beta:
      return "beta_to";
    case BranchEnd::crossing:
      return "crossing";
    case BranchEnd::degenerate:
      return "degenerate";
    case BranchEnd::no_solution:
      return "no_solution";
    case BranchEnd::small_step:
      return "small_step";
    case BranchEnd::step_limit:
      return "max_steps";
    case BranchEnd::time_limit:
      return "time_limit";
    case BranchEnd::interrupted:
      return "interrupted";
  }
  return "";
}

namespace {

using std::ptrdiff_t;
using std::size_t;
using Clock = std::chrono::steady_clock;
using Tracers = std::vector<std::unique_ptr<BranchTracer>>;

size_t at(ptrdiff_t i) { return static_cast<size_t>(i); }

// Branches followed at a time: what one of them shows to be the other end of itself need not be
// followed again, so there is a limit, and a fixed one, whatever the number of threads.
constexpr size_t kBlock = 32;
// Two polished points closer than this (in units of the scale) are one.
constexpr double kSamePoint = 1e-7;
constexpr double kDegenerate = 1e-9;

// A given fixed point, and where it went.
struct Start {
  Coordinates z;
  std::optional<CurvePoint> point;  // none: `failure` says why
  BranchEnd failure = BranchEnd::no_solution;
  ptrdiff_t branch = -1;
};

// An event of the list, with what is needed to look for other branches there.
struct KnownEvent {
  LocatedEvent located;
  std::vector<ptrdiff_t> branches;
  bool explored = false;

  bool wants_exploring() const {
    const bool crossing =
        located.kind == EventKind::pitchfork || located.kind == EventKind::transcritical;
    return crossing && branches.size() == 1 && !explored;
  }
};

class Follower {
 public:
  Follower(const Network<double>& network, const FollowOptions& options, const Execution& execution)
      : network_(network),
        options_(options),
        user_stop_(execution.stop_requested),
        execution_{execution.threads, [this] { return stop_now(); }},
        map_(network),
        limits_{map_.to_s(network.beta()), map_.to_s(options.beta_to), options.max_steps},
        slice_(slice_length(map_)) {}

  BranchList run(const double* states, ptrdiff_t count) {
    prepare(states, count);
    follow_starts();
    follow_crossings();
    certify_folds();
    list_.time_limit_reached = stopped_ && reason_ == BranchEnd::time_limit;
    list_.interrupted = stopped_ && reason_ == BranchEnd::interrupted;
    return std::move(list_);
  }

 private:
  // Steps between two looks at the clock: about a tenth of a second of them.
  static int slice_length(const ContinuationMap& map) {
    const auto n = static_cast<double>(map.size()), r = static_cast<double>(map.rank());
    const double step = 5 * n * r * r + 40 * r * r * r + 1e4;
    return static_cast<int>(std::clamp(2e8 / step, 1.0, 64.0));
  }

  bool out_of_time() const {
    return std::chrono::duration<double>(Clock::now() - began_).count() > options_.time_limit;
  }

  bool stop_now() const { return out_of_time() || (user_stop_ && user_stop_()); }

  void prepare(const double* states, ptrdiff_t count) {
    starts_.resize(at(count));
    for (ptrdiff_t i = 0; i < count; ++i)
      starts_[at(i)].z = map_.from_state(states + i * network_.dim(), network_.beta());
    guarded([&] {
      parallel_for(count, execution_, [&](ptrdiff_t i, int) { prepare(starts_[at(i)]); });
    });
  }

  void prepare(Start& start) const {
    BranchCurve curve(map_);
    Coordinates z = start.z, along_s(z.size());
    along_s.back() = 1;
    // The bordered matrix is singular at a degenerate point, the given point itself is not wrong.
    const Correction correction = curve.correct(z, along_s);
    const Spectrum spectrum = spectrum_of(curve.evaluate(start.z).jacobian(), map_.rank());
    for (const double value : spectrum.values)
      if (std::fabs(value - 1) <= kDegenerate) {
        start.failure = BranchEnd::degenerate;
        return;
      }
    constexpr double kMost = 1e-3;
    if (!correction.converged || correction.first > kMost) return;
    z.back() = limits_.from;
    start.z = z;
    start.point = curve.point(z, along_s);
    if (start.point && limits_.to < limits_.from)
      for (double& value : start.point->tangent) value = -value;
  }

  // False, and the reason is kept, where the caller or the clock stopped `work`.
  bool guarded(const std::function<void()>& work) {
    try {
      work();
    } catch (const Interrupted&) {
      if (!stopped_) reason_ = out_of_time() ? BranchEnd::time_limit : BranchEnd::interrupted;
      stopped_ = true;
    }
    return !stopped_;
  }

  // Follows all to their ends, or stops them.
  void trace(Tracers& tracers) {
    for (;;) {
      std::vector<BranchTracer*> active;
      for (const auto& tracer : tracers)
        if (!tracer->done()) active.push_back(tracer.get());
      if (active.empty()) return;
      const bool going_on = guarded([&] {
        if (stopped_ || stop_now()) throw Interrupted();
        parallel_for(static_cast<ptrdiff_t>(active.size()), execution_,
                     [&](ptrdiff_t i, int) { active[at(i)]->advance(slice_); });
        report();
      });
      if (going_on) continue;
      for (BranchTracer* tracer : active)
        if (!tracer->done()) tracer->stop(reason_);
    }
  }

  void report() const {
    if (!options_.progress) return;
    const auto done = std::count_if(starts_.begin(), starts_.end(),
                                    [](const Start& start) { return start.branch >= 0; });
    options_.progress(done, static_cast<std::int64_t>(starts_.size()));
  }

  void follow_starts() {
    size_t next = 0;
    while (next < starts_.size()) {
      std::vector<size_t> chosen;
      Tracers tracers;
      for (; next < starts_.size() && chosen.size() < kBlock; ++next) {
        Start& start = starts_[next];
        if (start.branch >= 0) continue;
        if (!start.point) {
          add_single(next, stopped_ ? reason_ : start.failure);
          continue;
        }
        chosen.push_back(next);
        tracers.push_back(std::make_unique<BranchTracer>(map_, limits_, *start.point, false));
      }
      trace(tracers);
      for (size_t i = 0; i < chosen.size(); ++i)
        if (starts_[chosen[i]].branch < 0) add_traced(chosen[i], *tracers[i]);
    }
    if (!stopped_) guarded([&] { report(); });
  }

  // A branch of one point.
  void add_single(size_t index, BranchEnd end) {
    Branch branch;
    TracePoint point;
    point.z = starts_[index].z;
    point.tangent.assign(point.z.size(), 0);
    BranchCurve curve(map_);
    const MapPoint& here = curve.evaluate(point.z);
    point.energy = map_.to_energy(here.energy());
    point.morse_index = spectrum_of(here.jacobian(), map_.rank()).above(kDegenerate);
    append(branch, point, 1, 0);
    branch.last = end;
    branch.starts = {static_cast<ptrdiff_t>(index)};
    starts_[index].branch = static_cast<ptrdiff_t>(list_.branches.size());
    list_.branches.push_back(std::move(branch));
  }

  void add_traced(size_t index, const BranchTracer& tracer) {
    const auto number = static_cast<ptrdiff_t>(list_.branches.size());
    Branch branch;
    for (const TracePoint& point : tracer.points()) {
      append(branch, point, 1, 0);
      if (point.event >= 0) add_event(branch, tracer.events()[at(point.event)], number);
    }
    branch.last = tracer.end();
    claim(branch, starts_[index].z, number);
    claim_end(branch, tracer, number);
    list_.branches.push_back(std::move(branch));
  }

  // The given fixed points at which a branch comes back to the beta of all.
  void claim_end(Branch& branch, const BranchTracer& tracer, ptrdiff_t number) {
    if (tracer.end() == BranchEnd::start_beta) claim(branch, tracer.points().back().z, number);
  }

  // More than one if a point was given several times.
  void claim(Branch& branch, const Coordinates& z, ptrdiff_t number) {
    for (size_t j = 0; j < starts_.size(); ++j) {
      if (starts_[j].branch >= 0 || distance(starts_[j].z, z) > kSamePoint) continue;
      starts_[j].branch = number;
      branch.starts.push_back(static_cast<ptrdiff_t>(j));
    }
  }

  static double distance(const Coordinates& a, const Coordinates& b) {
    double most = 0;
    for (size_t k = 0; k < a.size(); ++k) most = std::max(most, std::fabs(a[k] - b[k]));
    return most;
  }

  void append(Branch& branch, const TracePoint& point, double sign, double start) const {
    const double s = point.z.back();
    branch.beta.push_back(s == limits_.from ? network_.beta()
                          : s == limits_.to ? options_.beta_to
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
  void add_event(Branch& branch, const LocatedEvent& event, ptrdiff_t number) {
    size_t id = 0;
    while (id < events_.size() &&
           !(same_event(events_[id].located.place.z, event.place.z, event.multiplicity > 1) &&
             events_[id].located.multiplicity == event.multiplicity))
      ++id;
    if (id == events_.size()) events_.push_back({event, {}, false});
    auto& on = events_[id].branches;
    if (std::find(on.begin(), on.end(), number) == on.end()) on.push_back(number);
    branch.events.push_back(static_cast<ptrdiff_t>(id));
    branch.places.push_back(branch.size() - 1);
  }

  // Branches that cross the known ones, and those that cross these, until there are no more.
  void follow_crossings() {
    while (!stopped_) {
      std::vector<size_t> chosen;
      Tracers tracers;
      for (size_t id = 0; id < events_.size() && chosen.size() < kBlock / 2; ++id) {
        if (!events_[id].wants_exploring()) continue;
        events_[id].explored = true;
        BranchCurve curve(map_);
        const auto direction = other_branch(curve, events_[id].located);
        if (!direction) continue;
        chosen.push_back(id);
        for (const double sign : {-1.0, 1.0}) {
          CurvePoint start = events_[id].located.place;
          for (size_t k = 0; k < direction->size(); ++k) start.tangent[k] = sign * (*direction)[k];
          tracers.push_back(std::make_unique<BranchTracer>(map_, limits_, std::move(start), true));
        }
      }
      if (chosen.empty()) break;
      trace(tracers);
      for (size_t i = 0; i < chosen.size(); ++i)
        if (events_[chosen[i]].branches.size() == 1)
          add_crossing_branch(chosen[i], *tracers[2 * i], *tracers[2 * i + 1]);
    }
    for (KnownEvent& event : events_) list_.events.push_back(to_event(event));
  }

  // Both halves of the branch that crosses at an event, as one.
  void add_crossing_branch(size_t id, const BranchTracer& back, const BranchTracer& forth) {
    const auto number = static_cast<ptrdiff_t>(list_.branches.size());
    const bool closed = forth.end() == BranchEnd::crossing;
    const double start = closed ? 0 : back.points().back().arclength;
    Branch branch;
    if (!closed)
      for (auto point = back.points().rbegin(); point + 1 != back.points().rend(); ++point) {
        append(branch, *point, -1, start);
        if (point->event >= 0) add_event(branch, back.events()[at(point->event)], number);
      }
    for (const TracePoint& point : forth.points()) {
      append(branch, point, 1, start);
      if (&point == &forth.points().front())
        add_event(branch, events_[id].located, number);
      else if (point.event >= 0)
        add_event(branch, forth.events()[at(point.event)], number);
    }
    branch.first = closed ? BranchEnd::crossing : back.end();
    branch.last = forth.end();
    if (!closed) claim_end(branch, back, number);
    claim_end(branch, forth, number);
    list_.branches.push_back(std::move(branch));
  }

  BranchEvent to_event(const KnownEvent& event) const {
    BranchEvent out;
    out.kind = event.located.kind;
    out.beta = map_.to_beta(event.located.place.z.back());
    out.state = map_.to_state(event.located.place.z);
    out.multiplicity = event.located.multiplicity;
    out.branches = event.branches;
    return out;
  }

  void certify_folds() {
    if (stopped_) return;
    guarded([&] {
      parallel_for(static_cast<ptrdiff_t>(events_.size()), execution_, [&](ptrdiff_t i, int) {
        BranchEvent& event = list_.events[at(i)];
        if (event.kind != EventKind::fold) return;
        std::vector<double> v = map_.to_direction(events_[at(i)].located.null_vector);
        const double length = norm(v);
        for (double& value : v) value /= length;
        const FoldCertificate proof = certify_fold(network_, event.state, v, event.beta);
        event.certified = proof.certified;
        event.radius = proof.radius;
        event.beta_radius = proof.beta_radius;
      });
    });
  }

  const Network<double>& network_;
  const FollowOptions& options_;
  const std::function<bool()> user_stop_;
  const Execution execution_;
  const Clock::time_point began_ = Clock::now();
  const ContinuationMap map_;
  const TraceLimits limits_;
  const int slice_;
  bool stopped_ = false;
  BranchEnd reason_ = BranchEnd::interrupted;  // of stopping
  std::vector<Start> starts_;
  std::vector<KnownEvent> events_;
  BranchList list_;
};

}  // namespace

BranchList follow_branches(const Network<double>& network, const double* states, ptrdiff_t count,
                           const FollowOptions& options, const Execution& execution) {
  return Follower(network, options, execution).run(states, count);
}

Corrected correct_states(const Network<double>& network, const double* states, ptrdiff_t count,
                         const Execution& execution) {
  const ContinuationMap map(network);
  const ptrdiff_t dim = network.dim();
  Corrected out{std::vector<double>(states, states + count * dim),
                std::vector<std::uint8_t>(at(count))};
  parallel_for(count, execution, [&](ptrdiff_t i, int) {
    BranchCurve curve(map);
    Coordinates z = map.from_state(states + i * dim, network.beta()), along_s(z.size());
    along_s.back() = 1;
    const bool settled = curve.correct(z, along_s).converged;
    const std::vector<double> state = map.to_state(z);
    out.solved[at(i)] = settled;
    if (settled) std::copy(state.begin(), state.end(), out.states.begin() + i * dim);
  });
  return out;
}

}  // namespace hopfix
