// Decides sets of patterns in a proof by supports (support_search.hpp): which may be part of a
// support, and what fixed points have exactly that support.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "face_node.hpp"
#include "hopfix/interval.hpp"
#include "support_bound.hpp"
#include "support_multipliers.hpp"
#include "support_problem.hpp"
#include "support_region.hpp"
#include "support_search.hpp"

namespace hopfix {

// So many regions of one set may be examined, with so much work, before it is given up.
inline constexpr std::int64_t kMostRegionsOfASet = 4000;
inline constexpr double kMostWorkOfASet = 6e7;

struct SupportLimit {
  std::function<bool(int worker)> stop;
  std::int64_t most_regions;
};

// Works on sets, one after another; one per task.
class SupportWorker {
 public:
  SupportWorker(const SupportProblem& problem, const SupportLimit& limit, int worker)
      : problem_(problem),
        limit_(limit),
        worker_(worker),
        contractor_(problem.form),
        bound_(problem.network, problem.log_share, problem.clear),
        cell_(problem.gram),
        certify_(problem.certifier.workspace()) {}

  SupportProof found;

  bool done() const { return !found.undecided.empty() || found.regions > limit_.most_regions; }

  // Whether a support may have the members of `core` and what was added to it; `core` are
  // affinely independent.
  bool may_hold(const FaceNode& core) {
    check();
    const std::size_t own = core.members().size();
    return !cell_.meets(core, [&](const Members& members, const std::vector<double>& weights) {
      return bound_.excludes(members, weights, own);
    });
  }

  // All fixed points with exactly this support, ascending.
  void decide(const Members& members) {
    ++found.sets;
    const auto known = problem_.known.find(members);
    // Where many points share a support, a new certificate costs less than to find the old one.
    constexpr std::size_t kMany = 64;
    candidates_ =
        known == problem_.known.end() || known->second.size() > kMany ? nullptr : &known->second;
    std::vector<SupportRegion> waiting{contractor_.start(members, problem_.share)};
    const double most_work = contractor_.work() + kMostWorkOfASet;
    std::int64_t examined = 0;
    while (!waiting.empty()) {
      check();
      ++examined;
      SupportRegion region = std::move(waiting.back());
      waiting.pop_back();
      found.depth = std::max(found.depth, region.depth);
      if (!contractor_.contract(region) || covered(region)) continue;
      const bool limited = examined >= limit_.most_regions;
      const bool hard = examined >= kMostRegionsOfASet || contractor_.work() > most_work;
      auto halves = limited || hard ? std::nullopt : contractor_.halves(region);
      if (!halves) {
        found.undecided.push_back({state_, reach_,
                                   limited ? UndecidedReason::box_limit
                                   : hard  ? UndecidedReason::hard_support
                                           : UndecidedReason::precision});
        break;
      }
      waiting.push_back(std::move(halves->first));
      waiting.push_back(std::move(halves->second));
    }
    found.regions += examined;
    found.newton_steps = contractor_.newton_steps();
  }

  // All supports that hold {i, j} and patterns above j, where all pairs may.
  void descend_from(std::ptrdiff_t i, std::ptrdiff_t j, const std::vector<Members>& above) {
    FaceNode core(problem_.gram);
    core.start(i);
    core.push(j);
    Members members{i, j}, candidates;
    intersect(above[static_cast<std::size_t>(i)], above[static_cast<std::size_t>(j)], candidates);
    descend(core, members, candidates, above);
  }

 private:
  static void intersect(const Members& a, const Members& b, Members& out) {
    out.clear();
    std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(out));
  }

  // A pattern that depends on the core adds nothing to its bounds: it joins unasked.
  void descend(FaceNode& core, Members& members, const Members& candidates,
               const std::vector<Members>& above) {
    Members next;
    for (const std::ptrdiff_t m : candidates) {
      if (done()) return;
      const bool pushed = core.push(m);
      if (!pushed || may_hold(core)) {
        members.push_back(m);
        decide(members);
        intersect(candidates, above[static_cast<std::size_t>(m)], next);
        if (!next.empty()) descend(core, members, next, above);
        members.pop_back();
      }
      if (pushed) core.pop();
    }
  }

  void check() {
    if (limit_.stop(worker_)) throw Interrupted();
  }

  // Leaves the middle of the region in state_, and how far from it its fixed points can be in
  // reach_: for p with sum 1, |sum p_i (x_i - state)| <= |sum m_i (x_i - state)| +
  // sum |p_i - m_i| |x_i - state|, m the middle. The lightest patterns count by their mass alone.
  void measure(const SupportRegion& region) {
    constexpr double kLight = 1e-25;
    const std::ptrdiff_t n = problem_.network.size(), dim = problem_.network.dim();
    const double* patterns = problem_.network.patterns().data();
    heavy_.clear();
    double total = 0;
    UpperBound light(0);
    for (std::ptrdiff_t i = 0; i < n; ++i) {
      const double hi = region.hi[static_cast<std::size_t>(i)];
      if (hi < kLight) {
        light = light + UpperBound(hi);
      } else {
        heavy_.push_back(i);
        total += middle(region, i);
      }
    }
    state_.assign(static_cast<std::size_t>(dim), 0.0);
    for (const std::ptrdiff_t i : heavy_)
      for (std::ptrdiff_t k = 0; k < dim; ++k)
        state_[static_cast<std::size_t>(k)] += middle(region, i) / total * patterns[i * dim + k];
    if (problem_.single_precision)
      for (double& value : state_) value = static_cast<double>(static_cast<float>(value));

    sum_.assign(static_cast<std::size_t>(dim), 0.0);
    UpperBound spread(0), sizes(0);
    for (const std::ptrdiff_t i : heavy_) {
      const double lo = region.lo[static_cast<std::size_t>(i)],
                   hi = region.hi[static_cast<std::size_t>(i)];
      const double m = middle(region, i);
      for (std::ptrdiff_t k = 0; k < dim; ++k)
        sum_[static_cast<std::size_t>(k)] +=
            m * (patterns[i * dim + k] - state_[static_cast<std::size_t>(k)]);
      const UpperBound distance =
          distance_bound(patterns + i * dim, state_.data(), dim, difference_);
      spread = spread + UpperBound(std::max(hi - m, m - lo)) * distance;
      sizes = sizes + UpperBound(m) * distance;
    }
    const UpperBound far =
        UpperBound(problem_.network.extent().radius) +
        distance_bound(problem_.network.extent().mean.data(), state_.data(), dim, difference_);
    reach_ = (norm_bound(sum_.data(), dim) +
              gamma_bound(static_cast<std::ptrdiff_t>(heavy_.size()) + 8) * sizes +
              spread * UpperBound(1 + 4 * kUnitRoundoff) + light * far * UpperBound(1 + 1e-9))
                 .value();
  }

  static double middle(const SupportRegion& region, std::ptrdiff_t i) {
    const double lo = region.lo[static_cast<std::size_t>(i)],
                 hi = region.hi[static_cast<std::size_t>(i)];
    return lo + (hi - lo) / 2;
  }

  // Whether the region lies where at most one fixed point is, which is known or certified now.
  bool covered(const SupportRegion& region) {
    measure(region);
    const std::ptrdiff_t dim = problem_.network.dim();
    const auto inside = [&](const double* centre, double radius) {
      return (distance_bound(centre, state_.data(), dim, difference_) + UpperBound(reach_))
                 .value() < radius;
    };
    for (const ClearBall& ball : problem_.clear)
      if (inside(ball.centre.data(), ball.radius)) return true;
    if (candidates_ != nullptr)
      for (const std::size_t i : *candidates_)
        if (inside(problem_.state(i), problem_.certificates[i].uniqueness_radius)) return true;
    // Uniqueness balls of radius ln 2 / (beta R) and more are rare.
    if (!(reach_ * problem_.network.beta() * problem_.network.extent().radius < 0.7)) return false;
    const Certificate certificate = problem_.certifier.certify(state_.data(), *certify_);
    if (!certificate.certified() || !(reach_ < certificate.uniqueness_radius)) return false;
    found.states.insert(found.states.end(), state_.begin(), state_.end());
    found.certificates.push_back(certificate);
    return true;
  }

  const SupportProblem& problem_;
  const SupportLimit& limit_;
  const int worker_;
  SupportContractor contractor_;
  SupportBound bound_;
  SupportMultipliers cell_;
  decltype(problem_.certifier.workspace()) certify_;
  const std::vector<std::size_t>* candidates_ = nullptr;
  Members heavy_;
  std::vector<double> state_, sum_, difference_;
  double reach_ = 0;
};

}  // namespace hopfix
