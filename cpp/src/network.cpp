#include "hopfix/network.hpp"

#include <algorithm>
#include <cmath>
#include <new>

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
  const Tiling<T>& t = pass.tiling();
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

template class AlignedArray<float>;
template class AlignedArray<double>;
template class Network<float>;
template class Network<double>;

}  // namespace hopfix
