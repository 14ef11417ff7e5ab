#include "hopfix/face_search.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <memory>
#include <stdexcept>

#include "cell_search.hpp"
#include "face_solver.hpp"
#include "hopfix/affine_hull.hpp"
#include "hopfix/interval.hpp"
#include "hopfix/newton.hpp"
#include "portion_kinds.hpp"
#include "support_search.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;
using Clock = std::chrono::steady_clock;

class FaceSearch {
 public:
  FaceSearch(const Network<double>& network, const FaceSeeds& seeds,
             const FaceSearchOptions& options, const Execution& execution)
      : network_(network),
        seeds_(seeds),
        options_(options),
        user_stop_(execution.stop_requested),
        execution_{execution.threads, [this] { return stop_now(); }, execution.team,
                   execution.delegate},
        certifier_(network),
        solvers_(static_cast<size_t>(std::max(1, execution.threads))) {
    for (auto& solver : solvers_) solver = std::make_unique<FaceSolver>(network);
    for (size_t t = 0; t < solvers_.size(); ++t) {
      newtons_.push_back(std::make_unique<NewtonSolver>(network));
      workspaces_.push_back(certifier_.workspace());
    }
  }

  FaceSearchList run() {
    try {
      solve_all();
      settle_duplicates();
      if (!cut_) prove();
    } catch (const Interrupted&) {
      list_.interrupted = !out_of_time();
      cut(out_of_time() ? UndecidedReason::time_limit : UndecidedReason::interrupted);
      settle_duplicates();
    }
    list_.seconds = elapsed();
    return std::move(list_);
  }

  // The points of all seeds, as an answer to a portion.
  std::string run_portion() {
    solve_here(0, seeds_.size());
    Writer answer;
    answer.put(states_);
    answer.put(certificates_);
    return answer.take();
  }

 private:
  // Faces worked on between two looks at the limits: fixed, so that results do not depend on
  // threads.
  static constexpr ptrdiff_t kBlock = 256;
  // From here on 2^n sets may be too many, where patterns depend on each other.
  static constexpr ptrdiff_t kManyPatterns = 14;

  struct Point {
    std::vector<double> state;
    Certificate certificate;
  };

  double elapsed() const { return std::chrono::duration<double>(Clock::now() - began_).count(); }
  bool out_of_time() const { return elapsed() > options_.time_limit; }
  bool stop_now() const { return out_of_time() || (user_stop_ && user_stop_()); }

  void cut(UndecidedReason reason) {
    cut_ = true;
    list_.undecided.push_back({std::vector<double>(static_cast<size_t>(network_.dim())),
                               network_.extent().radius * 2, reason});
  }

  void solve_all() {
    const ptrdiff_t total = seeds_.size();
    const bool elsewhere = execution_.delegate && total > kBlock;
    const ptrdiff_t block = elsewhere ? kBlock * kMostPortions : kBlock;
    for (ptrdiff_t begin = 0; begin < total; begin += block) {
      if (static_cast<std::int64_t>(certificates_.size()) >= options_.max_count)
        return cut(UndecidedReason::count_limit);
      const ptrdiff_t count = std::min(block, total - begin);
      if (elsewhere)
        delegate(begin, count);
      else
        solve_here(begin, count);
      if (options_.progress) options_.progress(begin + count, total);
    }
  }

  void solve_here(ptrdiff_t begin, ptrdiff_t count) {
    std::vector<Point> points(static_cast<size_t>(count));
    parallel_for(count, execution_, [&](ptrdiff_t index, int worker) {
      points[static_cast<size_t>(index)] = solve(begin + index, static_cast<size_t>(worker));
    });
    for (const Point& point : points) {
      if (point.state.empty()) continue;
      states_.insert(states_.end(), point.state.begin(), point.state.end());
      certificates_.push_back(point.certificate);
    }
  }

  void delegate(ptrdiff_t begin, ptrdiff_t count) {
    constexpr ptrdiff_t kFewest = 16;
    const ptrdiff_t each = std::max(kFewest, (count + kMostPortions - 1) / kMostPortions);
    std::vector<std::string> portions;
    for (ptrdiff_t first = begin; first < begin + count; first += each) {
      const ptrdiff_t last = std::min(first + each, begin + count);
      const auto from = seeds_.first.begin() + first, to = seeds_.first.begin() + last + 1;
      Writer portion = begin_portion(PortionKind::seeds);
      portion.put(options_.single_precision);
      portion.put(options_.time_limit - elapsed());
      std::vector<std::int64_t> offsets(from, to);
      for (std::int64_t& offset : offsets) offset -= *from;
      portion.put(offsets);
      portion.put(std::vector<std::int64_t>(seeds_.indices.begin() + *from,
                                            seeds_.indices.begin() + *(to - 1)));
      portion.put(
          std::vector<double>(seeds_.weights.begin() + *from, seeds_.weights.begin() + *(to - 1)));
      portions.push_back(portion.take());
    }
    const bool all =
        delegate_portions(network_, execution_, std::move(portions), [&](size_t, Reader& answer) {
          const auto states = answer.list<double>();
          const auto certificates = answer.list<Certificate>();
          states_.insert(states_.end(), states.begin(), states.end());
          certificates_.insert(certificates_.end(), certificates.begin(), certificates.end());
        });
    if (!all) throw Interrupted();
  }

  // Without a state where Newton's method finds nothing: the face's branch may have ended.
  Point solve(ptrdiff_t seed, size_t worker) const {
    if (!arithmetic_is_sound())
      throw std::runtime_error(
          "this thread does not round to nearest with gradual underflow: no proof is possible");
    const ptrdiff_t from = seeds_.first[static_cast<size_t>(seed)];
    const ptrdiff_t size = seeds_.first[static_cast<size_t>(seed) + 1] - from;
    Point point;
    point.state.resize(static_cast<size_t>(network_.dim()));
    solvers_[worker]->solve(seeds_.indices.data() + from, size, seeds_.weights.data() + from,
                            point.state.data());
    certify(point, worker);
    if (point.certificate.certified()) return point;
    // In the space of states residuals are larger, by the eigenvalues of J, but all patterns count.
    if (!newtons_[worker]->solve(point.state.data())) return {};
    certify(point, worker);
    return point;
  }

  void certify(Point& point, size_t worker) const {
    if (options_.single_precision)
      for (double& value : point.state) value = static_cast<double>(static_cast<float>(value));
    point.certificate = certifier_.certify(point.state.data(), *workspaces_[worker]);
  }

  // Certified points once each; of the others those that are not near a certified one, or each
  // other. Where points are too near to be told apart the list says so.
  void settle_duplicates() {
    const ptrdiff_t dim = network_.dim();
    CellList certified;
    std::vector<size_t> others;
    for (size_t i = 0; i < certificates_.size(); ++i) {
      if (!certificates_[i].certified()) {
        others.push_back(i);
        continue;
      }
      certified.states.insert(certified.states.end(), state(i), state(i) + dim);
      certified.certificates.push_back(certificates_[i]);
    }
    resolve_duplicates(dim, certified);
    truncate(dim, options_.max_count, certified);
    std::vector<double> difference;
    for (const size_t i : others) {
      bool repeats = false;
      for (size_t k = 0; k < certified.certificates.size() && !repeats; ++k) {
        const Certificate& known = certified.certificates[k];
        const double near =
            known.certified() ? known.uniqueness_radius / 2 : 1e-4 * network_.extent().radius;
        repeats =
            distance_bound(state(i), certified.states.data() + static_cast<ptrdiff_t>(k) * dim, dim,
                           difference)
                .value() <= near;
      }
      if (repeats) continue;
      certified.states.insert(certified.states.end(), state(i), state(i) + dim);
      certified.certificates.push_back(certificates_[i]);
    }
    list_.states = std::move(certified.states);
    list_.certificates = std::move(certified.certificates);
    std::move(certified.undecided.begin(), certified.undecided.end(),
              std::back_inserter(list_.undecided));
  }

  // By supports, and where they leave something open, by boxes; these first where there may be very
  // many sets of patterns.
  void prove() {
    const auto sure = [](const Certificate& certificate) { return certificate.certified(); };
    if (options_.max_regions == 0 || !list_.undecided.empty() || list_.certificates.empty() ||
        !std::all_of(list_.certificates.begin(), list_.certificates.end(), sure))
      return;
    const ptrdiff_t rank = affine_hull(network_.patterns().data(), n(), network_.dim()).rank;
    // Seconds: what a set takes, and what boxes may take.
    constexpr double kSet = 2e-6, kMost = 2.0;
    const bool many = n() >= kManyPatterns && n() > rank + 1;
    if (many) {
      const double sets = kSet * std::exp2(static_cast<double>(n()));
      if (!settled_by_cells(std::min(sets, kMost))) settled_by_supports();
    } else if (!settled_by_supports()) {
      settled_by_cells(kMost);
    }
  }

  bool settled_by_supports() {
    const double seconds = options_.time_limit - elapsed();
    SupportProof proof = prove_by_supports(network_, list_.states, list_.certificates, options_,
                                           seconds, execution_);
    list_.sets = proof.sets;
    list_.regions = proof.regions;
    list_.newton_steps = proof.newton_steps;
    list_.depth = proof.depth;
    add(proof.states, proof.certificates);
    list_.proved = proof.undecided.empty() && list_.undecided.empty();
    list_.open = std::move(proof.undecided);
    return list_.proved;
  }

  // Boxes of states or weights (cells.hpp), as many as take about so many seconds on one core: a
  // number that depends on nothing but the problem. What they find counts only if they prove it.
  bool settled_by_cells(double seconds) {
    constexpr std::int64_t kFewest = 64;
    if (!options_.boxes) return false;
    CellOptions options;
    options.max_boxes = std::min(options_.max_regions, boxes_worth(seconds));
    if (options.max_boxes < kFewest) return false;
    options.time_limit = options_.time_limit - elapsed();
    options.single_precision = options_.single_precision;
    options.progress = options_.progress;
    const CellList cells = fixed_points_by_cells(network_, options, execution_);
    if (cells.interrupted || out_of_time()) throw Interrupted();
    if (!cells.undecided.empty() || !list_.undecided.empty()) return false;
    list_.form = cells.form;
    list_.sets = 0;
    list_.regions = cells.boxes;
    list_.newton_steps = cells.newton_steps;
    list_.depth = cells.depth;
    add(cells.states, cells.certificates);
    list_.proved = list_.undecided.empty();
    if (list_.proved) list_.open.clear();
    return list_.proved;
  }

  std::int64_t boxes_worth(double seconds) const {
    try {
      return static_cast<std::int64_t>(seconds /
                                       plan_cells(network_, CellForm::automatic).seconds_of_a_box);
    } catch (const std::invalid_argument&) {  // too many patterns in too many dimensions
      return 0;
    }
  }

  // Certified points, which may be known.
  void add(const std::vector<double>& states, const std::vector<Certificate>& certificates) {
    states_ = std::move(list_.states);
    certificates_ = std::move(list_.certificates);
    states_.insert(states_.end(), states.begin(), states.end());
    certificates_.insert(certificates_.end(), certificates.begin(), certificates.end());
    settle_duplicates();
  }

  ptrdiff_t n() const { return network_.size(); }

  const double* state(size_t i) const {
    return states_.data() + static_cast<ptrdiff_t>(i) * network_.dim();
  }

  const Network<double>& network_;
  const FaceSeeds& seeds_;
  const FaceSearchOptions& options_;
  const std::function<bool()> user_stop_;
  const Execution execution_;
  const Clock::time_point began_ = Clock::now();
  Certifier certifier_;
  std::vector<std::unique_ptr<FaceSolver>> solvers_;
  std::vector<std::unique_ptr<NewtonSolver>> newtons_;
  std::vector<decltype(certifier_.workspace())> workspaces_;
  std::vector<double> states_;
  std::vector<Certificate> certificates_;
  bool cut_ = false;
  FaceSearchList list_;
};

}  // namespace

FaceSearchList fixed_points_by_faces(const Network<double>& network, const FaceSeeds& seeds,
                                     const FaceSearchOptions& options, const Execution& execution) {
  if (!arithmetic_is_sound())
    throw std::runtime_error("this thread does not round to nearest with gradual underflow");
  return FaceSearch(network, seeds, options, execution).run();
}

std::string work_on_seeds(const Network<double>& network, Reader& portion,
                          const Execution& execution) {
  FaceSearchOptions options;
  options.single_precision = portion.get<bool>();
  options.time_limit = portion.get<double>();
  FaceSeeds seeds;
  seeds.first = portion.list<std::int64_t>();
  seeds.indices = portion.list<std::int64_t>();
  seeds.weights = portion.list<double>();
  return FaceSearch(network, seeds, options, execution).run_portion();
}

}  // namespace hopfix
