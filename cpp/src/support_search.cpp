#include "support_search.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <memory>
#include <numeric>
#include <stdexcept>

#include "portion_kinds.hpp"
#include "shared_stop.hpp"
#include "support_problem.hpp"
#include "support_worker.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;
using Clock = std::chrono::steady_clock;

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
    const bool good = run_tasks(static_cast<ptrdiff_t>(supports.size()), 2,
                                [&](SupportWorker& worker, ptrdiff_t t) {
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
    const bool good = run_tasks(n(), 64, [&](SupportWorker& worker, ptrdiff_t i) {
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
    return run_tasks(static_cast<ptrdiff_t>(singles_.size()), 64,
                     [&](SupportWorker& worker, ptrdiff_t t) {
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
    return run_tasks(count, kTasksOfABlock, [&](SupportWorker& worker, ptrdiff_t t) {
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
      const bool all = delegate_portions(problem_.network, execution_, std::move(portions),
                                         [&](size_t, Reader& answer) {
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
    const SupportLimit limit{[&](int worker) {
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
        SupportWorker work(problem_, limit, worker);
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
