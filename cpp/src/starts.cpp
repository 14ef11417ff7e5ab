#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <random>

#include "hopfix/affine_hull.hpp"
#include "hopfix/face_newton.hpp"
#include "hopfix/fixed_points.hpp"
#include "hopfix/newton.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;
using Clock = std::chrono::steady_clock;

// Which start comes at which place of the sequence, as weights on the patterns.
class StartSequence {
 public:
  StartSequence(ptrdiff_t n, ptrdiff_t rank, std::uint64_t seed)
      : n_(n),
        rank_(rank),
        seed_(seed),
        pairs_(n <= 64 ? n * (n - 1) / 2 : 0),
        faces_(n <= 12 ? (ptrdiff_t{1} << n) - 1 : 0) {}

  // The length of the part without chance.
  ptrdiff_t systematic() const { return 1 + n_ + pairs_ + faces_; }

  // Stored patterns are first followed by plain retrieval.
  bool is_pattern(ptrdiff_t index) const { return index >= 1 && index <= n_; }

  // Whether the start is first moved to the equilibrium of its face: all pairs and faces, and
  // every other random face.
  bool is_face(ptrdiff_t index) const {
    return index > n_ && (index < systematic() || index % 2 == 0);
  }

  void weights(ptrdiff_t index, std::vector<double>& p) const {
    p.assign(static_cast<size_t>(n_), 0.0);
    if (index == 0) return blend(p, 1.0);
    if ((index -= 1) < n_) return mix(p, {index});
    if ((index -= n_) < pairs_) return pair(index, p);
    if ((index -= pairs_) < faces_) return face(index + 1, p);
    random_face(index - faces_, p);
  }

 private:
  void mix(std::vector<double>& p, const std::vector<ptrdiff_t>& support) const {
    for (const ptrdiff_t i : support)
      p[static_cast<size_t>(i)] = 1.0 / static_cast<double>(support.size());
  }

  // Towards the mean of all patterns by the share `s`.
  void blend(std::vector<double>& p, double s) const {
    for (double& w : p) w = (1 - s) * w + s / static_cast<double>(n_);
  }

  void pair(ptrdiff_t index, std::vector<double>& p) const {
    ptrdiff_t i = 1;
    while (i * (i + 1) / 2 <= index) ++i;
    mix(p, {i, index - i * (i - 1) / 2});
  }

  void face(ptrdiff_t bits, std::vector<double>& p) const {
    std::vector<ptrdiff_t> support;
    for (ptrdiff_t i = 0; i < n_; ++i)
      if (bits >> i & 1) support.push_back(i);
    mix(p, support);
  }

  void random_face(ptrdiff_t index, std::vector<double>& p) const {
    std::seed_seq sequence{static_cast<std::uint32_t>(seed_),
                           static_cast<std::uint32_t>(seed_ >> 32),
                           static_cast<std::uint32_t>(index),
                           static_cast<std::uint32_t>(static_cast<std::uint64_t>(index) >> 32)};
    std::mt19937_64 random(sequence);
    const auto uniform = [&] { return static_cast<double>(random() >> 11) * 0x1p-53; };
    const ptrdiff_t largest = std::min(n_, rank_ + 1);
    const auto size =
        static_cast<size_t>(1 + static_cast<ptrdiff_t>(uniform() * static_cast<double>(largest)));
    std::vector<ptrdiff_t> order(static_cast<size_t>(n_));
    std::iota(order.begin(), order.end(), ptrdiff_t{0});
    for (size_t i = 0; i < size; ++i)
      std::swap(order[i],
                order[i + static_cast<size_t>(uniform() * static_cast<double>(order.size() - i))]);
    // A Dirichlet mixture: -log(uniform) is exponential; its power makes it more or less even.
    const double evenness = uniform() < 0.5 ? 1.0 : 0.25;
    double sum = 0;
    for (size_t i = 0; i < size; ++i) {
      const double w = std::pow(-std::log1p(-uniform()) + 1e-300, evenness);
      p[static_cast<size_t>(order[i])] = w;
      sum += w;
    }
    for (double& w : p) w /= sum;
    if (!is_face(index + systematic()) && uniform() < 0.5) blend(p, uniform() * uniform());
  }

  ptrdiff_t n_, rank_;
  std::uint64_t seed_;
  ptrdiff_t pairs_, faces_;
};

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

// One search: blocks of starts, solved in parallel, then merged in order.
class StartSearch {
 public:
  StartSearch(const Network<double>& network, const SearchOptions& options,
              const Execution& execution)
      : network_(network),
        options_(options),
        user_stop_(execution.stop_requested),
        execution_{execution.threads, [this] { return stop_now(); }},
        hull_(affine_hull(network.patterns().data(), network.size(), network.dim())),
        reduced_(reduce(network, hull_)),
        certifier_(network),
        sequence_(network.size(), hull_.rank, options.seed),
        known_(network.dim(), scale()),
        block_(block_size(reduced_)) {}

  FixedPointList run() {
    ptrdiff_t done = 0, last_found = 0;
    try {
      while (!enough(done, last_found)) {
        if (stop_now()) throw Interrupted();
        const ptrdiff_t before = found_;
        run_block(done, block_);
        done += block_;
        if (found_ != before) last_found = done;
        if (options_.progress) options_.progress(done, goal(done, last_found));
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
  // Starts between two looks at the clock: fewer where one costs more.
  static ptrdiff_t block_size(const Network<double>& reduced) {
    constexpr double kMultiplyAdds = 1e8;
    const double step = static_cast<double>(reduced.size()) * static_cast<double>(reduced.dim()) *
                        static_cast<double>(reduced.dim());
    return static_cast<ptrdiff_t>(std::clamp(kMultiplyAdds / step, 4.0, 64.0));
  }

  bool out_of_time() const {
    return std::chrono::duration<double>(Clock::now() - began_).count() > options_.time_limit;
  }

  // A block that is cut short by this is dropped whole.
  bool stop_now() const { return out_of_time() || (user_stop_ && user_stop_()); }

  // The network in hull coordinates; a single point keeps one coordinate, all zero.
  static Network<double> reduce(const Network<double>& network, const AffineHull& hull) {
    std::vector<double> patterns = hull.patterns;
    if (hull.rank == 0) patterns.assign(static_cast<size_t>(network.size()), 0.0);
    return Network<double>(patterns.data(), network.size(), std::max<ptrdiff_t>(hull.rank, 1),
                           network.beta(),
                           network.log_weights().empty() ? nullptr : network.log_weights().data());
  }

  double scale() const {
    double largest = 0;
    for (const double x : network_.patterns()) largest = std::max(largest, std::fabs(x));
    return std::max(largest, 1e-300);
  }

  // Starts to make in all if nothing new turns up: the systematic ones, at least as many after
  // the last find as before it, and eight times that while the audit fails.
  ptrdiff_t goal(ptrdiff_t done, ptrdiff_t last_found) const {
    const ptrdiff_t patience = std::max<ptrdiff_t>(256, last_found);
    const ptrdiff_t wanted =
        std::max(sequence_.systematic(),
                 last_found + (passes_degree_audit(known_.list.certificates, hull_.rank) ? 1 : 8) *
                                  patience);
    return std::max(done, wanted);
  }

  bool enough(ptrdiff_t done, ptrdiff_t last_found) const {
    return done > 0 && done >= goal(0, last_found);
  }

  void run_block(ptrdiff_t first, ptrdiff_t count) {
    const ptrdiff_t dim = network_.dim();
    const ptrdiff_t rank = reduced_.dim();
    std::vector<double> limits(static_cast<size_t>(count * rank));
    std::vector<std::uint8_t> solved(static_cast<size_t>(count));
    parallel_for(count, execution_, [&](ptrdiff_t i, int) {
      solved[static_cast<size_t>(i)] = solve(first + i, limits.data() + i * rank);
    });
    ptrdiff_t candidates = 0;
    std::vector<double> states = embed(limits, count);
    for (ptrdiff_t i = 0; i < count; ++i) {
      const double* state = states.data() + i * dim;
      if (!solved[static_cast<size_t>(i)] || known_.contains(state)) continue;
      std::copy_n(state, dim, states.data() + candidates++ * dim);
    }
    certify_and_add(states, candidates);
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

  std::vector<double> embed(const std::vector<double>& limits, ptrdiff_t count) const {
    std::vector<double> states = hull_.embed(limits.data(), count);
    if (options_.single_precision)
      for (double& value : states) value = static_cast<double>(static_cast<float>(value));
    return states;
  }

  const Network<double>& network_;
  const SearchOptions& options_;
  const std::function<bool()> user_stop_;
  const Execution execution_;
  const Clock::time_point began_ = Clock::now();
  AffineHull hull_;
  Network<double> reduced_;
  Certifier certifier_;
  StartSequence sequence_;
  KnownPoints known_;
  ptrdiff_t block_;
  ptrdiff_t found_ = 0;
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

}  // namespace hopfix
