// Products of cotangents with the derivatives of the update (reverse mode).
//
// With p = softmax(z), z_i = beta x_i . xi + b_i and g_i = p_i (x_i . c - f . c):
//   d/dxi = beta sum_i g_i x_i   d/dx_i = p_i c + beta g_i xi   d/dbeta = sum_i g_i x_i . xi
//   d/db_i = g_i
// A batch is taken in slices of states for which p and g of all patterns fit in the cache. Within
// a slice, blocks of patterns are shared out to threads; what is summed over patterns is merged in
// the order of the blocks, what is summed over states in the order of the states.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tile_pass.hpp"

namespace hopfix {

namespace {

using kernels::AdjointKernels;

inline const AdjointKernels<float>* adjoint_kernels(float) {
  return isa::table().derivatives->adjoint32;
}
inline const AdjointKernels<double>* adjoint_kernels(double) {
  return isa::table().derivatives->adjoint64;
}

std::ptrdiff_t round_up(std::ptrdiff_t size) { return divide_up(size, 16) * 16; }

template <class T>
class AdjointPass {
 public:
  AdjointPass(const Network<T>& network, std::ptrdiff_t count, const Gradients<T>& gradients,
              const Execution& execution)
      : network_(network),
        gradients_(gradients),
        execution_(within_reason(network, 4 * count, execution)),
        n_(network.size()),
        dim_(network.dim()),
        columns_(adjoint_kernels(T())[0].columns),
        panels_(divide_up(dim_, columns_)),
        rows_(std::clamp<std::ptrdiff_t>(dim_, kernels::kGroupRows, 4 * kernels::kGroupRows)),
        blocks_(divide_up(n_, rows_)) {
    constexpr std::ptrdiff_t kSliceBytes = 1 << 22, kMostStates = 1024;
    const std::ptrdiff_t widest = tile_kernels(T())[kernels::kTileShapes - 1].lanes;
    const std::ptrdiff_t tiles =
        kSliceBytes / (2 * n_ * widest * static_cast<std::ptrdiff_t>(sizeof(T)));
    slice_ = std::clamp<std::ptrdiff_t>(tiles * widest, widest, kMostStates);
    if (gradients_.patterns != nullptr) {
      outer_.reserve(n_ * panels_ * columns_);
      std::fill_n(outer_.data(), n_ * panels_ * columns_, T(0));
    }
    if (gradients_.log_weights != nullptr) std::fill_n(gradients_.log_weights, n_, T(0));
  }

  void run(const T* states, const T* cotangents, std::ptrdiff_t count) {
    double beta_gradient = 0;
    for (std::ptrdiff_t first = 0; first < count; first += slice_) {
      const std::ptrdiff_t here = std::min(slice_, count - first);
      states_ = states + first * dim_;
      cotangents_ = cotangents + first * dim_;
      pack_slice(here);
      const auto tiles = static_cast<std::ptrdiff_t>(tiles_.size());
      parallel_for(blocks_ * tiles, execution_,
                   [&](std::ptrdiff_t i, int) { forward(i / tiles, i % tiles); });
      parallel_for(tiles, execution_, [&](std::ptrdiff_t t, int) { normalise(t); });
      parallel_for(blocks_, execution_, [&](std::ptrdiff_t b, int) { backward(b); });
      if (!wants_state_gradient()) continue;
      state_gradient_.reserve(here * dim_);
      parallel_for(tiles, execution_, [&](std::ptrdiff_t t, int) { merge_state_gradient(t); });
      if (gradients_.states != nullptr)
        std::copy_n(state_gradient_.data(), here * dim_, gradients_.states + first * dim_);
      // sum_i g_i x_i . xi = xi . (d/dxi) / beta
      for (std::ptrdiff_t k = 0; k < here * dim_; ++k)
        beta_gradient += static_cast<double>(states_[k]) * static_cast<double>(state_gradient_[k]);
    }
    if (gradients_.beta != nullptr)
      *gradients_.beta = static_cast<T>(beta_gradient / network_.beta());
    if (gradients_.patterns != nullptr) unpack_patterns();
  }

 private:
  // Per-lane numbers of a tile and a block of patterns.
  struct Sums {
    T *max, *sum, *product;
  };

  const AdjointKernels<T>& kernels_of(const Tile<T>& tile) const {
    return adjoint_kernels(T())[tile.kernels - tile_kernels(T())];
  }

  bool wants_state_gradient() const {
    return gradients_.states != nullptr || gradients_.beta != nullptr;
  }

  PatternBlock<T> block(std::ptrdiff_t index) const {
    const std::ptrdiff_t first = index * rows_;
    const auto& shifts = network_.log_weights();
    const auto rows = network_.rows();
    return {rows.data + first * rows.stride,
            rows.stride,
            std::min(rows_, n_ - first),
            dim_,
            shifts.empty() ? nullptr : shifts.data() + first,
            nullptr,
            std::max<std::ptrdiff_t>(0, n_ - first - rows_)};
  }

  // Where a tile's numbers lie: `per_lane` for each lane of the slice, lanes of tiles in a row.
  // The first tile is the widest, so that no two tiles overlap.
  std::ptrdiff_t offset(std::ptrdiff_t t, std::ptrdiff_t per_lane) const {
    return t * round_up(per_lane * tiles_.front().kernels->lanes + kernels::kTileSlack);
  }

  T* weights_at(AlignedArray<T>& array, std::ptrdiff_t b, std::ptrdiff_t t) const {
    return array.data() + offset(t, n_) +
           b * rows_ * tiles_[static_cast<std::size_t>(t)].kernels->lanes;
  }

  Sums sums_at(std::ptrdiff_t b, std::ptrdiff_t t) {
    T* at = sums_.data() + (t * blocks_ + b) * 3 * width_;
    return {at, at + width_, at + 2 * width_};
  }

  T* partial_at(std::ptrdiff_t b, std::ptrdiff_t t) {
    return partial_.data() + b * offset(static_cast<std::ptrdiff_t>(tiles_.size()), dim_) +
           offset(t, dim_);
  }

  void pack_slice(std::ptrdiff_t count) {
    tiles_ = cut_into_tiles<T>(count);
    width_ = tiles_.front().kernels->lanes;
    const auto tiles = static_cast<std::ptrdiff_t>(tiles_.size());
    for (AlignedArray<T>* array : {&p_, &g_}) array->reserve(offset(tiles, n_));
    for (AlignedArray<T>* array : {&queries_, &products_}) array->reserve(offset(tiles, dim_));
    sums_.reserve(tiles * blocks_ * 3 * width_);
    means_.reserve(tiles * width_);
    if (wants_state_gradient()) {
      partial_.reserve(blocks_ * offset(tiles, dim_));
      std::fill_n(partial_.data(), blocks_ * offset(tiles, dim_), T(0));
    }
    const T beta = static_cast<T>(network_.beta());
    for (std::ptrdiff_t t = 0; t < tiles; ++t) {
      const Tile<T>& tile = tiles_[static_cast<std::size_t>(t)];
      const auto pack = kernels_of(tile).pack;
      const std::ptrdiff_t first = tile.first * dim_;
      pack(states_ + first, tile.count, dim_, beta, queries_.data() + offset(t, dim_));
      pack(cotangents_ + first, tile.count, dim_, T(1), products_.data() + offset(t, dim_));
    }
    if (gradients_.patterns == nullptr) return;
    pack_panels(states_, count, beta, query_panels_);
    pack_panels(cotangents_, count, T(1), cotangent_panels_);
  }

  // Columns of all states of the slice, panel by panel, as add_outer takes them.
  void pack_panels(const T* rows, std::ptrdiff_t count, T factor, AlignedArray<T>& out) const {
    out.reserve(panels_ * count * columns_);
    for (std::ptrdiff_t j = 0; j < panels_; ++j)
      for (std::ptrdiff_t s = 0; s < count; ++s)
        for (std::ptrdiff_t l = 0; l < columns_; ++l) {
          const std::ptrdiff_t k = j * columns_ + l;
          out[(j * count + s) * columns_ + l] = k < dim_ ? factor * rows[s * dim_ + k] : T(0);
        }
  }

  void forward(std::ptrdiff_t b, std::ptrdiff_t t) {
    const Sums s = sums_at(b, t);
    kernels_of(tiles_[static_cast<std::size_t>(t)])
        .forward(block(b), queries_.data() + offset(t, dim_), products_.data() + offset(t, dim_),
                 weights_at(p_, b, t), weights_at(g_, b, t), s.max, s.sum, s.product);
  }

  // Turns the maxima of the blocks into factors from their exponentials to weights, and finds
  // the mean of x . c under those.
  void normalise(std::ptrdiff_t t) {
    const std::ptrdiff_t lanes = tiles_[static_cast<std::size_t>(t)].kernels->lanes;
    for (std::ptrdiff_t l = 0; l < lanes; ++l) {
      T max = sums_at(0, t).max[l];
      for (std::ptrdiff_t b = 1; b < blocks_; ++b) max = std::max(max, sums_at(b, t).max[l]);
      T sum = 0, product = 0;
      for (std::ptrdiff_t b = 0; b < blocks_; ++b) {
        const Sums s = sums_at(b, t);
        s.max[l] = std::exp(s.max[l] - max);
        sum += s.max[l] * s.sum[l];
        product += s.max[l] * s.product[l];
      }
      for (std::ptrdiff_t b = 0; b < blocks_; ++b) sums_at(b, t).max[l] /= sum;
      means_[t * width_ + l] = product / sum;
    }
  }

  void backward(std::ptrdiff_t b) {
    const PatternBlock<T> patterns = block(b);
    T* log_weights =
        gradients_.log_weights == nullptr ? nullptr : gradients_.log_weights + b * rows_;
    const std::ptrdiff_t count = tiles_.back().first + tiles_.back().count;
    for (std::ptrdiff_t t = 0; t < static_cast<std::ptrdiff_t>(tiles_.size()); ++t) {
      const Tile<T>& tile = tiles_[static_cast<std::size_t>(t)];
      T *p = weights_at(p_, b, t), *g = weights_at(g_, b, t);
      kernels_of(tile).backward(patterns, sums_at(b, t).max, means_.data() + t * width_, p, g,
                                wants_state_gradient() ? partial_at(b, t) : nullptr, log_weights);
      if (gradients_.patterns == nullptr) continue;
      const std::ptrdiff_t first = tile.first * columns_;
      kernels_of(tile).add_outer(p, g, patterns.count, tile.count, cotangent_panels_.data() + first,
                                 query_panels_.data() + first, panels_, count * columns_,
                                 outer_.data() + b * rows_ * panels_ * columns_);
    }
  }

  void merge_state_gradient(std::ptrdiff_t t) {
    const Tile<T>& tile = tiles_[static_cast<std::size_t>(t)];
    const std::ptrdiff_t lanes = tile.kernels->lanes;
    T* total = partial_at(0, t);
    for (std::ptrdiff_t b = 1; b < blocks_; ++b) {
      const T* part = partial_at(b, t);
      for (std::ptrdiff_t k = 0; k < dim_ * lanes; ++k) total[k] += part[k];
    }
    const T beta = static_cast<T>(network_.beta());
    for (std::ptrdiff_t s = 0; s < tile.count; ++s)
      for (std::ptrdiff_t k = 0; k < dim_; ++k)
        state_gradient_[(tile.first + s) * dim_ + k] = beta * total[k * lanes + s];
  }

  void unpack_patterns() {
    parallel_for(blocks_, execution_, [&](std::ptrdiff_t b, int) {
      const std::ptrdiff_t count = block(b).count;
      const T* from = outer_.data() + b * rows_ * panels_ * columns_;
      T* to = gradients_.patterns + b * rows_ * dim_;
      for (std::ptrdiff_t i = 0; i < count; ++i)
        for (std::ptrdiff_t k = 0; k < dim_; k += columns_)
          std::copy_n(from + (k / columns_ * count + i) * columns_, std::min(columns_, dim_ - k),
                      to + i * dim_ + k);
    });
  }

  const Network<T>& network_;
  const Gradients<T>& gradients_;
  Execution execution_;
  std::ptrdiff_t n_, dim_, columns_, panels_, rows_, blocks_, slice_ = 0, width_ = 0;
  const T *states_ = nullptr, *cotangents_ = nullptr;
  std::vector<Tile<T>> tiles_;
  // Of a slice: exponentials, then weights; x . c, then g; packed states and cotangents.
  AlignedArray<T> p_, g_, queries_, products_, query_panels_, cotangent_panels_;
  AlignedArray<T> sums_, means_, partial_, state_gradient_;
  AlignedArray<T> outer_;  // the gradient of the patterns, in panels per block
};

}  // namespace

template <class T>
void Network<T>::vjp(const T* states, const T* cotangents, std::ptrdiff_t count,
                     const Gradients<T>& gradients, const Execution& execution) const {
  AdjointPass<T>(*this, count, gradients, execution).run(states, cotangents, count);
}

template void Network<float>::vjp(const float*, const float*, std::ptrdiff_t,
                                  const Gradients<float>&, const Execution&) const;
template void Network<double>::vjp(const double*, const double*, std::ptrdiff_t,
                                   const Gradients<double>&, const Execution&) const;

}  // namespace hopfix
