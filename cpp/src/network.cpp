#include "hopfix/network.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <new>

#include "attractors.hpp"
#include "quantized.hpp"
#include "sums.hpp"
#include "tile_pass.hpp"

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

template <class T>
double log_sum(const SoftmaxSums<T>& sums, std::ptrdiff_t lane) {
  return static_cast<double>(sums.max[lane]) + std::log(static_cast<double>(sums.sum[lane]));
}

}  // namespace

template <class T>
struct Network<T>::Derived {
  std::once_flag extent_once, spread_once, quantized_once, spaced_once, central_once, common_once;
  Extent extent;
  double spread = 0;
  std::unique_ptr<QuantizedPatterns> quantized;
  Patterns spaced;
  std::unique_ptr<Attractors<T>> central, common;
};

template <class T>
Network<T>::Network(const T* patterns, std::ptrdiff_t n, std::ptrdiff_t dim, double beta,
                    const T* log_weights)
    : n_(n),
      dim_(dim),
      beta_(beta),
      patterns_(patterns, patterns + n * dim),
      derived_(std::make_shared<Derived>()) {
  if (log_weights != nullptr &&
      std::any_of(log_weights, log_weights + n, [](T b) { return b != 0; }))
    log_weights_.assign(log_weights, log_weights + n);
}

template <class T>
typename Network<T>::Rows Network<T>::rows() const {
  constexpr std::ptrdiff_t kLine = 64 / static_cast<std::ptrdiff_t>(sizeof(T));
  if (dim_ % (32 * kLine) != 0) return {patterns_.data(), dim_};
  const std::ptrdiff_t stride = dim_ + kLine;
  std::call_once(derived_->spaced_once, [this, stride] {
    derived_->spaced.resize(static_cast<std::size_t>(n_ * stride));
    for (std::ptrdiff_t i = 0; i < n_; ++i)
      std::copy_n(patterns_.data() + i * dim_, dim_, derived_->spaced.data() + i * stride);
  });
  return {derived_->spaced.data(), stride};
}

template <class T>
const typename Network<T>::Extent& Network<T>::extent() const {
  std::call_once(derived_->extent_once, [this] {
    std::vector<double> mean(static_cast<std::size_t>(dim_));
    for (std::ptrdiff_t i = 0; i < n_; ++i)
      for (std::ptrdiff_t k = 0; k < dim_; ++k)
        mean[static_cast<std::size_t>(k)] +=
            static_cast<double>(patterns_[static_cast<std::size_t>(i * dim_ + k)]);
    for (double& value : mean) value /= static_cast<double>(n_);
    // Covers the rounding of sums of dim squares, and of the result to T.
    const double rounding = 1 + 1e-10 + static_cast<double>(dim_) * 1e-15 +
                            static_cast<double>(std::numeric_limits<T>::epsilon());
    double largest = 0;
    std::vector<T> squares;
    for (std::ptrdiff_t i = 0; i < n_; ++i) {
      const T* pattern = patterns_.data() + i * dim_;
      const double square =
          rounding * sum_of(dim_, [&](std::ptrdiff_t k) {
            const double off = static_cast<double>(pattern[k]) - mean[static_cast<std::size_t>(k)];
            return off * off;
          });
      squares.push_back(static_cast<T>(square));
      largest = std::max(largest, square);
    }
    derived_->extent = {std::move(mean), std::sqrt(largest) * rounding, std::move(squares)};
  });
  return derived_->extent;
}

template <class T>
double Network<T>::spread() const {
  std::call_once(derived_->spread_once, [this] {
    const std::vector<T> zero(static_cast<std::size_t>(dim_));
    T radius;
    spectral_radius(zero.data(), 1, &radius, {});
    derived_->spread = static_cast<double>(radius);
  });
  return derived_->spread;
}

template <class T>
const QuantizedPatterns& Network<T>::quantized() const {
  std::call_once(derived_->quantized_once,
                 [this] { derived_->quantized = std::make_unique<QuantizedPatterns>(*this); });
  return *derived_->quantized;
}

template <class T>
const Attractors<T>& Network<T>::central_attractor(const Execution& execution) const {
  std::call_once(derived_->central_once, [&] {
    const std::vector<T> mean(extent().mean.begin(), extent().mean.end());
    derived_->central = std::make_unique<Attractors<T>>(*this, mean.data(), 1, execution);
  });
  return *derived_->central;
}

template <class T>
const Attractors<T>& Network<T>::common_attractors(const Execution& execution) const {
  std::call_once(derived_->common_once, [&] {
    constexpr std::ptrdiff_t kStarts = 7;
    std::vector<T> starts;
    for (std::ptrdiff_t s = 0; s < kStarts; ++s) {
      const T* pattern = patterns_.data() + s * n_ / kStarts * dim_;
      starts.insert(starts.end(), pattern, pattern + dim_);
    }
    derived_->common = std::make_unique<Attractors<T>>(*this, starts.data(), kStarts, execution);
  });
  return *derived_->common;
}

template <class T>
void Network<T>::update(const T* states, std::ptrdiff_t count, T* out,
                        const Execution& execution) const {
  TilePass<T> pass(*this, states, count, SoftmaxAverage<T>{*this, true}, execution);
  pass.run([&](const Tile<T>& tile, const SoftmaxSums<T>& sums, auto&) {
    tile.kernels->unpack(sums.mean, sums.sum, tile.count, dim_, out + tile.first * dim_);
  });
}

template <class T>
void Network<T>::partial_update(const T* states, std::ptrdiff_t count, T* out, double* log_sums,
                                const Execution& execution) const {
  TilePass<T> pass(*this, states, count, SoftmaxAverage<T>{*this, true}, execution);
  pass.run([&](const Tile<T>& tile, const SoftmaxSums<T>& sums, auto&) {
    tile.kernels->unpack(sums.mean, sums.sum, tile.count, dim_, out + tile.first * dim_);
    for (std::ptrdiff_t b = 0; b < tile.count; ++b) log_sums[tile.first + b] = log_sum(sums, b);
  });
}

template <class T>
void Network<T>::weights(const T* states, std::ptrdiff_t count, T* out,
                         const Execution& execution) const {
  TilePass<T> pass(*this, states, count, SoftmaxAverage<T>{*this, false}, execution);
  pass.run([&](const Tile<T>& tile, const SoftmaxSums<T>& sums, auto& packed) {
    const std::ptrdiff_t lanes = tile.kernels->lanes;
    packed.other.reserve(pass.chunk_rows() * lanes + kernels::kTileSlack);
    for (std::ptrdiff_t c = 0; c < pass.chunks(); ++c) {
      const PatternBlock<T> block = pass.chunk(c);
      tile.kernels->weights(block, packed.queries.data(), sums, packed.other.data());
      for (std::ptrdiff_t b = 0; b < tile.count; ++b) {
        T* row = out + (tile.first + b) * n_ + c * pass.chunk_rows();
        for (std::ptrdiff_t i = 0; i < block.count; ++i) row[i] = packed.other[i * lanes + b];
      }
    }
  });
}

template <class T>
void Network<T>::energy(const T* states, std::ptrdiff_t count, T* out,
                        const Execution& execution) const {
  TilePass<T> pass(*this, states, count, SoftmaxAverage<T>{*this, false}, execution);
  pass.run([&](const Tile<T>& tile, const SoftmaxSums<T>& sums, auto&) {
    for (std::ptrdiff_t b = 0; b < tile.count; ++b) {
      const T* state = states + (tile.first + b) * dim_;
      double square = 0;
      for (std::ptrdiff_t k = 0; k < dim_; ++k)
        square += static_cast<double>(state[k]) * static_cast<double>(state[k]);
      out[tile.first + b] = static_cast<T>(square / 2 - log_sum(sums, b) / beta_);
    }
  });
}

template class AlignedArray<float>;
template class AlignedArray<double>;
template class AlignedArray<std::int16_t>;
template class Network<float>;
template class Network<double>;

}  // namespace hopfix
