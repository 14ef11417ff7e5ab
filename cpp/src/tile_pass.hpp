// How the core walks over a batch: tiles of states times chunks of patterns.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "hopfix/isa.hpp"
#include "hopfix/network.hpp"
#include "kernels/table.hpp"

namespace hopfix {

using kernels::PatternBlock;
using kernels::SoftmaxSums;
using kernels::TileKernels;

inline const TileKernels<float>* tile_kernels(float) { return isa::table().tile32; }
inline const TileKernels<double>* tile_kernels(double) { return isa::table().tile64; }

inline std::ptrdiff_t divide_up(std::ptrdiff_t a, std::ptrdiff_t b) { return (a + b - 1) / b; }

// log sum exp of one lane.
template <class T>
double log_sum(const SoftmaxSums<T>& sums, std::ptrdiff_t lane) {
  return static_cast<double>(sums.max[lane]) + std::log(static_cast<double>(sums.sum[lane]));
}

// Neighbouring states that are computed together.
template <class T>
struct Tile {
  std::ptrdiff_t first, count;
  const TileKernels<T>* kernels;
};

// The shape for the next of `left` states: the widest while they fill it, then the narrowest that
// holds the rest. Up to eight states go to the shape for few, which reads at the speed of memory.
template <class T>
const TileKernels<T>* choose_shape(std::ptrdiff_t left) {
  const TileKernels<T>* shapes = tile_kernels(T());
  if (left == 1) return &shapes[0];
  if (left <= 4 || (left <= 8 && shapes[2].lanes > 8)) return &shapes[1];
  return left <= shapes[2].lanes ? &shapes[2] : &shapes[3];
}

template <class T>
std::vector<Tile<T>> cut_into_tiles(std::ptrdiff_t count) {
  std::vector<Tile<T>> tiles;
  for (std::ptrdiff_t first = 0; first < count;) {
    const TileKernels<T>* shape = choose_shape<T>(count - first);
    tiles.push_back({first, std::min(shape->lanes, count - first), shape});
    first += tiles.back().count;
  }
  return tiles;
}

// One thread below about 50 us of work: waking another costs as much as it saves.
template <class T>
Execution within_reason(const Network<T>& network, std::ptrdiff_t count,
                        const Execution& execution) {
  constexpr double kWorthSharing = 1.5e6;  // multiply-adds of a pattern component and a state
  constexpr double kExpCost = 8;           // an exponential in the same unit
  Execution reasonable = execution;
  const double work = static_cast<double>(network.size()) * static_cast<double>(count) *
                      (static_cast<double>(network.dim()) + kExpCost);
  // A lone state is bound by memory: it takes as long as eight in a full tile.
  if (work * (count < 8 ? 8 : 1) < kWorthSharing) reasonable.threads = 1;
  return reasonable;
}

// The patterns are cut into chunks that depend on their number only; each is summed by itself and
// the sums are merged in order, so that it does not matter which thread sums which.
struct Chunks {
  explicit Chunks(std::ptrdiff_t patterns) {
    constexpr std::ptrdiff_t kMost = 64, kFewestGroups = 4;
    rows = kernels::kGroupRows *
           std::max(kFewestGroups, divide_up(patterns, kMost * kernels::kGroupRows));
    count = divide_up(patterns, rows);
  }
  std::ptrdiff_t first(std::ptrdiff_t chunk) const { return chunk * rows; }

  std::ptrdiff_t rows, count;
};

template <class T>
PatternBlock<T> pattern_block(const Network<T>& network, const Chunks& chunks, std::ptrdiff_t chunk,
                              const T* extra = nullptr) {
  const std::ptrdiff_t first = chunks.first(chunk);
  const T* log_weights = network.log_weights().empty() ? nullptr : network.log_weights().data();
  return {network.patterns().data() + first * network.dim(),
          network.dim(),
          std::min(chunks.rows, network.size() - first),
          network.dim(),
          log_weights == nullptr ? nullptr : log_weights + first,
          extra == nullptr ? nullptr : extra + first};
}

// Softmax sums of every tile of a batch, handed to a function tile by tile; with the average of
// `extra`, one number for each pattern, unless that is nullptr.
template <class T>
class TilePass {
 public:
  // Scratch of one thread.
  struct Workspace {
    AlignedArray<T> queries, totals, partial, scratch, extra;
  };

  TilePass(const Network<T>& network, const T* states, std::ptrdiff_t count, bool with_mean,
           const Execution& execution, const T* extra = nullptr)
      : network_(network),
        states_(states),
        with_mean_(with_mean),
        extra_(extra),
        tiles_(cut_into_tiles<T>(count)),
        execution_(within_reason(network, count, execution)),
        workspaces_(static_cast<std::size_t>(std::max(1, execution_.threads))),
        chunks_(network.size()) {}

  std::ptrdiff_t chunks() const { return chunks_.count; }
  std::ptrdiff_t chunk_rows() const { return chunks_.rows; }
  PatternBlock<T> chunk(std::ptrdiff_t index) const {
    return pattern_block(network_, chunks_, index, extra_);
  }

  // finish(tile, queries, sums, workspace) for every tile, in parallel.
  template <class Finish>
  void run(const Finish& finish) {
    const auto tiles = static_cast<std::ptrdiff_t>(tiles_.size());
    if (execution_.threads > 1 && tiles < 2 * execution_.threads && chunks_.count > 1)
      return run_by_chunks(finish);
    parallel_for(tiles, execution_, [&](std::ptrdiff_t t, int worker) {
      const Tile<T>& tile = tiles_[static_cast<std::size_t>(t)];
      Workspace& w = workspace(worker);
      const T* queries = pack_tile(tile, w);
      w.totals.reserve(sums_size(tile));
      w.partial.reserve(sums_size(tile));
      const SoftmaxSums<T> totals = sums_at(tile, w.totals.data());
      sum_chunk(tile, 0, queries, totals, w);
      for (std::ptrdiff_t c = 1; c < chunks_.count; ++c) {
        const SoftmaxSums<T> partial = sums_at(tile, w.partial.data());
        sum_chunk(tile, c, queries, partial, w);
        tile.kernels->merge(totals, partial, network_.dim());
      }
      finish(tile, queries, totals, w);
    });
  }

 private:
  // Few tiles, many patterns: the chunks are shared out, then merged in the same order.
  template <class Finish>
  void run_by_chunks(const Finish& finish) {
    const auto tiles = static_cast<std::ptrdiff_t>(tiles_.size());
    const std::ptrdiff_t size = sums_size(tiles_.front());
    AlignedArray<T> all(tiles * chunks_.count * size);
    const auto sums_of = [&](std::ptrdiff_t t, std::ptrdiff_t c) {
      return sums_at(tiles_[static_cast<std::size_t>(t)],
                     all.data() + (t * chunks_.count + c) * size);
    };
    parallel_for(tiles * chunks_.count, execution_, [&](std::ptrdiff_t i, int worker) {
      // Neighbouring tasks take the same patterns, while they are in the cache.
      const std::ptrdiff_t t = i % tiles, c = i / tiles;
      const Tile<T>& tile = tiles_[static_cast<std::size_t>(t)];
      Workspace& w = workspace(worker);
      sum_chunk(tile, c, pack_tile(tile, w), sums_of(t, c), w);
    });
    parallel_for(tiles, execution_, [&](std::ptrdiff_t t, int worker) {
      const Tile<T>& tile = tiles_[static_cast<std::size_t>(t)];
      const SoftmaxSums<T> totals = sums_of(t, 0);
      for (std::ptrdiff_t c = 1; c < chunks_.count; ++c)
        tile.kernels->merge(totals, sums_of(t, c), network_.dim());
      finish(tile, pack_tile(tile, workspace(worker)), totals, workspace(worker));
    });
  }

  Workspace& workspace(int worker) { return workspaces_[static_cast<std::size_t>(worker)]; }

  const T* pack_tile(const Tile<T>& tile, Workspace& w) const {
    w.queries.reserve(network_.dim() * tile.kernels->lanes);
    tile.kernels->pack(states_ + tile.first * network_.dim(), tile.count, network_.dim(),
                       static_cast<T>(network_.beta()), w.queries.data());
    return w.queries.data();
  }

  // The first tile is the widest.
  std::ptrdiff_t sums_size(const Tile<T>& tile) const {
    const std::ptrdiff_t mean = with_mean_ ? network_.dim() * tile.kernels->lanes : 0;
    // Whole cache lines, so that every part of a larger array stays aligned.
    return divide_up(3 * tile.kernels->width + mean + kernels::kTileSlack, 16) * 16;
  }

  SoftmaxSums<T> sums_at(const Tile<T>& tile, T* data) const {
    const std::ptrdiff_t width = tile.kernels->width;
    return {data, data + width, with_mean_ ? data + 3 * width : nullptr,
            extra_ == nullptr ? nullptr : data + 2 * width};
  }

  void sum_chunk(const Tile<T>& tile, std::ptrdiff_t index, const T* queries,
                 const SoftmaxSums<T>& sums, Workspace& w) const {
    const TileKernels<T>& kernels = *tile.kernels;
    w.scratch.reserve(2 * kernels::kGroupRows * kernels.width);
    std::fill_n(sums.max, kernels.width, -std::numeric_limits<T>::infinity());
    std::fill_n(sums.sum, kernels.width, T(0));
    if (extra_ != nullptr) std::fill_n(sums.extra, kernels.width, T(0));
    if (with_mean_) std::fill_n(sums.mean, network_.dim() * kernels.lanes, T(0));
    kernels.accumulate(chunk(index), queries, sums, w.scratch.data());
  }

  const Network<T>& network_;
  const T* states_;
  bool with_mean_;
  const T* extra_;
  std::vector<Tile<T>> tiles_;
  Execution execution_;
  std::vector<Workspace> workspaces_;
  Chunks chunks_;
};

}  // namespace hopfix
