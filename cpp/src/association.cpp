// The forward pass: queries in tiles, and in the iteration every lane a query of its own, which is
// replaced by the next one as soon as it stops.
#include "hopfix/association.hpp"

#include <atomic>
#include <cmath>
#include <vector>

#include "association_tiles.hpp"

namespace hopfix {

namespace {

constexpr std::ptrdiff_t kChunk = 128;  // queries of a head that one thread takes at a time

template <class T>
struct ForwardWorkspace {
  AlignedArray<T> patterns, values, rows, tile, next, bias, bias_rows, sums, scratch;
  AlignedArray<T> weights[2], lanes[2], states, mean, mapped;  // those of two updates, in turn
};

template <class T>
class AssociationPass {
 public:
  AssociationPass(const AssociationInput<T>& input, const HeadRows<T>& out, std::int64_t* steps,
                  const AssociationTrace<T>& trace)
      : in_(input), s_(input.sizes), out_(out), steps_(steps), trace_(trace) {}

  std::int64_t run(const Execution& execution) {
    const std::int64_t most = *std::max_element(in_.max_steps, in_.max_steps + in_.rules());
    const std::int64_t least = *std::min_element(in_.max_steps, in_.max_steps + in_.rules());
    const Execution reasonable =
        execution_for(s_, least < 0 ? 4 : static_cast<double>(most + 1), execution);
    std::vector<ForwardWorkspace<T>> workspaces(
        static_cast<std::size_t>(std::max(1, reasonable.threads)));
    const std::ptrdiff_t chunks = divide_up(s_.queries, kChunk);
    parallel_for(s_.batch * s_.heads * chunks, reasonable, [&](std::ptrdiff_t i, int worker) {
      const std::ptrdiff_t head = i / chunks, first = i % chunks * kChunk;
      run_chunk(head / s_.heads, head % s_.heads, first, std::min(kChunk, s_.queries - first),
                workspaces[static_cast<std::size_t>(worker)]);
    });
    return unconverged_;
  }

 private:
  using Workspace = ForwardWorkspace<T>;

  std::ptrdiff_t query_index(std::ptrdiff_t b, std::ptrdiff_t h, std::ptrdiff_t query) const {
    return (b * s_.heads + h) * s_.queries + query;
  }
  std::ptrdiff_t all_queries() const { return s_.batch * s_.heads * s_.queries; }

  void run_chunk(std::ptrdiff_t b, std::ptrdiff_t h, std::ptrdiff_t first, std::ptrdiff_t count,
                 Workspace& w) {
    AssociationBlock<T> block = association_block(in_, b, h, count, w.patterns, w.values);
    std::fill_n(steps_ + query_index(b, h, first), count, 0);
    const T* queries = in_.queries.at(b, h, first);
    std::ptrdiff_t stride = in_.queries.row;
    const std::int64_t* rules = in_.max_steps + h * in_.groups;
    if (std::any_of(rules, rules + in_.groups, [](std::int64_t most) { return most != 0; })) {
      w.states.reserve(count * s_.dim);
      Iteration(*this, b, h, first, count, block, w).run();
      queries = w.states.data();
      stride = s_.dim;
    }
    for (std::ptrdiff_t done = 0; done < count;) {
      const TileShape<T> shape(count - done);
      const std::ptrdiff_t here = std::min(shape.lanes(), count - done);
      read_out(b, h, first + done, here, queries + done * stride, stride, shape, block, w);
      done += here;
    }
  }

  // The association of `count` states with the values.
  void read_out(std::ptrdiff_t b, std::ptrdiff_t h, std::ptrdiff_t first, std::ptrdiff_t count,
                const T* states, std::ptrdiff_t stride, const TileShape<T>& shape,
                AssociationBlock<T> block, Workspace& w) {
    const TileKernels<T>& tile = *shape.tile;
    pack_rows(tile, states, stride, count, s_.dim, in_.beta[h], w.rows, w.tile);
    block.bias = pack_bias(in_, b, h, first, count, shape, w.bias_rows, w.bias);
    w.sums.reserve(2 * tile.width);
    w.next.reserve(s_.value_dim * tile.lanes + kernels::kTileSlack);
    w.scratch.reserve(kernels::kMostGroupRows * tile.width + kernels::kTileSlack);
    const SoftmaxSums<T> sums{w.sums.data(), w.sums.data() + tile.width, w.next.data()};
    shape.association->average(block, w.tile.data(), sums, w.scratch.data());
    record_log_sums(b, h, first, count, sums);
    for (std::ptrdiff_t l = 0; l < tile.width; ++l)
      if (sums.sum[l] == 0) sums.sum[l] = 1;  // no pattern at all: the average is 0
    w.rows.reserve(count * s_.value_dim + kernels::kTileSlack);
    tile.unpack(sums.mean, sums.sum, count, s_.value_dim, w.rows.data());
    copy_rows(w.rows.data(), s_.value_dim, count, s_.value_dim, T(1), out_.at(b, h, first),
              out_.row);
  }

  void record_log_sums(std::ptrdiff_t b, std::ptrdiff_t h, std::ptrdiff_t first,
                       std::ptrdiff_t count, const SoftmaxSums<T>& sums) const {
    if (trace_.log_sums == nullptr) return;
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      const std::ptrdiff_t query = query_index(b, h, first + i);
      const std::int64_t slot = in_.max_steps[in_.rule(h, first + i)] < 0 ? 1 : steps_[query];
      trace_.log_sums[slot * all_queries() + query] = log_sum(sums.max[i], sums.sum[i]);
    }
  }

  // Without any pattern 0, so that exp(-inf - 0) = 0.
  static T log_sum(T max, T sum) {
    return sum == 0 ? T(0)
                    : static_cast<T>(static_cast<double>(max) + std::log(static_cast<double>(sum)));
  }

  // The updates of the queries of a chunk.
  class Iteration {
   public:
    Iteration(AssociationPass& pass, std::ptrdiff_t b, std::ptrdiff_t h, std::ptrdiff_t first,
              std::ptrdiff_t count, const AssociationBlock<T>& block, Workspace& w)
        : pass_(pass),
          s_(pass.s_),
          b_(b),
          h_(h),
          first_(first),
          count_(count),
          block_(block),
          shape_(count),
          lanes_(shape_.lanes()),
          w_(w),
          query_of_(static_cast<std::size_t>(lanes_), kIdle),
          updates_(static_cast<std::size_t>(lanes_), 0) {
      w_.tile.reserve(s_.dim * lanes_ + kernels::kTileSlack);
      w_.next.reserve(s_.dim * lanes_ + kernels::kTileSlack);
      const std::ptrdiff_t width = shape_.tile->width;
      for (int i = 0; i < 2; ++i) {
        w_.weights[i].reserve(score_size(shape_, s_.patterns));
        w_.lanes[i].reserve((s_.patterns / kernels::kGroupRows + 3) * width);
        T* lanes = w_.lanes[i].data();
        kept_[i] = {w_.weights[i].data(), lanes + 2 * width, lanes, lanes + width};
      }
      w_.sums.reserve(2 * width);
      w_.mean.reserve(s_.dim + kernels::kTileSlack);
      w_.mapped.reserve(s_.dim + kernels::kTileSlack);
      std::fill_n(w_.tile.data(), s_.dim * lanes_, T(0));
      if (pass_.in_.bias.data != nullptr) {
        w_.bias.reserve(score_size(shape_, s_.patterns));
        std::fill_n(w_.bias.data(), score_size(shape_, s_.patterns), T(0));
        block_.bias = w_.bias.data();
      }
    }

    void run() {
      const AssociationKernels<T>& kernels = *shape_.association;
      T *squares = w_.sums.data(), *enough = squares + shape_.tile->width;
      for (std::ptrdiff_t lane = 0; lane < lanes_; ++lane) load_next(lane);
      while (running_ > 0) {
        const KeptWeights<T> now = kept_[0];
        kernels.update(block_, w_.tile.data(), now, w_.next.data());
        if (set_enough(enough)) kernels.change(now, kept_[1], s_.patterns, enough, squares);
        for (std::ptrdiff_t lane = 0; lane < lanes_; ++lane)
          if (query_of_[static_cast<std::size_t>(lane)] != kIdle)
            advance(lane, now.max[lane], now.sum[lane], static_cast<double>(squares[lane]));
        std::swap(kept_[0], kept_[1]);
      }
    }

   private:
    static constexpr std::ptrdiff_t kIdle = -1;

    // The squared changes beyond which the queries of the lanes go on; whether any is asked for.
    bool set_enough(T* enough) const {
      constexpr double kRounding = 1.001;
      bool any = false;
      for (std::ptrdiff_t i = 0; i < shape_.tile->width; ++i) {
        const auto l = static_cast<std::size_t>(i % lanes_);
        const bool asked = query_of_[l] != kIdle && updates_[l] > 0;
        any = any || asked;
        enough[i] = T(-1);
        if (!asked) continue;
        const double tolerance = pass_.in_.tolerance[pass_.in_.rule(h_, first_ + query_of_[l])];
        enough[i] = static_cast<T>(kRounding * tolerance * tolerance);
      }
      return any;
    }

    // Either the query of this lane has stopped, or it takes the update.
    void advance(std::ptrdiff_t lane, T max, T sum, double square) {
      const auto l = static_cast<std::size_t>(lane);
      const std::ptrdiff_t rule = pass_.in_.rule(h_, first_ + query_of_[l]);
      const std::int64_t taken = updates_[l], most = pass_.in_.max_steps[rule];
      // So that NaN stops, too.
      const bool stopped = taken > 0 && !(std::sqrt(square) > pass_.in_.tolerance[rule]);
      if (stopped || (most < 0 && taken == kMostSteps)) {
        if (most < 0 && !stopped) ++pass_.unconverged_;
        finish(lane, taken);
        load_next(lane);
        return;
      }
      const std::ptrdiff_t query = pass_.query_index(b_, h_, first_ + query_of_[l]);
      if (most > 0 && pass_.trace_.log_sums != nullptr)
        pass_.trace_.log_sums[taken * pass_.all_queries() + query] = log_sum(max, sum);
      T* state = w_.states.data() + query_of_[l] * s_.dim;
      const T beta = pass_.in_.beta[h_];
      T* mean = w_.mean.data();
      for (std::ptrdiff_t k = 0; k < s_.dim; ++k)
        mean[k] = sum == 0 ? T(0) : w_.next[k * lanes_ + lane] / sum;
      const T* updated = mean;
      if (pass_.in_.maps != nullptr) {
        map_average(pass_.in_, rule, mean, sum != 0, w_.mapped.data());
        updated = w_.mapped.data();
      }
      for (std::ptrdiff_t k = 0; k < s_.dim; ++k) {
        state[k] = updated[k];
        w_.tile[k * lanes_ + lane] = beta * updated[k];
      }
      ++updates_[l];
      // Of an iteration to convergence the last one stays.
      if (pass_.trace_.states != nullptr)
        std::copy_n(
            mean, s_.dim,
            pass_.trace_.states + ((most > 0 ? taken : 0) * pass_.all_queries() + query) * s_.dim);
      if (updates_[l] != most) return;
      finish(lane, most);
      load_next(lane);
    }

    void finish(std::ptrdiff_t lane, std::int64_t taken) {
      const auto l = static_cast<std::size_t>(lane);
      const std::ptrdiff_t query = pass_.query_index(b_, h_, first_ + query_of_[l]);
      pass_.steps_[query] = taken;
      query_of_[l] = kIdle;
      --running_;
    }

    // The next query of the chunk, if there is one left, moves into the lane.
    void load_next(std::ptrdiff_t lane) {
      for (; next_ < count_ && pass_.in_.max_steps[pass_.in_.rule(h_, first_ + next_)] == 0;
           ++next_)
        std::copy_n(pass_.in_.queries.at(b_, h_, first_ + next_), s_.dim,
                    w_.states.data() + next_ * s_.dim);
      if (next_ == count_) return;
      const auto l = static_cast<std::size_t>(lane);
      query_of_[l] = next_;
      updates_[l] = 0;
      ++running_;
      const T* query = pass_.in_.queries.at(b_, h_, first_ + next_);
      std::copy_n(query, s_.dim, w_.states.data() + next_ * s_.dim);
      for (std::ptrdiff_t k = 0; k < s_.dim; ++k)
        w_.tile[k * lanes_ + lane] = pass_.in_.beta[h_] * query[k];
      if (block_.bias != nullptr) {
        const T* bias = pass_.in_.bias.at(b_, h_, first_ + next_);
        for (std::ptrdiff_t i = 0; i < s_.patterns; ++i) w_.bias[i * lanes_ + lane] = bias[i];
      }
      ++next_;
    }

    AssociationPass& pass_;
    const AssociationSizes& s_;
    const std::ptrdiff_t b_, h_, first_, count_;
    AssociationBlock<T> block_;
    const TileShape<T> shape_;
    const std::ptrdiff_t lanes_;
    Workspace& w_;
    KeptWeights<T> kept_[2];                // of this update and of the one before
    std::vector<std::ptrdiff_t> query_of_;  // of every lane, within the chunk
    std::vector<std::int64_t> updates_;     // that it has taken
    std::ptrdiff_t next_ = 0, running_ = 0;
  };

  const AssociationInput<T>& in_;
  const AssociationSizes& s_;
  const HeadRows<T>& out_;
  std::int64_t* const steps_;
  const AssociationTrace<T>& trace_;
  std::atomic<std::int64_t> unconverged_{0};
};

}  // namespace

template <class T>
std::int64_t associate(const AssociationInput<T>& input, const HeadRows<T>& out,
                       std::int64_t* steps, const AssociationTrace<T>& trace,
                       const Execution& execution) {
  return AssociationPass<T>(input, out, steps, trace).run(execution);
}

template std::int64_t associate(const AssociationInput<float>&, const HeadRows<float>&,
                                std::int64_t*, const AssociationTrace<float>&, const Execution&);
template std::int64_t associate(const AssociationInput<double>&, const HeadRows<double>&,
                                std::int64_t*, const AssociationTrace<double>&, const Execution&);

}  // namespace hopfix
