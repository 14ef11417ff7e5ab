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

// Element k of row b to tile[k * lanes + b], times `factor`; lanes without a row become zero.
template <class T>
void pack(const T* rows, std::ptrdiff_t count, std::ptrdiff_t dim, std::ptrdiff_t lanes, T factor,
          T* tile) {
  for (std::ptrdiff_t k = 0; k < dim; ++k) {
    T* lane = tile + k * lanes;
    for (std::ptrdiff_t b = 0; b < count; ++b) lane[b] = factor * rows[b * dim + k];
    std::fill(lane + count, lane + lanes, T(0));
  }
}

// How a batch is cut: states into tiles of `lanes`, patterns into chunks of `rows`. The chunks
// depend on n and dim only; each is summed by itself and the sums are merged in order.
template <class T>
struct Tiling {
  const TileKernels<T>* kernels;
  std::ptrdiff_t count, lanes, tiles, rows, chunks;

  std::ptrdiff_t states_in(std::ptrdiff_t tile) const {
    return std::min(lanes, count - tile * lanes);
  }
};

template <class T>
Tiling<T> make_tiling(const Network<T>& network, std::ptrdiff_t count) {
  // A chunk fills half of a common L2 cache: it is read twice for every tile of queries.
  constexpr std::ptrdiff_t kChunkBytes = 1 << 19;
  const std::ptrdiff_t groups = std::max<std::ptrdiff_t>(
      2,
      kChunkBytes / (network.dim() * static_cast<std::ptrdiff_t>(sizeof(T)) * kernels::kGroupRows));
  const TileKernels<T>* variants = tile_kernels(T());
  Tiling<T> t;
  t.kernels = count <= variants[0].lanes ? &variants[0] : &variants[1];
  t.count = count;
  t.lanes = t.kernels->lanes;
  t.tiles = divide_up(count, t.lanes);
  t.rows = groups * kernels::kGroupRows;
  t.chunks = divide_up(network.size(), t.rows);
  return t;
}

// One thread below about 100 us of work: waking another costs as much as it saves.
template <class T>
Execution within_reason(const Network<T>& network, std::ptrdiff_t count,
                        const Execution& execution) {
  constexpr double kMultiplyAddsWorthSharing = 2e6;
  Execution reasonable = execution;
  const double work = static_cast<double>(network.size()) * static_cast<double>(network.dim()) *
                      static_cast<double>(count);
  if (work < kMultiplyAddsWorthSharing) reasonable.threads = 1;
  return reasonable;
}

// Softmax sums of every tile of a batch, handed to a function tile by tile.
template <class T>
class TilePass {
 public:
  // Scratch of one thread.
  struct Workspace {
    AlignedArray<T> queries, totals, partial, scratch, extra;
  };

  TilePass(const Network<T>& network, const T* states, std::ptrdiff_t count, bool with_mean,
           const Execution& execution)
      : network_(network),
        states_(states),
        with_mean_(with_mean),
        tiling_(make_tiling(network, count)),
        execution_(within_reason(network, count, execution)),
        workspaces_(static_cast<std::size_t>(std::max(1, execution_.threads))) {}

  const Tiling<T>& tiling() const { return tiling_; }
  const Execution& execution() const { return execution_; }

  PatternBlock<T> chunk(std::ptrdiff_t index) const {
    const std::ptrdiff_t first = index * tiling_.rows;
    const T* log_weights = network_.log_weights().empty() ? nullptr : network_.log_weights().data();
    return {network_.patterns().data() + first * network_.dim(), network_.dim(),
            std::min(tiling_.rows, network_.size() - first), network_.dim(),
            log_weights == nullptr ? nullptr : log_weights + first};
  }

  // finish(tile, queries, sums, workspace) for every tile, in parallel.
  template <class Finish>
  void run(const Finish& finish) {
    if (tiling_.tiles >= execution_.threads || tiling_.chunks == 1)
      parallel_for(tiling_.tiles, execution_, [&](std::ptrdiff_t tile, int worker) {
        Workspace& w = workspace(worker);
        const T* queries = pack_tile(tile, w);
        w.totals.reserve(sums_size());
        w.partial.reserve(sums_size());
        const SoftmaxSums<T> totals = sums_at(w.totals.data());
        sum_chunk(0, queries, totals, w);
        for (std::ptrdiff_t c = 1; c < tiling_.chunks; ++c) {
          const SoftmaxSums<T> partial = sums_at(w.partial.data());
          sum_chunk(c, queries, partial, w);
          tiling_.kernels->merge(totals, partial, network_.dim());
        }
        finish(tile, queries, totals, w);
      });
    else
      run_by_chunks(finish);
  }

 private:
  // Few tiles, many patterns: the chunks are shared out, then merged in the same order.
  template <class Finish>
  void run_by_chunks(const Finish& finish) {
    AlignedArray<T> all(tiling_.tiles * tiling_.chunks * sums_size());
    const auto sums_of = [&](std::ptrdiff_t tile, std::ptrdiff_t c) {
      return sums_at(all.data() + (tile * tiling_.chunks + c) * sums_size());
    };
    parallel_for(tiling_.tiles * tiling_.chunks, execution_, [&](std::ptrdiff_t i, int worker) {
      Workspace& w = workspace(worker);
      const std::ptrdiff_t tile = i / tiling_.chunks, c = i % tiling_.chunks;
      sum_chunk(c, pack_tile(tile, w), sums_of(tile, c), w);
    });
    for (std::ptrdiff_t tile = 0; tile < tiling_.tiles; ++tile) {
      const SoftmaxSums<T> totals = sums_of(tile, 0);
      for (std::ptrdiff_t c = 1; c < tiling_.chunks; ++c)
        tiling_.kernels->merge(totals, sums_of(tile, c), network_.dim());
      finish(tile, pack_tile(tile, workspace(0)), totals, workspace(0));
    }
  }

  Workspace& workspace(int worker) { return workspaces_[static_cast<std::size_t>(worker)]; }

  const T* pack_tile(std::ptrdiff_t tile, Workspace& w) const {
    w.queries.reserve(network_.dim() * tiling_.lanes);
    pack(states_ + tile * tiling_.lanes * network_.dim(), tiling_.states_in(tile), network_.dim(),
         tiling_.lanes, static_cast<T>(network_.beta()), w.queries.data());
    return w.queries.data();
  }

  std::ptrdiff_t sums_size() const {
    return tiling_.lanes * (2 + (with_mean_ ? network_.dim() : 0));
  }

  SoftmaxSums<T> sums_at(T* data) const {
    return {data, data + tiling_.lanes, with_mean_ ? data + 2 * tiling_.lanes : nullptr};
  }

  void sum_chunk(std::ptrdiff_t index, const T* queries, const SoftmaxSums<T>& sums,
                 Workspace& w) const {
    w.scratch.reserve(2 * kernels::kGroupRows * tiling_.lanes);
    std::fill_n(sums.max, tiling_.lanes, -std::numeric_limits<T>::infinity());
    std::fill_n(sums.sum, tiling_.lanes, T(0));
    if (with_mean_) std::fill_n(sums.mean, network_.dim() * tiling_.lanes, T(0));
    tiling_.kernels->accumulate(chunk(index), queries, sums, w.scratch.data());
  }

  const Network<T>& network_;
  const T* states_;
  bool with_mean_;
  Tiling<T> tiling_;
  Execution execution_;
  std::vector<Workspace> workspaces_;
};

}  // namespace hopfix
