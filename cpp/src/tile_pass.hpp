// How the core walks over a batch: tiles of states times chunks of patterns.
#pragma once

#include <algorithm>
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
  explicit Chunks(std::ptrdiff_t patterns)
      : Chunks(patterns,
               kernels::kGroupRows *
                   std::max<std::ptrdiff_t>(4, divide_up(patterns, 64 * kernels::kGroupRows))) {}
  Chunks(std::ptrdiff_t patterns, std::ptrdiff_t chunk_rows)
      : rows(chunk_rows), count(divide_up(patterns, chunk_rows)) {}
  std::ptrdiff_t first(std::ptrdiff_t chunk) const { return chunk * rows; }

  std::ptrdiff_t rows, count;
};

template <class T>
PatternBlock<T> pattern_block(const Network<T>& network, const Chunks& chunks, std::ptrdiff_t chunk,
                              const T* extra = nullptr) {
  const std::ptrdiff_t first = chunks.first(chunk);
  const T* log_weights = network.log_weights().empty() ? nullptr : network.log_weights().data();
  const std::ptrdiff_t left = network.size() - first, count = std::min(chunks.rows, left);
  const auto rows = network.rows();
  return {rows.data + first * rows.stride,
          rows.stride,
          count,
          network.dim(),
          log_weights == nullptr ? nullptr : log_weights + first,
          extra == nullptr ? nullptr : extra + first,
          left - count};
}

// The states of a tile as kernels read them, and what else belongs to a tile while it is summed.
template <class T>
struct PackedTile {
  AlignedArray<T> queries, other;
};

// Memory of one thread.
template <class T>
struct TileWorkspace {
  PackedTile<T> packed;
  AlignedArray<T> totals, partial, scratch;
};

// The sums of a pass, see SoftmaxSums: `Sums` and how they are laid out, formed and merged.
template <class T>
struct SoftmaxAverage {
  using Sums = SoftmaxSums<T>;

  const Network<T>& network;
  bool with_mean;
  const T* extra = nullptr;  // one number for each pattern, of which the average is wanted, too

  Chunks chunks() const { return Chunks(network.size()); }
  std::ptrdiff_t size(const TileKernels<T>& kernels) const {
    return 3 * kernels.width + (with_mean ? network.dim() * kernels.lanes : 0);
  }
  Sums at(const TileKernels<T>& kernels, T* data) const {
    return {data, data + kernels.width, with_mean ? data + 3 * kernels.width : nullptr,
            extra == nullptr ? nullptr : data + 2 * kernels.width};
  }
  void pack(const Tile<T>&, PackedTile<T>&) const {}
  std::ptrdiff_t scratch(const TileKernels<T>& kernels) const {
    return kernels::kMostGroupRows * kernels.width;
  }
  void sum(const TileKernels<T>& kernels, const PatternBlock<T>& block, const PackedTile<T>& packed,
           const Sums& sums, T* scratch) const {
    std::fill_n(sums.max, kernels.width, -std::numeric_limits<T>::infinity());
    std::fill_n(sums.sum, kernels.width, T(0));
    if (extra != nullptr) std::fill_n(sums.extra, kernels.width, T(0));
    if (with_mean) std::fill_n(sums.mean, network.dim() * kernels.lanes, T(0));
    kernels.accumulate(block, packed.queries.data(), sums, scratch);
  }
  void merge(const TileKernels<T>& kernels, const Sums& into, const Sums& other) const {
    kernels.merge(into, other, network.dim());
  }
};

// Sums of every tile of a batch, handed to a function tile by tile.
template <class T, class Method = SoftmaxAverage<T>>
class TilePass {
 public:
  using Sums = typename Method::Sums;
  using Workspace = TileWorkspace<T>;

  TilePass(const Network<T>& network, const T* states, std::ptrdiff_t count, const Method& method,
           const Execution& execution)
      : network_(network),
        states_(states),
        method_(method),
        tiles_(cut_into_tiles<T>(count)),
        execution_(within_reason(network, count, execution)),
        workspaces_(static_cast<std::size_t>(std::max(1, execution_.threads))),
        chunks_(method.chunks()) {}

  std::ptrdiff_t chunks() const { return chunks_.count; }
  std::ptrdiff_t chunk_rows() const { return chunks_.rows; }
  PatternBlock<T> chunk(std::ptrdiff_t index) const {
    return pattern_block(network_, chunks_, index, method_.extra);
  }

  // finish(tile, sums, packed tile) for every tile, in parallel.
  template <class Finish>
  void run(const Finish& finish) {
    const auto tiles = static_cast<std::ptrdiff_t>(tiles_.size());
    if (execution_.threads > 1 && tiles < 2 * execution_.threads && chunks_.count > 1)
      return run_by_chunks(finish);
    parallel_for(tiles, execution_, [&](std::ptrdiff_t t, int worker) {
      const Tile<T>& tile = tiles_[static_cast<std::size_t>(t)];
      Workspace& w = workspace(worker);
      pack_tile(tile, w);
      w.totals.reserve(sums_size(tile));
      w.partial.reserve(sums_size(tile));
      const Sums totals = method_.at(*tile.kernels, w.totals.data());
      sum_chunk(tile, 0, totals, w);
      for (std::ptrdiff_t c = 1; c < chunks_.count; ++c) {
        const Sums partial = method_.at(*tile.kernels, w.partial.data());
        sum_chunk(tile, c, partial, w);
        method_.merge(*tile.kernels, totals, partial);
      }
      finish(tile, totals, w.packed);
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
      return method_.at(*tiles_[static_cast<std::size_t>(t)].kernels,
                        all.data() + (t * chunks_.count + c) * size);
    };
    parallel_for(tiles * chunks_.count, execution_, [&](std::ptrdiff_t i, int worker) {
      // Neighbouring tasks take the same patterns, while they are in the cache.
      const std::ptrdiff_t t = i % tiles, c = i / tiles;
      const Tile<T>& tile = tiles_[static_cast<std::size_t>(t)];
      Workspace& w = workspace(worker);
      pack_tile(tile, w);
      sum_chunk(tile, c, sums_of(t, c), w);
    });
    parallel_for(tiles, execution_, [&](std::ptrdiff_t t, int worker) {
      const Tile<T>& tile = tiles_[static_cast<std::size_t>(t)];
      const Sums totals = sums_of(t, 0);
      for (std::ptrdiff_t c = 1; c < chunks_.count; ++c)
        method_.merge(*tile.kernels, totals, sums_of(t, c));
      pack_tile(tile, workspace(worker));
      finish(tile, totals, workspace(worker).packed);
    });
  }

  Workspace& workspace(int worker) { return workspaces_[static_cast<std::size_t>(worker)]; }

  void sum_chunk(const Tile<T>& tile, std::ptrdiff_t index, const Sums& sums, Workspace& w) const {
    method_.sum(*tile.kernels, chunk(index), w.packed, sums, w.scratch.data());
  }

  // The tile becomes the packed one of the workspace; there is scratch memory for it.
  void pack_tile(const Tile<T>& tile, Workspace& w) const {
    w.packed.queries.reserve(network_.dim() * tile.kernels->lanes);
    tile.kernels->pack(states_ + tile.first * network_.dim(), tile.count, network_.dim(),
                       static_cast<T>(network_.beta()), w.packed.queries.data());
    method_.pack(tile, w.packed);
    w.scratch.reserve(method_.scratch(*tile.kernels));
  }

  // In whole cache lines, so that every part of a larger array stays aligned. The first tile is
  // the widest.
  std::ptrdiff_t sums_size(const Tile<T>& tile) const {
    return divide_up(method_.size(*tile.kernels) + kernels::kTileSlack, 16) * 16;
  }

  const Network<T>& network_;
  const T* states_;
  Method method_;
  std::vector<Tile<T>> tiles_;
  Execution execution_;
  std::vector<Workspace> workspaces_;
  Chunks chunks_;
};

}  // namespace hopfix
