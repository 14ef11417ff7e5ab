#include "hopfix/retrieval.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "frozen_tail.hpp"
#include "query.hpp"
#include "short_list.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;
using Ids = std::vector<ptrdiff_t>;

// The retrieval of a part of the batch.
//
// Screening all patterns in 16 bits costs a fraction of a full update. A query with a short list
// iterates on it as long as its state stays where the list is proved to be enough (see
// screening.hpp), and is screened again when it has left. A query whose list is too long takes 1,
// 3, 9, ... full updates before it is screened again; 9, 27, ... where the first was far too long.
//
// Where the patterns that carry most of the weight are few, but those above rounding are not, the
// first updates are made on the few. What these lead to is only a guess until a full update proves
// that it contracts a ball in which the plain iteration lies, too. In that ball the iteration goes
// on with the sums of the many frozen (see frozen_tail.hpp), and full updates bring them up to
// date.
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
  // Weight that may be wrong in an update that judges a state.
  static constexpr double kSeen = static_cast<double>(std::numeric_limits<T>::epsilon()) / 4;
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
          query(id).step(rows + b * dim_, Moments::of(sums, b), rules_, state(id));
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
    // First guesses use the patterns of more than about the average weight.
    const double narrow = std::log(static_cast<double>(network_.size())) + 1;
    const ptrdiff_t longest = 3 + Screening::groups_of(network_.size()) / 16;
    const ptrdiff_t few = std::min<ptrdiff_t>(longest, 512);
    Screening screening(quantized, margin, narrow, longest, execution_);
    lists_.resize(static_cast<size_t>(std::max(1, execution_.threads)));
    enum class Way : std::uint8_t { list, guess, full };
    std::vector<Way> ways(queries_.size());
    guesses_.resize(queries_.size());
    while (!open.empty()) {
      const std::vector<T> states = gather_states(open);
      screening.run(states.data(), static_cast<ptrdiff_t>(open.size()),
                    [&](ptrdiff_t a, const Shortlist& found, int worker) {
                      const ptrdiff_t id = open[static_cast<size_t>(a)];
                      Way& way = ways[static_cast<size_t>(id)];
                      if (found.is_wide) {
                        way = Way::list;
                        iterate_on_list(id, found.groups, lists_[static_cast<size_t>(worker)]);
                      } else if (static_cast<ptrdiff_t>(found.groups.size()) <= few &&
                                 query(id).steps() == 0 &&
                                 guess(id, found, lists_[static_cast<size_t>(worker)])) {
                        way = Way::guess;
                      } else {
                        way = Way::full;
                        query(id).give_up_list(found.wide > 4 * longest);
                      }
                    });
      check_stop();
      Ids with_list, guessed, without;
      for (const ptrdiff_t id : open)
        if (is_open(id)) {
          const Way way = ways[static_cast<size_t>(id)];
          (way == Way::list ? with_list : way == Way::guess ? guessed : without).push_back(id);
        }
      const Ids left = iterate_with_tails(guessed);
      without.insert(without.end(), left.begin(), left.end());
      std::sort(without.begin(), without.end());
      open = update_fully(without, [&](ptrdiff_t id) { return query(id).patience(); });
      open.insert(open.end(), with_list.begin(), with_list.end());
      std::sort(open.begin(), open.end());
    }
  }

  // Memory of one thread.
  struct List {
    ShortList<T> patterns;
    FrozenTail<T> tail;
    std::vector<T> moved, reference, here;
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
      query(id).step(list.moved.data(), Moments::of(sums, 0), rules_, state(id));
    } while (is_open(id) && distance(state(id), list.reference.data(), dim_) <= reach);
  }

  // Moves the query to where updates by the listed patterns take it, if a full update is likely to
  // confirm that.
  bool guess(ptrdiff_t id, const Shortlist& found, List& list) {
    constexpr int kMostUpdates = 6;
    list.patterns.choose(network_, network_.extent().squares.data(), found.groups);
    list.moved.resize(static_cast<size_t>(dim_));
    T* moved = list.moved.data();
    list.patterns.update(state(id), moved);
    Guess guess = {found.groups,
                   2 * rules_.radius * found.beyond_narrow + rules_.rounding * rules_.largest_norm};
    if (distance(state(id), moved, dim_) <= 2 * rules_.limit(state(id)) + guess.error) return false;
    list.reference = list.here = list.moved;
    const T* here = list.here.data();
    double before = std::numeric_limits<double>::infinity();
    for (int updates = 1;; ++updates) {
      const SoftmaxSums<T> sums = list.patterns.update(here, moved);
      const double residual = distance(here, moved, dim_);
      if (updates == 1 &&
          !Query<T>::may_confirm(moved, Moments::of(sums, 0), guess.error, rules_, here))
        return false;
      if (residual <= std::max(rules_.limit(here) / 8, guess.error / 100) ||
          !(residual < before / 2) || updates == kMostUpdates) {
        guess.error += distance(here, list.reference.data(), dim_);
        query(id).guess(updates);
        break;
      }
      before = residual;
      list.here = list.moved;
    }
    std::copy_n(here, dim_, state(id));
    guesses_[static_cast<size_t>(id)] = std::move(guess);
    return true;
  }

  // Sums of all patterns at some states.
  struct Sums {
    std::vector<T> states, moved, max, sum, extra;

    typename FrozenTail<T>::Sums at(size_t a, ptrdiff_t dim) const {
      return {max[a], sum[a], extra[a], moved.data() + static_cast<ptrdiff_t>(a) * dim};
    }
  };

  Sums sum_all(const Ids& ids) {
    Sums all = {gather_states(ids), {}, {}, {}, {}};
    all.moved.resize(all.states.size());
    for (auto* numbers : {&all.max, &all.sum, &all.extra}) numbers->resize(ids.size());
    TilePass pass(network_, all.states.data(), static_cast<ptrdiff_t>(ids.size()),
                  SoftmaxAverage<T>{network_, true, network_.extent().squares.data()}, execution_);
    pass.run([&](const Tile<T>& tile, const SoftmaxSums<T>& sums, auto&) {
      tile.kernels->unpack(sums.mean, sums.sum, tile.count, dim_,
                           all.moved.data() + tile.first * dim_);
      std::copy_n(sums.max, tile.count, all.max.data() + tile.first);
      std::copy_n(sums.sum, tile.count, all.sum.data() + tile.first);
      std::copy_n(sums.extra, tile.count, all.extra.data() + tile.first);
    });
    check_stop();
    return all;
  }

  // Confirms guesses and goes on from them; returns the queries that are open still, those whose
  // guess was not confirmed at their start.
  Ids iterate_with_tails(const Ids& guessed) {
    constexpr int kMostUpdates = 3;
    Ids open = guessed;
    for (int update = 0; update < kMostUpdates && !open.empty(); ++update) {
      const Sums all = sum_all(open);
      parallel_for(static_cast<ptrdiff_t>(open.size()), execution_, [&](ptrdiff_t a, int worker) {
        const ptrdiff_t id = open[static_cast<size_t>(a)];
        const auto sums = all.at(static_cast<size_t>(a), dim_);
        const Moments moments = {static_cast<double>(sums.extra / sums.sum),
                                 1 / static_cast<double>(sums.sum)};
        Guess& guess = guesses_[static_cast<size_t>(id)];
        if (update == 0 &&
            !query(id).confirm(sums.moved, moments, guess.error, rules_, state(id))) {
          restart(id);
          query(id).give_up_list(true);
          return;
        }
        query(id).step(sums.moved, moments, rules_, state(id));
        if (is_open(id) && is_worth_freezing(id, sums.moved, moments))
          iterate_with_tail(id, all.states.data() + a * dim_, sums,
                            lists_[static_cast<size_t>(worker)]);
      });
      Ids going_on;
      for (const ptrdiff_t id : open)
        if (is_open(id) && query(id).steps() > 0) going_on.push_back(id);
      open = std::move(going_on);
    }
    Ids left;
    for (const ptrdiff_t id : guessed)
      if (is_open(id)) left.push_back(id);
    return left;
  }

  // Whether updates with a frozen tail may be good enough to judge states, or save full ones that
  // converge slowly.
  bool is_worth_freezing(ptrdiff_t id, const T* moved, const Moments& moments) const {
    constexpr double kSlow = 0.1;
    const double tail = 1 - moments.largest_weight;  // at most
    return tail * std::expm1(rules_.sharpness * queries_[static_cast<size_t>(id)].residual()) <=
               1000 * kSeen ||
           rules_.jacobian_trace(moved, moments.square) > kSlow;
  }

  // From a state whose update the query has judged, as far as the sums at that state do.
  void iterate_with_tail(ptrdiff_t id, const T* reference, const typename FrozenTail<T>::Sums& sums,
                         List& list) {
    constexpr int kMostUpdates = 8;
    list.patterns.choose(network_, network_.extent().squares.data(),
                         guesses_[static_cast<size_t>(id)].groups);
    list.tail.freeze(rules_, reference, sums, list.patterns);
    list.moved.resize(static_cast<size_t>(dim_));
    T* moved = list.moved.data();
    double before = std::numeric_limits<double>::infinity();
    for (int update = 0; update < kMostUpdates && is_open(id); ++update) {
      const Moments moments = list.tail.update(rules_, state(id), moved);
      if (list.tail.error(rules_, state(id)) <= kSeen) {
        query(id).step(moved, moments, rules_, state(id));
        continue;
      }
      // Not the update, but near it: good for the next state, not to judge this one.
      const double residual = distance(state(id), moved, dim_);
      if (residual <= rules_.limit(state(id)) / 8 || !(residual < before / 2) ||
          !query(id).is_within_reach(moved, dim_))
        return;
      before = residual;
      std::copy_n(moved, dim_, state(id));
      query(id).guess(1);
    }
  }

  void restart(ptrdiff_t id) {
    query(id) = Query<T>();
    std::copy_n(start_ + id * dim_, dim_, state(id));
  }

  // What max_steps updates lead to is promised exactly.
  void repeat_exhausted() {
    Ids again;
    for (ptrdiff_t id = 0; id < static_cast<ptrdiff_t>(queries_.size()); ++id)
      if (query(id).status() == Query<T>::Status::exhausted && !query(id).plain())
        again.push_back(id);
    for (const ptrdiff_t id : again) restart(id);
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

  // Of a query that was moved by few patterns: their groups, and how far its state may be from one
  // of plain iteration.
  struct Guess {
    GroupList groups;
    double error = 0;
  };
  std::vector<Guess> guesses_;
  std::vector<List> lists_;
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
                          extent.radius,
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
