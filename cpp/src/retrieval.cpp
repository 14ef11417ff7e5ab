#include "hopfix/retrieval.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "anderson.hpp"
#include "attractors.hpp"
#include "short_list.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;
using Ids = std::vector<ptrdiff_t>;

// Of the patterns under a query's weights.
struct Moments {
  double square;  // average of the squared distances from their mean
  double largest_weight;

  template <class T>
  Moments(const SoftmaxSums<T>& sums, ptrdiff_t lane)
      : square(static_cast<double>(sums.extra[lane] / sums.sum[lane])),
        largest_weight(1 / static_cast<double>(sums.sum[lane])) {}
};

// Stopping and acceleration are one query's own business, so that no result depends on a batch.
template <class T>
struct Rules {
  const Network<T>& network;
  std::int64_t max_steps;
  double tol;
  bool accelerate;
  double beta;
  double sharpness;    // 2 beta radius
  const double* mean;  // of the patterns
  double largest_norm;
  double rounding;  // of averages, relative to the largest pattern

  // A bound of |J| that is good where all patterns share the weight (see anderson.hpp).
  double shared_bound(double largest_weight) const {
    constexpr double kMargin = 1.01;  // for the estimate of |C|, the weight and rounding
    const double uneven = static_cast<double>(network.size()) * largest_weight;
    if (!network.log_weights().empty() || uneven > 4)
      return std::numeric_limits<double>::infinity();
    return kMargin * uneven * network.spread();
  }
};

// One query under way.
template <class T>
class Query {
 public:
  enum class Status : std::uint8_t { open, converged, exhausted };
  // Whether it pays to look for attractors: one costs as much as a query, seven as a few.
  enum class Pace : std::uint8_t { fast, slow, very_slow };

  // Judges the state, whose update is `moved`, and goes on from it unless it is the last.
  void step(const T* moved, const Moments& moments, const Rules<T>& rules, ptrdiff_t dim,
            T* state) {
    const double before = residual_, limit = rules.tol * std::max(1.0, norm(state, dim));
    residual_ = distance(state, moved, dim);
    if (residual_ <= limit) {
      status_ = Status::converged;
    } else if (steps_ == rules.max_steps) {
      status_ = Status::exhausted;
    } else {
      const double missing = steps_ == 0 ? 0 : predicted_updates(before, residual_, limit);
      if (missing > 4) pace_ = std::max(pace_, Pace::slow);
      if (missing > 12 && steps_ >= 5) pace_ = Pace::very_slow;
      ++steps_;
      if (rules.accelerate)
        anderson_.advance(
            moved, residual_, rules.sharpness, jacobian_trace(moved, moments.square, rules, dim),
            [&] { return rules.shared_bound(moments.largest_weight); }, dim, state);
      else
        std::copy_n(moved, dim, state);
    }
    if (status_ != Status::open) anderson_.forget();
  }

  // Its next state is where plain iteration ends, in the place of the last update.
  void arrive(const Attractor<T>& attractor, const Rules<T>& rules, T* state) {
    const auto dim = static_cast<ptrdiff_t>(attractor.state.size());
    if (attractor.residual > rules.tol * std::max(1.0, norm(attractor.state.data(), dim))) return;
    std::copy_n(attractor.state.data(), dim, state);
    residual_ = attractor.residual;
    status_ = Status::converged;
    anderson_.forget();
  }

  void use_list() { listed_ = true; }
  // Waits longer after every failure, and from the start where lists are far from short.
  void give_up_list(bool far_from_short) {
    patience_ = patience_ == 0 ? (far_from_short ? 9 : 1) : 3 * patience_;
  }

  Status status() const { return status_; }
  Pace pace() const { return pace_; }
  std::int64_t steps() const { return steps_; }
  double residual() const { return residual_; }
  // Full updates to take after a list was given up.
  std::int64_t patience() const { return patience_; }
  // Whether its state is that of plain iteration to the bit.
  bool plain() const { return !listed_ && !anderson_.active(); }

 private:
  // How many updates are left at the rate of the last one.
  static double predicted_updates(double before, double residual, double limit) {
    if (!(residual < before)) return std::numeric_limits<double>::infinity();
    return std::log(limit / residual) / std::log(residual / before);
  }

  // A bound of the trace of beta Cov_p(x) from averages that are rounded (see network.hpp).
  static double jacobian_trace(const T* moved, double square, const Rules<T>& rules,
                               ptrdiff_t dim) {
    const double off =
        norm_of(dim, [&](ptrdiff_t k) { return static_cast<double>(moved[k]) - rules.mean[k]; });
    const double least = std::max(0.0, off - rules.rounding * rules.largest_norm);
    return rules.beta * std::max(0.0, (1 + rules.rounding) * square - least * least);
  }

  Anderson<T> anderson_;
  std::int64_t steps_ = 0, patience_ = 0;
  double residual_ = 0;
  Status status_ = Status::open;
  Pace pace_ = Pace::fast;
  bool listed_ = false;
};

// The retrieval of a part of the batch.
//
// Screening all patterns in 16 bits costs a fraction of a full update. A query with a short list
// iterates on it as long as its state stays where the list is proved to be enough (see
// screening.hpp), and is screened again when it has left. A query whose list is too long takes 1,
// 3, 9, ... full updates before it is screened again; 9, 27, ... where the first was far too long.
template <class T>
class PartRetrieval {
 public:
  PartRetrieval(const Network<T>& network, const T* start, ptrdiff_t count, const Rules<T>& rules,
                const Execution& execution, T* states)
      : network_(network),
        start_(start),
        states_(states),
        dim_(network.dim()),
        rules_(rules),
        execution_(execution),
        queries_(static_cast<size_t>(count)) {
    std::copy_n(start, count * dim_, states);
  }

  const std::vector<Query<T>>& run() {
    Ids open(queries_.size());
    std::iota(open.begin(), open.end(), ptrdiff_t{0});
    if (rules_.accelerate && network_.size() >= kScreenFrom)
      iterate_with_lists(std::move(open));
    else
      iterate_fully(std::move(open));
    repeat_exhausted();
    return queries_;
  }

 private:
  // Below this many patterns a full update costs less than making lists.
  static constexpr ptrdiff_t kScreenFrom = 512;
  // What the state may move on one list, as the change of the difference of two logits.
  static constexpr double kSlack = 2;
  static constexpr auto kAlways = std::numeric_limits<std::int64_t>::max();

  T* state(ptrdiff_t query) { return states_ + query * dim_; }
  Query<T>& query(ptrdiff_t id) { return queries_[static_cast<size_t>(id)]; }
  bool is_open(ptrdiff_t id) { return query(id).status() == Query<T>::Status::open; }

  std::vector<T> gather_states(const Ids& ids) {
    std::vector<T> states;
    states.reserve(ids.size() * static_cast<size_t>(dim_));
    for (const ptrdiff_t id : ids) states.insert(states.end(), state(id), state(id) + dim_);
    return states;
  }

  void check_stop() const {
    if (execution_.stop_requested && execution_.stop_requested()) throw Interrupted();
  }

  void iterate_fully(Ids open) {
    update_fully(std::move(open), [](ptrdiff_t) { return kAlways; });
  }

  // Full updates, at most most(id) of each; returns the queries that are open still.
  template <class Most>
  Ids update_fully(Ids open, const Most& most) {
    Ids rested;
    std::vector<T> moved;
    for (std::int64_t step = 1; !open.empty(); ++step) {
      const std::vector<T> states = gather_states(open);
      moved.resize(states.size());
      TilePass pass(network_, states.data(), static_cast<ptrdiff_t>(open.size()),
                    SoftmaxAverage<T>{network_, true, network_.extent().squares.data()},
                    execution_);
      pass.run([&](const Tile<T>& tile, const SoftmaxSums<T>& sums, auto&) {
        T* rows = moved.data() + tile.first * dim_;
        tile.kernels->unpack(sums.mean, sums.sum, tile.count, dim_, rows);
        for (ptrdiff_t b = 0; b < tile.count; ++b) {
          const ptrdiff_t id = open[static_cast<size_t>(tile.first + b)];
          query(id).step(rows + b * dim_, Moments(sums, b), rules_, dim_, state(id));
        }
      });
      check_stop();
      if (rules_.accelerate && network_.size() >= kScreenFrom) settle(open);
      Ids going_on;
      for (const ptrdiff_t id : open)
        if (is_open(id)) (step < most(id) ? going_on : rested).push_back(id);
      open = std::move(going_on);
    }
    return rested;
  }

  // Finishes the queries that are known to end in an attractor of the network.
  void settle(const Ids& ids) {
    using Pace = typename Query<T>::Pace;
    Pace slowest = Pace::fast;
    for (const ptrdiff_t id : ids)
      if (is_open(id)) slowest = std::max(slowest, query(id).pace());
    if (slowest == Pace::fast) return;
    const Attractors<T>& central = network_.central_attractor(execution_);
    const Attractors<T>* common =
        slowest == Pace::very_slow ? &network_.common_attractors(execution_) : nullptr;
    constexpr ptrdiff_t kShare = 64;
    const auto count = static_cast<ptrdiff_t>(ids.size());
    parallel_for(divide_up(count, kShare), execution_, [&](ptrdiff_t share, int) {
      for (ptrdiff_t a = share * kShare; a < std::min(count, (share + 1) * kShare); ++a) {
        const ptrdiff_t id = ids[static_cast<size_t>(a)];
        if (!is_open(id) || query(id).pace() == Pace::fast) continue;
        const Attractor<T>* attractor = central.of(state(id));
        if (attractor == nullptr && query(id).pace() == Pace::very_slow)
          attractor = common->of(state(id));
        if (attractor != nullptr) query(id).arrive(*attractor, rules_, state(id));
      }
    });
  }

  void iterate_with_lists(Ids open) {
    const QuantizedPatterns& quantized = network_.quantized();
    // What is left out weighs less than n exp(-tolerance) < u / 8.
    const double tolerance = std::log(static_cast<double>(network_.size())) + std::log(8.0) -
                             std::log(static_cast<double>(std::numeric_limits<T>::epsilon()) / 2);
    const double margin = tolerance + kSlack;
    // Where even the widest spread of logits in the hull is within the margin, no list is short.
    if (rules_.sharpness * quantized.largest_norm() + quantized.log_weight_spread() < margin)
      return iterate_fully(std::move(open));
    Screening screening(quantized, margin, execution_);
    std::vector<List> lists(static_cast<size_t>(std::max(1, execution_.threads)));
    std::vector<std::uint8_t> give_up(queries_.size());
    const auto longest = static_cast<size_t>(3 + screening.groups() / 16);
    while (!open.empty()) {
      const std::vector<T> states = gather_states(open);
      screening.run(states.data(), static_cast<ptrdiff_t>(open.size()),
                    [&](ptrdiff_t a, const GroupList& groups, int worker) {
                      const ptrdiff_t id = open[static_cast<size_t>(a)];
                      const bool too_long = groups.size() > longest;
                      give_up[static_cast<size_t>(id)] = too_long;
                      if (too_long)
                        query(id).give_up_list(groups.size() > 4 * longest);
                      else
                        iterate_on_list(id, groups, lists[static_cast<size_t>(worker)]);
                    });
      check_stop();
      Ids with_list, without;
      for (const ptrdiff_t id : open)
        if (is_open(id)) (give_up[static_cast<size_t>(id)] ? without : with_list).push_back(id);
      open = update_fully(without, [&](ptrdiff_t id) { return query(id).patience(); });
      open.insert(open.end(), with_list.begin(), with_list.end());
      std::sort(open.begin(), open.end());
    }
  }

  // Memory of one thread.
  struct List {
    ShortList<T> patterns;
    std::vector<T> moved, reference;
  };

  // Until the query is finished or its state has left the reach of the list.
  void iterate_on_list(ptrdiff_t id, const GroupList& groups, List& list) {
    // One part in a hundred covers the rounding of logits and of this bound.
    const double reach = 0.99 * kSlack / std::max(rules_.sharpness, 1e-300);
    list.patterns.choose(network_, network_.extent().squares.data(), groups);
    list.moved.resize(static_cast<size_t>(dim_));
    list.reference.assign(state(id), state(id) + dim_);
    query(id).use_list();
    do {
      const SoftmaxSums<T> sums = list.patterns.update(state(id), list.moved.data());
      query(id).step(list.moved.data(), Moments(sums, 0), rules_, dim_, state(id));
    } while (is_open(id) && distance(state(id), list.reference.data(), dim_) <= reach);
  }

  // What max_steps updates lead to is promised exactly.
  void repeat_exhausted() {
    Ids again;
    for (ptrdiff_t id = 0; id < static_cast<ptrdiff_t>(queries_.size()); ++id)
      if (query(id).status() == Query<T>::Status::exhausted && !query(id).plain())
        again.push_back(id);
    for (const ptrdiff_t id : again) {
      query(id) = Query<T>();
      std::copy_n(start_ + id * dim_, dim_, state(id));
    }
    rules_.accelerate = false;
    iterate_fully(std::move(again));
  }

  const Network<T>& network_;
  const T* start_;
  T* states_;
  ptrdiff_t dim_;
  Rules<T> rules_;
  Execution execution_;
  std::vector<Query<T>> queries_;
};

}  // namespace

template <class T>
Retrieval<T> retrieve(const Network<T>& network, const T* states, ptrdiff_t count,
                      std::int64_t max_steps, double tol, const Execution& execution) {
  constexpr ptrdiff_t kPart = 2048;  // bounds the memory that queries need beyond their states
  // A tolerance below rounding is met by accident, if at all: nothing to accelerate.
  const bool accelerate =
      max_steps > 2 && tol >= static_cast<double>(std::numeric_limits<T>::epsilon());
  const auto& extent = network.extent();
  const Rules<T> rules = {network,
                          max_steps,
                          tol,
                          accelerate,
                          network.beta(),
                          2 * network.beta() * extent.radius,
                          extent.mean.data(),
                          norm(extent.mean.data(), network.dim()) + extent.radius,
                          static_cast<double>(std::numeric_limits<T>::epsilon()) *
                              (128 + static_cast<double>(network.size()) / 48)};
  const auto n = static_cast<size_t>(count);
  const ptrdiff_t dim = network.dim();
  Retrieval<T> result = {std::vector<T>(n * static_cast<size_t>(dim)), std::vector<std::int64_t>(n),
                         std::vector<std::uint8_t>(n), std::vector<T>(n)};
  for (ptrdiff_t first = 0; first < count; first += kPart) {
    const ptrdiff_t size = std::min(kPart, count - first);
    PartRetrieval<T> part(network, states + first * dim, size, rules, execution,
                          result.states.data() + first * dim);
    size_t at = static_cast<size_t>(first);
    for (const Query<T>& query : part.run()) {
      result.steps[at] = query.steps();
      result.converged[at] = query.status() == Query<T>::Status::converged;
      result.residual[at] = static_cast<T>(query.residual());
      ++at;
    }
  }
  return result;
}

template Retrieval<float> retrieve(const Network<float>&, const float*, ptrdiff_t, std::int64_t,
                                   double, const Execution&);
template Retrieval<double> retrieve(const Network<double>&, const double*, ptrdiff_t, std::int64_t,
                                    double, const Execution&);

}  // namespace hopfix
