#include "hopfix/retrieval.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "screening.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;
using Ids = std::vector<ptrdiff_t>;

template <class T>
double distance(const T* a, const T* b, ptrdiff_t dim) {
  double sum = 0;
  for (ptrdiff_t k = 0; k < dim; ++k) {
    const double difference = static_cast<double>(a[k]) - static_cast<double>(b[k]);
    sum += difference * difference;
  }
  return std::sqrt(sum);
}

template <class T>
double norm(const T* a, ptrdiff_t dim) {
  double sum = 0;
  for (ptrdiff_t k = 0; k < dim; ++k) sum += static_cast<double>(a[k]) * static_cast<double>(a[k]);
  return std::sqrt(sum);
}

// One retrieval of a batch.
//
// Plain iteration repeats the update of all patterns. The fast way takes one such step, screens
// all patterns (half a step), iterates on the short list as long as the state stays where the list
// is proved to be enough (see screening.hpp), and screens again when it has left. Queries whose
// list is long, which shows early, take two, four, ... plain steps before they are screened again.
// Which way a query goes depends on the query alone.
template <class T>
class BatchRetrieval {
 public:
  BatchRetrieval(const Network<T>& network, const T* states, ptrdiff_t count,
                 std::int64_t max_steps, double tol, const Execution& execution)
      : network_(network),
        start_(states),
        count_(count),
        dim_(network.dim()),
        max_steps_(max_steps),
        tol_(tol),
        execution_(execution) {
    const auto n = static_cast<size_t>(count);
    result_.states.assign(states, states + count * dim_);
    result_.steps.assign(n, 0);
    result_.converged.assign(n, 0);
    result_.residual.assign(n, T(0));
    least_max_.assign(n, T(0));
    patience_.assign(n, 1);
    verdict_.assign(n, Verdict::take_plain_steps);
  }

  Retrieval<T> run() {
    Ids open(static_cast<size_t>(count_));
    std::iota(open.begin(), open.end(), ptrdiff_t{0});
    if (network_.size() < kScreenFrom || max_steps_ <= kPlainUpTo)
      plain(std::move(open));
    else
      screened(std::move(open));
    return std::move(result_);
  }

 private:
  // Below this many patterns a full update costs less than making lists.
  static constexpr ptrdiff_t kScreenFrom = 512;
  static constexpr std::int64_t kPlainUpTo = 2;

  enum class Verdict : std::uint8_t { finished, screen, take_plain_steps, exhausted };

  T* state(ptrdiff_t query) { return result_.states.data() + query * dim_; }

  // Records the residual of the current state; true when the query is finished.
  bool judge(ptrdiff_t query, const T* moved) {
    const auto q = static_cast<size_t>(query);
    const double residual = distance(state(query), moved, dim_);
    result_.residual[q] = static_cast<T>(residual);
    result_.converged[q] = residual <= tol_ * std::max(1.0, norm(state(query), dim_));
    return result_.converged[q] || result_.steps[q] == max_steps_;
  }

  // To moved = f(state), where log sum exp was `log_sum`. That function is convex with gradient
  // beta f, and within log n of the largest logit: this bounds the largest logit at f from below.
  // The slack covers the rounding of all that.
  void advance(ptrdiff_t query, const T* moved, double log_sum) {
    const auto q = static_cast<size_t>(query);
    double rise = 0, size = std::fabs(log_sum);
    for (ptrdiff_t k = 0; k < dim_; ++k) {
      const double here = static_cast<double>(state(query)[k]),
                   there = static_cast<double>(moved[k]);
      rise += there * (there - here);
      size += network_.beta() * std::fabs(there) * (std::fabs(there) + std::fabs(here));
    }
    const double slack = 1 + 16 * static_cast<double>(std::numeric_limits<T>::epsilon()) * size;
    least_max_[q] = static_cast<T>(log_sum + network_.beta() * rise -
                                   std::log(static_cast<double>(network_.size())) - slack);
    std::copy_n(moved, dim_, state(query));
    ++result_.steps[q];
  }

  std::vector<T> gather_states(const Ids& queries) {
    std::vector<T> states;
    states.reserve(queries.size() * static_cast<size_t>(dim_));
    for (const ptrdiff_t q : queries) states.insert(states.end(), state(q), state(q) + dim_);
    return states;
  }

  void check_stop() const {
    if (execution_.stop_requested && execution_.stop_requested()) throw Interrupted();
  }

  // Full updates until the queries are finished.
  void plain(Ids open) {
    plain(std::move(open), [](ptrdiff_t) { return std::numeric_limits<std::int64_t>::max(); });
  }

  // Full updates, at most most_steps(query) of each; returns the queries not finished.
  template <class MostSteps>
  Ids plain(Ids open, const MostSteps& most_steps) {
    Ids unfinished;
    std::vector<T> moved;
    std::vector<double> log_sums;
    for (std::int64_t step = 0; !open.empty(); ++step) {
      const std::vector<T> states = gather_states(open);
      moved.resize(states.size());
      log_sums.resize(open.size());
      network_.update_with_log_sums(states.data(), static_cast<ptrdiff_t>(open.size()),
                                    moved.data(), log_sums.data(), execution_);
      check_stop();
      Ids still_open;
      for (size_t a = 0; a < open.size(); ++a) {
        const T* there = moved.data() + static_cast<ptrdiff_t>(a) * dim_;
        if (judge(open[a], there)) continue;
        advance(open[a], there, log_sums[a]);
        (step + 1 < most_steps(open[a]) ? still_open : unfinished).push_back(open[a]);
      }
      open = std::move(still_open);
    }
    return unfinished;
  }

  void screened(Ids open) {
    // What is left out weighs less than n exp(-tolerance) < u / 8.
    const double tolerance = std::log(static_cast<double>(network_.size())) + std::log(8.0) -
                             std::log(static_cast<double>(std::numeric_limits<T>::epsilon()) / 2);
    const double slack = tolerance / 2;
    // One part in a hundred covers the rounding of logits and of this bound.
    reach_ = 0.99 * slack / (2 * network_.beta() * std::max(network_.radius(), 1e-300));
    Screening<T> screening(network_, static_cast<T>(tolerance + slack), execution_);
    lists_.resize(static_cast<size_t>(std::max(1, execution_.threads)));
    Ids exhausted;
    open = sort_out(open, exhausted);
    while (!open.empty()) {
      const std::vector<T> states = gather_states(open);
      std::vector<T> least_max;
      for (const ptrdiff_t q : open) least_max.push_back(least_max_[static_cast<size_t>(q)]);
      screening.run(states.data(), least_max.data(), static_cast<ptrdiff_t>(open.size()),
                    [&](ptrdiff_t a, const ShortList<T>& list, int worker) {
                      const ptrdiff_t q = open[static_cast<size_t>(a)];
                      verdict_[static_cast<size_t>(q)] =
                          list.given_up()
                              ? Verdict::take_plain_steps
                              : iterate(q, list.entries(), lists_[static_cast<size_t>(worker)]);
                    });
      check_stop();
      open = sort_out(open, exhausted);
    }
    // What max_steps updates lead to is promised exactly: rounding of the lists does not do.
    for (const ptrdiff_t q : exhausted) {
      std::copy_n(start_ + q * dim_, dim_, state(q));
      result_.steps[static_cast<size_t>(q)] = 0;
    }
    plain(std::move(exhausted));
  }

  // Acts on the verdicts; returns the queries to screen next.
  Ids sort_out(const Ids& open, Ids& exhausted) {
    Ids again, dense;
    for (const ptrdiff_t q : open) switch (verdict_[static_cast<size_t>(q)]) {
        case Verdict::finished:
          break;
        case Verdict::screen:
          again.push_back(q);
          break;
        case Verdict::take_plain_steps:
          dense.push_back(q);
          break;
        case Verdict::exhausted:
          exhausted.push_back(q);
          break;
      }
    const Ids unfinished =
        plain(dense, [&](ptrdiff_t q) { return patience_[static_cast<size_t>(q)]; });
    for (const ptrdiff_t q : unfinished) patience_[static_cast<size_t>(q)] *= 2;
    again.insert(again.end(), unfinished.begin(), unfinished.end());
    std::sort(again.begin(), again.end());
    return again;
  }

  // The gathered patterns of one list, and memory to iterate on them; one per thread.
  struct List {
    AlignedArray<T> patterns, log_weights, queries, sums, scratch, moved, reference;
  };

  // Iterates one query on its list until it is finished or has left the reach of the list.
  Verdict iterate(ptrdiff_t query, const CandidateList<T>& entries, List& list) {
    const PatternBlock<T> block = gather(entries, list);
    list.moved.reserve(dim_);
    list.reference.reserve(dim_);
    std::copy_n(state(query), dim_, list.reference.data());
    while (distance(state(query), list.reference.data(), dim_) <= reach_) {
      const double log_sum = update_on_list(state(query), block, list);
      if (judge(query, list.moved.data()))
        return result_.converged[static_cast<size_t>(query)] ? Verdict::finished
                                                             : Verdict::exhausted;
      advance(query, list.moved.data(), log_sum);
    }
    return Verdict::screen;
  }

  PatternBlock<T> gather(const CandidateList<T>& entries, List& list) const {
    const auto count = static_cast<ptrdiff_t>(entries.size());
    const bool weighted = !network_.log_weights().empty();
    list.patterns.reserve(count * dim_);
    if (weighted) list.log_weights.reserve(count);
    for (ptrdiff_t e = 0; e < count; ++e) {
      const ptrdiff_t i = entries[static_cast<size_t>(e)].index;
      std::copy_n(network_.patterns().data() + i * dim_, dim_, list.patterns.data() + e * dim_);
      if (weighted) list.log_weights[e] = network_.log_weights()[static_cast<size_t>(i)];
    }
    return {list.patterns.data(), dim_, count, dim_, weighted ? list.log_weights.data() : nullptr};
  }

  // Returns log sum exp over the list.
  double update_on_list(const T* from, const PatternBlock<T>& block, List& list) const {
    const TileKernels<T>& kernels = tile_kernels(T())[0];
    const ptrdiff_t width = kernels.width;
    list.queries.reserve(dim_ + kernels::kTileSlack);
    list.sums.reserve(2 * width + dim_ + kernels::kTileSlack);
    list.scratch.reserve(2 * kernels::kGroupRows * width);
    const SoftmaxSums<T> sums = {list.sums.data(), list.sums.data() + width,
                                 list.sums.data() + 2 * width};
    std::fill_n(sums.max, width, -std::numeric_limits<T>::infinity());
    std::fill_n(sums.sum, width + dim_, T(0));
    kernels.pack(from, 1, dim_, static_cast<T>(network_.beta()), list.queries.data());
    kernels.accumulate(block, list.queries.data(), sums, list.scratch.data());
    kernels.unpack(sums.mean, sums.sum, 1, dim_, list.moved.data());
    return static_cast<double>(sums.max[0]) + std::log(static_cast<double>(sums.sum[0]));
  }

  const Network<T>& network_;
  const T* start_;
  ptrdiff_t count_, dim_;
  std::int64_t max_steps_;
  double tol_, reach_ = 0;
  Execution execution_;
  Retrieval<T> result_;
  std::vector<T> least_max_;            // lower bound of the largest logit at the state
  std::vector<std::int64_t> patience_;  // plain steps before the next screening
  std::vector<Verdict> verdict_;
  std::vector<List> lists_;
};

}  // namespace

template <class T>
Retrieval<T> retrieve(const Network<T>& network, const T* states, ptrdiff_t count,
                      std::int64_t max_steps, double tol, const Execution& execution) {
  return BatchRetrieval<T>(network, states, count, max_steps, tol, execution).run();
}

template Retrieval<float> retrieve(const Network<float>&, const float*, ptrdiff_t, std::int64_t,
                                   double, const Execution&);
template Retrieval<double> retrieve(const Network<double>&, const double*, ptrdiff_t, std::int64_t,
                                    double, const Execution&);

}  // namespace hopfix
