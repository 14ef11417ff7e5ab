#include "hopfix/continuation.hpp"

#include <algorithm>
#include <chrono>
#include <memory>

#include "branch_assembly.hpp"
#include "branch_portions.hpp"
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

size_t at(ptrdiff_t i) { return static_cast<size_t>(i); }

// Branches followed at a time: what one of them shows to be the other end of itself need not be
// followed again, so there is a limit, and a fixed one, whatever the number of threads.
constexpr size_t kBlock = 32;

class Follower {
 public:
  Follower(const Network<double>& network, const FollowOptions& options, const Execution& execution)
      : network_(network),
        options_(options),
        user_stop_(execution.stop_requested),
        execution_{execution.threads, [this] { return stop_now(); }, execution.team,
                   execution.delegate},
        map_(network, options.terms),
        limits_(trace_limits(map_, network.beta(), options)),
        slice_(slice_length(map_)),
        found_(map_, limits_, network.beta(), options.beta_to) {}

  BranchList run(const double* states, ptrdiff_t count) {
    prepare(states, count);
    follow_starts();
    while (!stopped_ && explore_crossings()) follow_crossings();
    BranchList list;
    for (size_t id = 0; id < found_.events.size(); ++id) list.events.push_back(found_.event(id));
    certify_folds(list.events);
    list.branches = std::move(found_.branches);
    list.time_limit_reached = stopped_ && reason_ == BranchEnd::time_limit;
    list.interrupted = stopped_ && reason_ == BranchEnd::interrupted;
    return list;
  }

 private:
  // A direction in which a branch may leave a crossing.
  struct Lead {
    size_t event;
    CrossingDirection along;
  };

  double seconds() const { return std::chrono::duration<double>(Clock::now() - began_).count(); }
  bool out_of_time() const { return seconds() > options_.time_limit; }

  bool stop_now() const { return out_of_time() || (user_stop_ && user_stop_()); }

  void prepare(const double* states, ptrdiff_t count) {
    found_.starts.resize(at(count));
    for (ptrdiff_t i = 0; i < count; ++i)
      found_.starts[at(i)].z = map_.from_state(states + i * network_.dim(), network_.beta());
    guarded([&] {
      parallel_for(count, execution_, [&](ptrdiff_t i, int) { prepare(found_.starts[at(i)]); });
    });
  }

  void prepare(BranchOrigin& start) const {
    BranchCurve curve(map_);
    Coordinates z = start.z, along_s(z.size());
    along_s.back() = 1;
    // The bordered matrix is singular at a degenerate point, the given point itself is not wrong.
    const Correction correction = curve.correct(z, along_s);
    const Eigenpairs spectrum = spectrum_of(curve.evaluate(start.z).jacobian(), map_.rank());
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

  // Follows all to their ends, or to where they are stopped.
  std::vector<Trace> trace(const std::vector<BranchStart>& starts) {
    std::vector<std::unique_ptr<BranchTracer>> tracers;
    for (const BranchStart& start : starts)
      tracers.push_back(std::make_unique<BranchTracer>(map_, limits_, start));
    if (execution_.delegate && starts.size() > 1 && !stopped_) return delegate(starts, tracers);
    for (;;) {
      std::vector<BranchTracer*> active;
      for (const auto& tracer : tracers)
        if (!tracer->done()) active.push_back(tracer.get());
      if (active.empty()) break;
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
    std::vector<Trace> traces;
    for (const auto& tracer : tracers) traces.push_back(tracer->take());
    return traces;
  }

  // One portion for each.
  std::vector<Trace> delegate(const std::vector<BranchStart>& starts,
                              const std::vector<std::unique_ptr<BranchTracer>>& tracers) {
    std::vector<std::string> portions;
    for (const BranchStart& start : starts) {
      FollowOptions options = options_;
      options.time_limit -= seconds();
      portions.push_back(branch_portion(options, start));
    }
    std::vector<std::optional<Trace>> answers(starts.size());
    guarded([&] {
      const bool all =
          delegate_portions(network_, execution_, std::move(portions),
                            [&](size_t i, Reader& answer) { answers[i] = read_trace(answer); });
      if (!all) throw Interrupted();
      report();
    });
    std::vector<Trace> traces;
    for (size_t i = 0; i < starts.size(); ++i) {
      if (!answers[i]) tracers[i]->stop(reason_);
      traces.push_back(answers[i] ? std::move(*answers[i]) : tracers[i]->take());
    }
    return traces;
  }

  void report() const {
    if (!options_.progress) return;
    const auto done = std::count_if(found_.starts.begin(), found_.starts.end(),
                                    [](const BranchOrigin& start) { return start.branch >= 0; });
    options_.progress(done, static_cast<std::int64_t>(found_.starts.size()));
  }

  void follow_starts() {
    size_t next = 0;
    std::vector<BranchOrigin>& starts = found_.starts;
    while (next < starts.size()) {
      std::vector<size_t> chosen;
      std::vector<BranchStart> places;
      for (; next < starts.size() && chosen.size() < kBlock; ++next) {
        const BranchOrigin& start = starts[next];
        if (start.branch >= 0) continue;
        if (!start.point) {
          found_.add_single(next, stopped_ ? reason_ : start.failure);
          continue;
        }
        chosen.push_back(next);
        places.push_back({*start.point, std::nullopt});
      }
      const std::vector<Trace> traces = trace(places);
      for (size_t i = 0; i < chosen.size(); ++i)
        if (starts[chosen[i]].branch < 0) found_.add_traced(chosen[i], traces[i]);
    }
    if (!stopped_) guarded([&] { report(); });
  }

  // Where branches may leave the crossings found so far; false where there is nothing new.
  bool explore_crossings() {
    leads_.clear();
    for (size_t id = 0; id < found_.events.size(); ++id) {
      KnownEvent& event = found_.events[id];
      if (!event.wants_exploring()) continue;
      event.explored = true;
      BranchCurve curve(map_);
      if (event.is_simple_crossing()) {
        if (const auto direction = other_branch(curve, event.located))
          leads_.push_back({id, {*direction, Coordinates(direction->size()), true}});
        continue;
      }
      const auto stop = [this] { return stop_now(); };
      for (CrossingDirection& along : crossing_directions(curve, event.located, stop))
        if (!event.holds(along.direction)) leads_.push_back({id, std::move(along)});
    }
    return !leads_.empty();
  }

  void follow_crossings() {
    for (size_t next = 0; next < leads_.size() && !stopped_;) {
      std::vector<size_t> chosen;
      std::vector<BranchStart> places;
      for (; next < leads_.size() && chosen.size() < kBlock / 2; ++next) {
        const KnownEvent& event = found_.events[leads_[next].event];
        if (event.holds(leads_[next].along.direction)) continue;
        chosen.push_back(next);
        for (const double sign : {-1.0, 1.0}) {
          CurvePoint start = event.located.place;
          for (size_t k = 0; k < start.tangent.size(); ++k)
            start.tangent[k] = sign * leads_[next].along.direction[k];
          places.push_back({std::move(start), leads_[next].along.bend});
        }
      }
      const std::vector<Trace> traces = trace(places);
      for (size_t i = 0; i < chosen.size(); ++i) {
        const Lead& lead = leads_[chosen[i]];
        // Not a single step: there is no such branch.
        const Trace &back = traces[2 * i], &forth = traces[2 * i + 1];
        if (back.points.size() == 1 && forth.points.size() == 1) continue;
        found_.add_crossing_branch(lead.event, lead.along, back, forth);
      }
    }
  }

  void certify_folds(std::vector<BranchEvent>& events) {
    if (stopped_) return;
    guarded([&] {
      parallel_for(static_cast<ptrdiff_t>(events.size()), execution_, [&](ptrdiff_t i, int) {
        BranchEvent& event = events[at(i)];
        if (event.kind != EventKind::fold) return;
        std::vector<double> v = map_.to_direction(found_.events[at(i)].located.null_vector);
        const double length = norm(v);
        for (double& value : v) value /= length;
        const FoldCertificate proof =
            certify_fold(network_, options_.terms, event.state, v, event.beta);
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
  BranchAssembly found_;
  std::vector<Lead> leads_;
};

}  // namespace

BranchList follow_branches(const Network<double>& network, const double* states, ptrdiff_t count,
                           const FollowOptions& options, const Execution& execution) {
  return Follower(network, options, execution).run(states, count);
}

Corrected correct_states(const Network<double>& network, const double* states, ptrdiff_t count,
                         const Execution& execution) {
  const ContinuationMap map(network, {network.log_weights(), {}});
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
