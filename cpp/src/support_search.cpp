#include "support_search.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <iterator>
#include <memory>
#include <numeric>
#include <stdexcept>

#include "hopfix/interval.hpp"
#include "hopfix/isa.hpp"
#include "kernels/table.hpp"
#include "portion_kinds.hpp"
#include "shared_stop.hpp"
#include "support_bound.hpp"
#include "support_multipliers.hpp"
#include "support_problem.hpp"
#include "support_region.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;
using Clock = std::chrono::steady_clock;

// So many regions of one set may be examined, with so much work, before it is given up.
constexpr std::int64_t kMostRegionsOfASet = 4000;
constexpr double kMostWorkOfASet = 6e7;

struct Limit {
  std::function<bool(int worker)> stop;
  std::int64_t most_regions;
};

// Works on sets, one after another; one per task.
class Worker {
 public:
  Worker(const SupportProblem& problem, const Limit& limit, int worker)
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
    const size_t own = core.members().size();
    return !cell_.meets(core, [&](const Members& members, const std::vector<double>& weights) {
      return bound_.excludes(members, weights, own);
    });
  }

  // All fixed points with exactly this support, ascending.
  void decide(const Members& members) {
    ++found.sets;
    const auto known = problem_.known.find(members);
    // Where many points share a support, a new certificate costs less than to find the old one.
    constexpr size_t kMany = 64;
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
  void descend_from(ptrdiff_t i, ptrdiff_t j, const std::vector<Members>& above) {
    FaceNode core(problem_.gram);
    core.start(i);
    core.push(j);
    Members members{i, j}, candidates;
    intersect(above[static_cast<size_t>(i)], above[static_cast<size_t>(j)], candidates);
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
    for (const ptrdiff_t m : candidates) {
      if (done()) return;
      const bool pushed = core.push(m);
      if (!pushed || may_hold(core)) {
        members.push_back(m);
        decide(members);
        intersect(candidates, above[static_cast<size_t>(m)], next);
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
    const ptrdiff_t n = problem_.network.size(), dim = problem_.network.dim();
    const double* patterns = problem_.network.patterns().data();
    heavy_.clear();
    double total = 0;
    UpperBound light(0);
    for (ptrdiff_t i = 0; i < n; ++i) {
      const double hi = region.hi[static_cast<size_t>(i)];
      if (hi < kLight) {
        light = light + UpperBound(hi);
      } else {
        heavy_.push_back(i);
        total += middle(region, i);
      }
    }
    state_.assign(static_cast<size_t>(dim), 0.0);
    for (const ptrdiff_t i : heavy_)
      for (ptrdiff_t k = 0; k < dim; ++k)
        state_[static_cast<size_t>(k)] += middle(region, i) / total * patterns[i * dim + k];
    if (problem_.single_precision)
      for (double& value : state_) value = static_cast<double>(static_cast<float>(value));

    sum_.assign(static_cast<size_t>(dim), 0.0);
    UpperBound spread(0), sizes(0);
    for (const ptrdiff_t i : heavy_) {
      const double lo = region.lo[static_cast<size_t>(i)], hi = region.hi[static_cast<size_t>(i)];
      const double m = middle(region, i);
      for (ptrdiff_t k = 0; k < dim; ++k)
        sum_[static_cast<size_t>(k)] +=
            m * (patterns[i * dim + k] - state_[static_cast<size_t>(k)]);
      const UpperBound distance =
          distance_bound(patterns + i * dim, state_.data(), dim, difference_);
      spread = spread + UpperBound(std::max(hi - m, m - lo)) * distance;
      sizes = sizes + UpperBound(m) * distance;
    }
    const UpperBound far =
        UpperBound(problem_.network.extent().radius) +
        distance_bound(problem_.network.extent().mean.data(), state_.data(), dim, difference_);
    reach_ = (norm_bound(sum_.data(), dim) +
              gamma_bound(static_cast<ptrdiff_t>(heavy_.size()) + 8) * sizes +
              spread * UpperBound(1 + 4 * kUnitRoundoff) + light * far * UpperBound(1 + 1e-9))
                 .value();
  }

  static double middle(const SupportRegion& region, ptrdiff_t i) {
    const double lo = region.lo[static_cast<size_t>(i)], hi = region.hi[static_cast<size_t>(i)];
    return lo + (hi - lo) / 2;
  }

  // Whether the region lies where at most one fixed point is, which is known or certified now.
  bool covered(const SupportRegion& region) {
    measure(region);
    const ptrdiff_t dim = problem_.network.dim();
    const auto inside = [&](const double* centre, double radius) {
      return (distance_bound(centre, state_.data(), dim, difference_) + UpperBound(reach_))
                 .value() < radius;
    };
    for (const ClearBall& ball : problem_.clear)
      if (inside(ball.centre.data(), ball.radius)) return true;
    if (candidates_ != nullptr)
      for (const size_t i : *candidates_)
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
  const Limit& limit_;
  const int worker_;
  SupportContractor contractor_;
  SupportBound bound_;
  SupportMultipliers cell_;
  decltype(problem_.certifier.workspace()) certify_;
  const std::vector<size_t>* candidates_ = nullptr;
  Members heavy_;
  std::vector<double> state_, sum_, difference_;
  double reach_ = 0;
};

// Two members of a set; those below them are above the second.
struct Pair {
  ptrdiff_t i, j;
};

constexpr ptrdiff_t kTasksOfABlock = 128;

class SupportSearch {
 public:
  SupportSearch(const SupportProblem& problem, const FaceSearchOptions& options, double seconds,
                const Execution& execution)
      : problem_(problem), options_(options), seconds_(seconds), execution_(execution) {}

  SupportProof run() {
    if (probe() && singles() && pairs()) larger();
    return std::move(proof_);
  }

  // What larger() finds below some pairs.
  SupportProof run_portion(const std::vector<Pair>& tasks, std::vector<Members> above) {
    above_ = std::move(above);
    descend_from(tasks);
    return std::move(proof_);
  }

 private:
  // The supports of the points nearest to degeneracy, which are the first to stay undecided.
  bool probe() {
    constexpr size_t kMost = 32;
    std::vector<size_t> order(problem_.certificates.size());
    std::iota(order.begin(), order.end(), size_t{0});
    const auto radius = [&](size_t i) { return problem_.certificates[i].uniqueness_radius; };
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return radius(a) < radius(b); });
    order.resize(std::min(order.size(), kMost));
    std::vector<Members> supports;
    for (const auto& [support, points] : problem_.known)
      for (const size_t point : points)
        if (std::find(order.begin(), order.end(), point) != order.end()) {
          supports.push_back(support);
          break;
        }
    std::sort(supports.begin(), supports.end());
    const SupportProof before = proof_;
    const bool good =
        run_tasks(static_cast<ptrdiff_t>(supports.size()), 2, [&](Worker& worker, ptrdiff_t t) {
          const Members& support = supports[static_cast<size_t>(t)];
          FaceNode core(problem_.gram);
          core.start(support.front());
          for (size_t i = 1; i < support.size(); ++i) core.push(support[i]);
          if (worker.may_hold(core)) worker.decide(support);
        });
    // All of them come up once more.
    if (good) proof_ = before;
    return good;
  }

  bool singles() {
    std::vector<char> open(static_cast<size_t>(n()), 0);
    const bool good = run_tasks(n(), 64, [&](Worker& worker, ptrdiff_t i) {
      FaceNode node(problem_.gram);
      node.start(i);
      if (!worker.may_hold(node)) return;
      open[static_cast<size_t>(i)] = 1;
      worker.decide({i});
    });
    for (ptrdiff_t i = 0; i < n(); ++i)
      if (open[static_cast<size_t>(i)]) singles_.push_back(i);
    return good;
  }

  bool pairs() {
    above_.resize(static_cast<size_t>(n()));
    return run_tasks(static_cast<ptrdiff_t>(singles_.size()), 64, [&](Worker& worker, ptrdiff_t t) {
      const ptrdiff_t i = singles_[static_cast<size_t>(t)];
      FaceNode node(problem_.gram);
      for (size_t s = static_cast<size_t>(t) + 1; s < singles_.size(); ++s) {
        const ptrdiff_t j = singles_[s];
        if (worker.done()) return;
        node.start(i);
        if (node.push(j) && !worker.may_hold(node)) continue;
        above_[static_cast<size_t>(i)].push_back(j);
        worker.decide({i, j});
      }
    });
  }

  bool larger() {
    std::vector<Pair> tasks;
    for (ptrdiff_t i = 0; i < n(); ++i)
      for (const ptrdiff_t j : above_[static_cast<size_t>(i)]) tasks.push_back({i, j});
    const bool elsewhere =
        execution_.delegate && static_cast<ptrdiff_t>(tasks.size()) > kTasksOfABlock;
    return elsewhere ? delegate(tasks) : descend_from(tasks);
  }

  bool descend_from(const std::vector<Pair>& tasks) {
    const auto count = static_cast<ptrdiff_t>(tasks.size());
    return run_tasks(count, kTasksOfABlock, [&](Worker& worker, ptrdiff_t t) {
      const auto [i, j] = tasks[static_cast<size_t>(t)];
      worker.descend_from(i, j, above_);
    });
  }

  // A portion is a block, so that what ends the proof is what ends it here.
  bool delegate(const std::vector<Pair>& tasks) {
    const auto began = Clock::now();
    const auto total = static_cast<ptrdiff_t>(tasks.size());
    // What all portions carry: the known points.
    constexpr size_t kMostBytes = size_t{1} << 28;
    const size_t bytes = problem_.states.size() * sizeof(double) +
                         problem_.certificates.size() * sizeof(Certificate);
    const auto most = std::clamp(static_cast<ptrdiff_t>(kMostBytes / std::max(bytes, size_t{1})),
                                 ptrdiff_t{1}, kMostPortions);
    // Few at first: a proof that fails mostly fails early.
    ptrdiff_t blocks = std::min<ptrdiff_t>(4, most);
    for (ptrdiff_t begin = 0, end = 0; begin < total;
         begin = end, blocks = std::min(2 * blocks, most)) {
      std::vector<std::string> portions;
      end = std::min(begin + kTasksOfABlock * blocks, total);
      for (ptrdiff_t first = begin; first < end; first += kTasksOfABlock) {
        const ptrdiff_t last = std::min(first + kTasksOfABlock, end);
        const double left = seconds_ - std::chrono::duration<double>(Clock::now() - began).count();
        portions.push_back(portion({tasks.begin() + first, tasks.begin() + last}, left));
      }
      const bool all = delegate_portions(execution_, portions, [&](size_t, Reader& answer) {
        if (!proof_.undecided.empty()) return;
        SupportProof part;
        part.read(answer);
        add(part);
        check_regions();
      });
      if (!proof_.undecided.empty()) return false;
      if (!all) throw Interrupted();
      if (options_.progress) options_.progress(end, total);
    }
    return true;
  }

  std::string portion(const std::vector<Pair>& tasks, double seconds) const {
    Writer portion = begin_portion(PortionKind::supports);
    portion.put(problem_.single_precision);
    portion.put(options_.max_regions - proof_.regions);
    portion.put(seconds);
    portion.put(problem_.share);
    portion.put(problem_.states);
    portion.put(problem_.certificates);
    portion.put(above_);
    portion.put(tasks);
    return portion.take();
  }

  void check_regions() {
    if (proof_.undecided.empty() && proof_.regions > options_.max_regions)
      proof_.undecided.push_back(
          {std::vector<double>(static_cast<size_t>(dim())), HUGE_VAL, UndecidedReason::box_limit});
  }

  // In blocks, so that limits end the proof at the same place for every number of threads. False
  // if it has ended undecided.
  template <class Task>
  bool run_tasks(ptrdiff_t tasks, ptrdiff_t block, const Task& task) {
    const auto began = Clock::now();
    SharedStop stop(execution_);
    const Limit limit{[&](int worker) {
                        return std::chrono::duration<double>(Clock::now() - began).count() >
                                   seconds_ ||
                               stop.requested(worker);
                      },
                      options_.max_regions - proof_.regions};
    for (ptrdiff_t begin = 0; begin < tasks; begin += block) {
      const ptrdiff_t count = std::min(block, tasks - begin);
      std::vector<SupportProof> parts(static_cast<size_t>(count));
      parallel_for(count, stop.execution(), [&](ptrdiff_t index, int worker) {
        if (!arithmetic_is_sound())
          throw std::runtime_error(
              "this thread does not round to nearest with gradual underflow: no proof is possible");
        Worker work(problem_, limit, worker);
        task(work, begin + index);
        parts[static_cast<size_t>(index)] = std::move(work.found);
      });
      for (SupportProof& part : parts) add(part);
      check_regions();
      if (!proof_.undecided.empty()) return false;
      if (options_.progress) options_.progress(begin + count, tasks);
    }
    seconds_ -= std::chrono::duration<double>(Clock::now() - began).count();
    return true;
  }

  void add(SupportProof& part) {
    proof_.states.insert(proof_.states.end(), part.states.begin(), part.states.end());
    proof_.certificates.insert(proof_.certificates.end(), part.certificates.begin(),
                               part.certificates.end());
    std::move(part.undecided.begin(), part.undecided.end(), std::back_inserter(proof_.undecided));
    proof_.sets += part.sets;
    proof_.regions += part.regions;
    proof_.newton_steps += part.newton_steps;
    proof_.depth = std::max(proof_.depth, part.depth);
  }

  ptrdiff_t n() const { return problem_.network.size(); }
  ptrdiff_t dim() const { return problem_.network.dim(); }

  const SupportProblem& problem_;
  const FaceSearchOptions& options_;
  double seconds_;
  const Execution& execution_;
  Members singles_;
  std::vector<Members> above_;
  SupportProof proof_;
};

}  // namespace

SupportProof prove_by_supports(const Network<double>& network, const std::vector<double>& states,
                               const std::vector<Certificate>& certificates,
                               const FaceSearchOptions& options, double seconds,
                               const Execution& execution) {
  SupportProof open;
  open.undecided.push_back({std::vector<double>(static_cast<size_t>(network.dim())), HUGE_VAL,
                            UndecidedReason::precision});
  if (network.size() > SupportForm::kMostPatterns) return open;
  const SupportProblem problem(network, states, certificates, options.single_precision, execution);
  if (!problem.form.in_range()) return open;
  return SupportSearch(problem, options, seconds, execution).run();
}

void SupportProof::write(Writer& writer) const {
  writer.put(states);
  writer.put(certificates);
  writer.put(undecided.size());
  for (const UndecidedRegion& region : undecided) write_region(region, writer);
  writer.put(sets);
  writer.put(regions);
  writer.put(newton_steps);
  writer.put(depth);
}

void SupportProof::read(Reader& reader) {
  states = reader.list<double>();
  certificates = reader.list<Certificate>();
  for (auto left = reader.get<size_t>(); left > 0; --left) undecided.push_back(read_region(reader));
  sets = reader.get<std::int64_t>();
  regions = reader.get<std::int64_t>();
  newton_steps = reader.get<std::int64_t>();
  depth = reader.get<int>();
}

std::string work_on_supports(const Network<double>& network, Reader& portion,
                             const Execution& execution) {
  FaceSearchOptions options;
  options.single_precision = portion.get<bool>();
  options.max_regions = portion.get<std::int64_t>();
  const auto seconds = portion.get<double>(), share = portion.get<double>();
  const auto states = portion.list<double>();
  const auto certificates = portion.list<Certificate>();
  std::vector<Members> above(portion.get<size_t>());
  for (Members& each : above) each = portion.list<ptrdiff_t>();
  const auto tasks = portion.list<Pair>();
  const SupportProblem problem(network, states, certificates, options.single_precision, execution);
  // Supports are those of one share: a proof must not mix two.
  if (problem.share != share)
    throw std::runtime_error("portion: this machine rounds other than the one it comes from");
  Writer answer;
  SupportSearch(problem, options, seconds, execution)
      .run_portion(tasks, std::move(above))
      .write(answer);
  return answer.take();
}

}  // namespace hopfix
