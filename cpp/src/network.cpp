#include "hopfix/network.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <stdexcept>

#include "hopfix/isa.hpp"
#include "kernels/table.hpp"

namespace hopfix {

template <class T>
void AlignedArray<T>::reserve(std::ptrdiff_t size) {
  if (size <= size_) return;
  const auto bytes = static_cast<std::size_t>(size) * sizeof(T);
  data_.reset(static_cast<T*>(::operator new(bytes, std::align_val_t(64))));
  size_ = size;
}

template <class T>
void AlignedArray<T>::Free::operator()(T* p) const {
  ::operator delete(p, std::align_val_t(64));
}

namespace {

using kernels::PatternBlock;
using kernels::SoftmaxSums;
using kernels::TileKernels;

const TileKernels<float>* tile_kernels(float) { return isa::table().tile32; }
const TileKernels<double>* tile_kernels(double) { return isa::table().tile64; }
const kernels::GramKernels<float>& gram_kernels(float) { return *isa::table().gram32; }
const kernels::GramKernels<double>& gram_kernels(double) { return *isa::table().gram64; }

std::ptrdiff_t divide_up(std::ptrdiff_t a, std::ptrdiff_t b) { return (a + b - 1) / b; }

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

}  // namespace

// How a batch is cut: states into tiles of `lanes`, patterns into chunks of `rows`. The chunks
// depend on n and dim only; each is summed by itself and the sums are merged in order.
template <class T>
struct Network<T>::Tiling {
  const TileKernels<T>* kernels;
  std::ptrdiff_t count, lanes, tiles, rows, chunks;

  std::ptrdiff_t states_in(std::ptrdiff_t tile) const {
    return std::min(lanes, count - tile * lanes);
  }
};

template <class T>
typename Network<T>::Tiling Network<T>::tiling(std::ptrdiff_t count) const {
  // A chunk fills half of a common L2 cache: it is read twice for every tile of queries.
  constexpr std::ptrdiff_t kChunkBytes = 1 << 19;
  const std::ptrdiff_t groups = std::max<std::ptrdiff_t>(
      2, kChunkBytes / (dim_ * static_cast<std::ptrdiff_t>(sizeof(T)) * kernels::kGroupRows));
  const TileKernels<T>* variants = tile_kernels(T());
  Tiling t;
  t.kernels = count <= variants[0].lanes ? &variants[0] : &variants[1];
  t.count = count;
  t.lanes = t.kernels->lanes;
  t.tiles = divide_up(count, t.lanes);
  t.rows = groups * kernels::kGroupRows;
  t.chunks = divide_up(n_, t.rows);
  return t;
}

// One thread below about 100 us of work: waking another costs as much as it saves.
template <class T>
Execution Network<T>::within_reason(std::ptrdiff_t count, const Execution& execution) const {
  constexpr double kMultiplyAddsWorthSharing = 2e6;
  Execution reasonable = execution;
  const double work =
      static_cast<double>(n_) * static_cast<double>(dim_) * static_cast<double>(count);
  if (work < kMultiplyAddsWorthSharing) reasonable.threads = 1;
  return reasonable;
}

// Softmax sums of every tile of a batch, handed to a function tile by tile.
template <class T>
class Network<T>::TilePass {
 public:
  // Scratch of one thread.
  struct Workspace {
    AlignedArray<T> queries, totals, partial, scratch, extra;
  };

  TilePass(const Network& network, const T* states, std::ptrdiff_t count, bool with_mean,
           const Execution& execution)
      : network_(network),
        states_(states),
        with_mean_(with_mean),
        tiling_(network.tiling(count)),
        execution_(network.within_reason(count, execution)),
        workspaces_(static_cast<std::size_t>(std::max(1, execution_.threads))) {}

  const Tiling& tiling() const { return tiling_; }
  const Execution& execution() const { return execution_; }

  PatternBlock<T> chunk(std::ptrdiff_t index) const {
    const std::ptrdiff_t first = index * tiling_.rows;
    const T* log_weights = network_.log_weights_.empty() ? nullptr : network_.log_weights_.data();
    return {network_.patterns_.data() + first * network_.dim_, network_.dim_,
            std::min(tiling_.rows, network_.n_ - first), network_.dim_,
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
          tiling_.kernels->merge(totals, partial, network_.dim_);
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
        tiling_.kernels->merge(totals, sums_of(tile, c), network_.dim_);
      finish(tile, pack_tile(tile, workspace(0)), totals, workspace(0));
    }
  }

  Workspace& workspace(int worker) { return workspaces_[static_cast<std::size_t>(worker)]; }

  const T* pack_tile(std::ptrdiff_t tile, Workspace& w) const {
    w.queries.reserve(network_.dim_ * tiling_.lanes);
    pack(states_ + tile * tiling_.lanes * network_.dim_, tiling_.states_in(tile), network_.dim_,
         tiling_.lanes, static_cast<T>(network_.beta_), w.queries.data());
    return w.queries.data();
  }

  std::ptrdiff_t sums_size() const {
    return tiling_.lanes * (2 + (with_mean_ ? network_.dim_ : 0));
  }

  SoftmaxSums<T> sums_at(T* data) const {
    return {data, data + tiling_.lanes, with_mean_ ? data + 2 * tiling_.lanes : nullptr};
  }

  void sum_chunk(std::ptrdiff_t index, const T* queries, const SoftmaxSums<T>& sums,
                 Workspace& w) const {
    w.scratch.reserve(2 * kernels::kGroupRows * tiling_.lanes);
    std::fill_n(sums.max, tiling_.lanes, -std::numeric_limits<T>::infinity());
    std::fill_n(sums.sum, tiling_.lanes, T(0));
    if (with_mean_) std::fill_n(sums.mean, network_.dim_ * tiling_.lanes, T(0));
    tiling_.kernels->accumulate(chunk(index), queries, sums, w.scratch.data());
  }

  const Network& network_;
  const T* states_;
  bool with_mean_;
  Tiling tiling_;
  Execution execution_;
  std::vector<Workspace> workspaces_;
};

template <class T>
Network<T>::Network(const T* patterns, std::ptrdiff_t n, std::ptrdiff_t dim, double beta,
                    const T* log_weights)
    : n_(n), dim_(dim), beta_(beta), patterns_(patterns, patterns + n * dim) {
  if (log_weights != nullptr) log_weights_.assign(log_weights, log_weights + n);
}

template <class T>
void Network<T>::update(const T* states, std::ptrdiff_t count, T* out,
                        const Execution& execution) const {
  TilePass pass(*this, states, count, true, execution);
  const std::ptrdiff_t lanes = pass.tiling().lanes;
  pass.run([&](std::ptrdiff_t tile, const T*, const SoftmaxSums<T>& sums, auto&) {
    T* rows = out + tile * lanes * dim_;
    for (std::ptrdiff_t b = 0; b < pass.tiling().states_in(tile); ++b)
      for (std::ptrdiff_t k = 0; k < dim_; ++k)
        rows[b * dim_ + k] = sums.mean[k * lanes + b] / sums.sum[b];
  });
}

template <class T>
void Network<T>::weights(const T* states, std::ptrdiff_t count, T* out,
                         const Execution& execution) const {
  TilePass pass(*this, states, count, false, execution);
  const Tiling& t = pass.tiling();
  pass.run([&](std::ptrdiff_t tile, const T* queries, const SoftmaxSums<T>& sums, auto& w) {
    w.extra.reserve(t.rows * t.lanes);
    for (std::ptrdiff_t c = 0; c < t.chunks; ++c) {
      const PatternBlock<T> block = pass.chunk(c);
      t.kernels->weights(block, queries, sums, w.extra.data());
      for (std::ptrdiff_t b = 0; b < t.states_in(tile); ++b) {
        T* row = out + (tile * t.lanes + b) * n_ + c * t.rows;
        for (std::ptrdiff_t i = 0; i < block.count; ++i) row[i] = w.extra[i * t.lanes + b];
      }
    }
  });
}

template <class T>
void Network<T>::energy(const T* states, std::ptrdiff_t count, T* out,
                        const Execution& execution) const {
  TilePass pass(*this, states, count, false, execution);
  const std::ptrdiff_t lanes = pass.tiling().lanes;
  pass.run([&](std::ptrdiff_t tile, const T*, const SoftmaxSums<T>& sums, auto&) {
    for (std::ptrdiff_t b = 0; b < pass.tiling().states_in(tile); ++b) {
      const T* state = states + (tile * lanes + b) * dim_;
      double square = 0;
      for (std::ptrdiff_t k = 0; k < dim_; ++k)
        square += static_cast<double>(state[k]) * static_cast<double>(state[k]);
      const double log_sum =
          static_cast<double>(sums.max[b]) + std::log(static_cast<double>(sums.sum[b]));
      out[tile * lanes + b] = static_cast<T>(square / 2 - log_sum / beta_);
    }
  });
}

template <class T>
void Network<T>::jvp(const T* states, const T* tangents, std::ptrdiff_t count, T* out,
                     const Execution& execution) const {
  TilePass pass(*this, states, count, true, execution);
  const Tiling& t = pass.tiling();
  pass.run([&](std::ptrdiff_t tile, const T* queries, const SoftmaxSums<T>& sums, auto& w) {
    const std::ptrdiff_t here = t.states_in(tile);
    w.extra.reserve((2 * dim_ + 1) * t.lanes);
    T* packed = w.extra.data();
    T* derivative = packed + dim_ * t.lanes;
    T* mean_product = derivative + dim_ * t.lanes;
    pack(tangents + tile * t.lanes * dim_, here, dim_, t.lanes, T(1), packed);
    std::fill_n(derivative, dim_ * t.lanes, T(0));
    std::fill_n(mean_product, t.lanes, T(0));
    for (std::ptrdiff_t k = 0; k < dim_; ++k)
      for (std::ptrdiff_t b = 0; b < t.lanes; ++b)
        mean_product[b] += sums.mean[k * t.lanes + b] / sums.sum[b] * packed[k * t.lanes + b];
    w.scratch.reserve(2 * kernels::kGroupRows * t.lanes);
    for (std::ptrdiff_t c = 0; c < t.chunks; ++c)
      t.kernels->tangent(pass.chunk(c), queries, sums, packed, mean_product, derivative,
                         w.scratch.data());
    for (std::ptrdiff_t b = 0; b < here; ++b)
      for (std::ptrdiff_t k = 0; k < dim_; ++k)
        out[(tile * t.lanes + b) * dim_ + k] = static_cast<T>(beta_) * derivative[k * t.lanes + b];
  });
}

namespace {

// Rows sqrt(beta p_i) (x_i - mean) of the patterns with p_i > 0, so that J = A^T A.
template <class T, class Real>
std::ptrdiff_t weighted_rows(const Network<T>& network, const T* weights, const T* mean,
                             std::vector<Real>& rows) {
  const std::ptrdiff_t dim = network.dim();
  rows.clear();
  for (std::ptrdiff_t i = 0; i < network.size(); ++i) {
    if (weights[i] == 0) continue;
    const Real root = std::sqrt(static_cast<Real>(network.beta()) * static_cast<Real>(weights[i]));
    const T* x = network.patterns().data() + i * dim;
    for (std::ptrdiff_t k = 0; k < dim; ++k)
      rows.push_back(root * (static_cast<Real>(x[k]) - static_cast<Real>(mean[k])));
  }
  return static_cast<std::ptrdiff_t>(rows.size()) / dim;
}

// visit(state, A, its rows, worker) for every state, in blocks that bound the memory for weights.
template <class T, class Real, class Visit>
void for_each_weighted(const Network<T>& network, const T* states, std::ptrdiff_t count,
                       const Execution& execution, const Visit& visit) {
  constexpr std::ptrdiff_t kBlock = 64;
  const std::ptrdiff_t n = network.size(), dim = network.dim();
  std::vector<T> weights(static_cast<std::size_t>(std::min(count, kBlock) * n));
  std::vector<T> means(static_cast<std::size_t>(std::min(count, kBlock) * dim));
  std::vector<std::vector<Real>> rows(static_cast<std::size_t>(std::max(1, execution.threads)));
  for (std::ptrdiff_t first = 0; first < count; first += kBlock) {
    const std::ptrdiff_t here = std::min(kBlock, count - first);
    network.weights(states + first * dim, here, weights.data(), execution);
    network.update(states + first * dim, here, means.data(), execution);
    parallel_for(here, execution, [&](std::ptrdiff_t b, int worker) {
      auto& a = rows[static_cast<std::size_t>(worker)];
      const std::ptrdiff_t live =
          weighted_rows(network, weights.data() + b * n, means.data() + b * dim, a);
      visit(first + b, a, live);
    });
  }
}

}  // namespace

template <class T>
void Network<T>::jacobian(const T* states, std::ptrdiff_t count, T* out,
                          const Execution& execution) const {
  for_each_weighted<T, T>(*this, states, count, within_reason(count * dim_, execution),
                          [&](std::ptrdiff_t state, const std::vector<T>& a, std::ptrdiff_t live) {
                            gram_kernels(T()).columns(a.data(), live, dim_,
                                                      out + state * dim_ * dim_);
                          });
}

template <class T>
void Network<T>::spectral_radius(const T* states, std::ptrdiff_t count, T* out,
                                 const Execution& execution) const {
  for_each_weighted<T, double>(
      *this, states, count, within_reason(count * dim_, execution),
      [&](std::ptrdiff_t state, const std::vector<double>& a, std::ptrdiff_t live) {
        const bool by_rows = live < dim_;
        const std::ptrdiff_t order = by_rows ? live : dim_;
        std::vector<double> gram(static_cast<std::size_t>(order * order));
        std::vector<double> eigenvalues(static_cast<std::size_t>(order));
        const auto& product = gram_kernels(double());
        (by_rows ? product.rows : product.columns)(a.data(), live, dim_, gram.data());
        if (!isa::table().dense->symmetric_eigen(gram.data(), order, eigenvalues.data(), nullptr))
          throw std::runtime_error("spectral_radius: the eigenvalue iteration did not converge");
        out[state] = static_cast<T>(std::max(0.0, eigenvalues.back()));
      });
}

template class AlignedArray<float>;
template class AlignedArray<double>;
template class Network<float>;
template class Network<double>;

}  // namespace hopfix
