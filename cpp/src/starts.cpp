#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>

#include "hopfix/affine_hull.hpp"
#include "hopfix/face_newton.hpp"
#include "hopfix/fixed_points.hpp"
#include "hopfix/newton.hpp"
#include "portion_kinds.hpp"
#include "start_sequence.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;
using Clock = std::chrono::steady_clock;

double distance(const double* a, const double* b, ptrdiff_t dim) {
  double sum = 0;
  for (ptrdiff_t k = 0; k < dim; ++k) sum += (a[k] - b[k]) * (a[k] - b[k]);
  return std::sqrt(sum);
}

// The points known so far.
class KnownPoints {
 public:
  KnownPoints(ptrdiff_t dim, double scale) : dim_(dim), resolution_(scale * 4 * std::cbrt(1e-13)) {}

  // Within half the uniqueness ball of a known point no other fixed point lies within reach of a
  // Newton limit. Uncertified points have no such ball; a zero of third order, the usual worst,
  // is located to the cube root of Newton's tolerance, and closer candidates are reported as one.
  bool contains(const double* state) const {
    for (size_t i = 0; i < list.certificates.size(); ++i) {
      const Certificate& known = list.certificates[i];
      const double reach = known.certified() ? known.uniqueness_radius / 2 : resolution_;
      if (distance(list.states.data() + static_cast<ptrdiff_t>(i) * dim_, state, dim_) <= reach)
        return true;
    }
    return false;
  }

  // A certified point takes the place of uncertified ones inside its uniqueness ball.
  void add(const double* state, const Certificate& certificate) {
    if (certificate.certified()) remove_uncertified_near(state, certificate.uniqueness_radius / 2);
    list.states.insert(list.states.end(), state, state + dim_);
    list.certificates.push_back(certificate);
  }

  void truncate(std::int64_t count) {
    if (list.size() <= count) return;
    list.states.resize(static_cast<size_t>(count * dim_));
    list.certificates.resize(static_cast<size_t>(count));
  }

  FixedPointList list;

 private:
  void remove_uncertified_near(const double* state, double reach) {
    ptrdiff_t kept = 0;
    for (ptrdiff_t i = 0; i < list.size(); ++i) {
      const double* other = list.states.data() + i * dim_;
      const Certificate certificate = list.certificates[static_cast<size_t>(i)];
      if (!certificate.certified() && distance(other, state, dim_) <= reach) continue;
      std::copy_n(other, dim_, list.states.data() + kept * dim_);
      list.certificates[static_cast<size_t>(kept++)] = certificate;
    }
    list.states.resize(static_cast<size_t>(kept * dim_));
    list.certificates.resize(static_cast<size_t>(kept));
  }

  ptrdiff_t dim_;
  double resolution_;
};

// Where Newton's method led from some starts: coordinates of the affine hull, and whether it did.
struct StartLimits {
  std::vector<double> places;
  std::vector<std::uint8_t> solved;
};

// Newton's method from the starts of a sequence, in the affine hull of the patterns.
class StartSolver {
 public:
  StartSolver(const Network<double>& network, std::uint64_t seed)
      : network_(network),
        hull_(affine_hull(network.patterns().data(), network.size(), network.dim())),
        reduced_(reduce(network, hull_)),
        sequence_(network.size(), hull_.rank, seed) {}

  const AffineHull& hull() const { return hull_; }
  const StartSequence& sequence() const { return sequence_; }

  // Starts of a block: fewer where one costs more.
  ptrdiff_t block_size() const {
    constexpr double kMultiplyAdds = 1e8;
    const double step = static_cast<double>(reduced_.size()) * static_cast<double>(reduced_.dim()) *
                        static_cast<double>(reduced_.dim());
    return static_cast<ptrdiff_t>(std::clamp(kMultiplyAdds / step, 4.0, 64.0));
  }

  StartLimits solve(ptrdiff_t first, ptrdiff_t count, const Execution& execution) const {
    const ptrdiff_t rank = reduced_.dim();
    StartLimits limits{std::vector<double>(static_cast<size_t>(count * rank)),
                       std::vector<std::uint8_t>(static_cast<size_t>(count))};
    parallel_for(count, execution, [&](ptrdiff_t i, int) {
      limits.solved[static_cast<size_t>(i)] = solve(first + i, limits.places.data() + i * rank);
    });
    return limits;
  }

 private:
  // The network in hull coordinates; a single point keeps one coordinate, all zero.
  static Network<double> reduce(const Network<double>& network, const AffineHull& hull) {
    std::vector<double> patterns = hull.patterns;
    if (hull.rank == 0) patterns.assign(static_cast<size_t>(network.size()), 0.0);
    return Network<double>(patterns.data(), network.size(), std::max<ptrdiff_t>(hull.rank, 1),
                           network.beta(),
                           network.log_weights().empty() ? nullptr : network.log_weights().data());
  }

  bool solve(ptrdiff_t index, double* state) const {
    std::vector<double> p;
    sequence_.weights(index, p);
    if (sequence_.is_face(index)) settle_on_face(p);
    const ptrdiff_t rank = reduced_.dim();
    std::fill_n(state, rank, 0.0);
    for (ptrdiff_t i = 0; i < network_.size(); ++i)
      for (ptrdiff_t k = 0; k < hull_.rank; ++k)
        state[k] +=
            p[static_cast<size_t>(i)] * hull_.patterns[static_cast<size_t>(i * hull_.rank + k)];
    if (sequence_.is_pattern(index)) retrieve(state);
    NewtonSolver newton(reduced_);
    return newton.solve(state);
  }

  // Leaves p as it is when the face has no equilibrium of its own.
  void settle_on_face(std::vector<double>& p) const {
    std::vector<ptrdiff_t> face;
    std::vector<double> weights;
    for (size_t i = 0; i < p.size(); ++i) {
      if (p[i] == 0) continue;
      face.push_back(static_cast<ptrdiff_t>(i));
      weights.push_back(p[i]);
    }
    if (!FaceNewton(reduced_).solve(face, weights)) return;
    for (size_t i = 0; i < face.size(); ++i) p[static_cast<size_t>(face[i])] = weights[i];
  }

  void retrieve(double* state) const {
    constexpr int kUpdates = 30;
    std::vector<double> next(static_cast<size_t>(reduced_.dim()));
    for (int step = 0; step < kUpdates; ++step) {
      reduced_.update(state, 1, next.data(), Execution{});
      std::copy(next.begin(), next.end(), state);
    }
  }

  const Network<double>& network_;
  AffineHull hull_;
  Network<double> reduced_;
  StartSequence sequence_;
};

// One search: blocks of starts, solved in parallel, then merged in order.
class StartSearch {
 public:
  StartSearch(const Network<double>& network, const SearchOptions& options,
              const Execution& execution)
      : network_(network),
        options_(options),
        user_stop_(execution.stop_requested),
        execution_{execution.threads, [this] { return stop_now(); }, execution.team,
                   execution.delegate},
        certifier_(network),
        solver_(network, options.seed),
        known_(network.dim(), scale()),
        block_(solver_.block_size()) {}

  FixedPointList run() {
    ptrdiff_t done = 0;
    try {
      while (!enough(done, last_found_)) {
        if (stop_now()) throw Interrupted();
        const ptrdiff_t before = found_;
        run_block(done, block_);
        done += block_;
        if (found_ != before) last_found_ = done;
        if (options_.progress) options_.progress(done, goal(done, last_found_));
        if (known_.list.size() >= options_.max_count) {
          known_.list.count_limit_reached = true;
          break;
        }
      }
    } catch (const Interrupted&) {
      known_.list.time_limit_reached = out_of_time();
      known_.list.interrupted = !out_of_time();
    }
    known_.list.starts = done;
    known_.truncate(options_.max_count);
    return std::move(known_.list);
  }

 private:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - began_).count(); }
  bool out_of_time() const { return seconds() > options_.time_limit; }

  // A block that is cut short by this is dropped whole.
  bool stop_now() const { return out_of_time() || (user_stop_ && user_stop_()); }

  double scale() const {
    double largest = 0;
    for (const double x : network_.patterns()) largest = std::max(largest, std::fabs(x));
    return std::max(largest, 1e-300);
  }

  // Starts to make in all if nothing new turns up: the systematic ones, at least as many after
  // the last find as before it, and eight times that while the audit fails.
  ptrdiff_t goal(ptrdiff_t done, ptrdiff_t last_found) const {
    const bool passes = passes_degree_audit(known_.list.certificates, solver_.hull().rank);
    return std::max(done, goal_of(last_found, passes ? 1 : 8));
  }

  ptrdiff_t goal_of(ptrdiff_t last_found, ptrdiff_t times) const {
    const ptrdiff_t patience = std::max<ptrdiff_t>(256, last_found);
    return std::max(solver_.sequence().systematic(), last_found + times * patience);
  }

  bool enough(ptrdiff_t done, ptrdiff_t last_found) const {
    return done > 0 && done >= goal(0, last_found);
  }

  void run_block(ptrdiff_t first, ptrdiff_t count) {
    const ptrdiff_t dim = network_.dim();
    const StartLimits limits =
        execution_.delegate ? next_delegated(first) : solver_.solve(first, count, execution_);
    ptrdiff_t candidates = 0;
    std::vector<double> states = embed(limits.places, count);
    for (ptrdiff_t i = 0; i < count; ++i) {
      const double* state = states.data() + i * dim;
      if (!limits.solved[static_cast<size_t>(i)] || known_.contains(state)) continue;
      std::copy_n(state, dim, states.data() + candidates++ * dim);
    }
    certify_and_add(states, candidates);
  }

  // The limits of the block that begins at `first`. All blocks that are needed if nothing new turns
  // up are solved at once.
  StartLimits next_delegated(ptrdiff_t first) {
    if (ahead_.empty() && !given_up_) {
      const ptrdiff_t needed = (goal_of(last_found_, 1) - first + block_ - 1) / block_;
      const ptrdiff_t blocks = needed > 0 ? needed : kMostPortions;
      const ptrdiff_t each = (blocks + kMostPortions - 1) / kMostPortions;
      std::vector<std::string> portions;
      for (ptrdiff_t begin = 0; begin < blocks; begin += each) {
        Writer portion = begin_portion(PortionKind::starts);
        portion.put(options_.seed);
        portion.put(first + begin * block_);
        portion.put(std::min(each, blocks - begin));
        portion.put(options_.time_limit - seconds());
        portions.push_back(portion.take());
      }
      size_t next = 0;  // what came back after a gap is of no use
      given_up_ = !delegate_portions(
          network_, execution_, std::move(portions), [&](size_t i, Reader& answer) {
            if (i != next++) return;
            const ptrdiff_t begin = static_cast<ptrdiff_t>(i) * each;
            for (ptrdiff_t k = std::min(each, blocks - begin); k > 0; --k) {
              StartLimits limits{answer.list<double>(), answer.list<std::uint8_t>()};
              ahead_.push_back(std::move(limits));
            }
          });
    }
    if (ahead_.empty()) throw Interrupted();
    StartLimits limits = std::move(ahead_.front());
    ahead_.pop_front();
    return limits;
  }

  void certify_and_add(const std::vector<double>& states, ptrdiff_t count) {
    const auto certificates = certifier_.certify(states.data(), count, execution_);
    for (const bool certified : {true, false})
      for (ptrdiff_t i = 0; i < count; ++i) {
        const double* state = states.data() + i * network_.dim();
        const Certificate& certificate = certificates[static_cast<size_t>(i)];
        if (certificate.certified() != certified || known_.contains(state)) continue;
        known_.add(state, certificate);
        // Around a degenerate point every start ends somewhere else: no reason to go on.
        if (certified) ++found_;
      }
  }

  std::vector<double> embed(const std::vector<double>& limits, ptrdiff_t count) const {
    std::vector<double> states = solver_.hull().embed(limits.data(), count);
    if (options_.single_precision)
      for (double& value : states) value = static_cast<double>(static_cast<float>(value));
    return states;
  }

  const Network<double>& network_;
  const SearchOptions& options_;
  const std::function<bool()> user_stop_;
  const Execution execution_;
  const Clock::time_point began_ = Clock::now();
  Certifier certifier_;
  StartSolver solver_;
  KnownPoints known_;
  ptrdiff_t block_;
  ptrdiff_t found_ = 0, last_found_ = 0;  // certified points; starts made when the last one was
  std::deque<StartLimits> ahead_;         // of the next blocks, where they are solved elsewhere
  bool given_up_ = false;                 // by the delegate: no more of them will come
};

}  // namespace

bool passes_degree_audit(const std::vector<Certificate>& certificates, ptrdiff_t dim) {
  std::vector<std::int64_t> counts(static_cast<size_t>(dim) + 1, 0);
  for (const Certificate& c : certificates) {
    if (!c.certified() || c.morse_index > dim) return false;
    ++counts[static_cast<size_t>(c.morse_index)];
  }
  std::int64_t alternating = 0, sign = 1;  // c_m - c_{m-1} + ..., (-1)^m
  for (ptrdiff_t m = 0; m <= dim; ++m, sign = -sign) {
    alternating = counts[static_cast<size_t>(m)] - alternating;
    if (alternating < sign) return false;
  }
  return alternating * -sign == 1;
}

FixedPointList fixed_points_by_starts(const Network<double>& network, const SearchOptions& options,
                                      const Execution& execution) {
  return StartSearch(network, options, execution).run();
}

std::string work_on_starts(const Network<double>& network, Reader& portion,
                           const Execution& execution) {
  const StartSolver solver(network, portion.get<std::uint64_t>());
  const auto first = portion.get<ptrdiff_t>(), blocks = portion.get<ptrdiff_t>();
  const Execution limited = within(portion.get<double>(), execution);
  const ptrdiff_t size = solver.block_size();
  Writer answer;
  for (ptrdiff_t k = 0; k < blocks; ++k) {
    const StartLimits limits = solver.solve(first + k * size, size, limited);
    answer.put(limits.places);
    answer.put(limits.solved);
  }
  return answer.take();
}

}  // namespace hopfix
