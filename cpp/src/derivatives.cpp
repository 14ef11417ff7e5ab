// Jacobians of the update and products with them.
#include <algorithm>
#include <vector>

#include "hopfix/network.hpp"
#include "normal_matrix.hpp"
#include "state_softmax.hpp"
#include "tile_pass.hpp"

namespace hopfix {

template <class T>
void Network<T>::jvp(const T* states, const T* tangents, std::ptrdiff_t count, T* out,
                     const Execution& execution) const {
  TilePass<T> pass(*this, states, count, true, execution);
  pass.run([&](const Tile<T>& tile, const T* queries, const SoftmaxSums<T>& sums, auto& w) {
    const std::ptrdiff_t lanes = tile.kernels->lanes, width = tile.kernels->width;
    const std::ptrdiff_t size = dim_ * lanes + kernels::kTileSlack;
    w.extra.reserve(2 * size + 2 * width);
    T* packed = w.extra.data();
    T* derivative = packed + size;
    T* mean_product = derivative + size;
    T* ones = mean_product + width;
    tile.kernels->pack(tangents + tile.first * dim_, tile.count, dim_, T(1), packed);
    std::fill_n(derivative, size, T(0));
    std::fill_n(ones, width, T(1));
    std::fill_n(mean_product, width, T(0));
    for (std::ptrdiff_t k = 0; k < dim_; ++k)
      for (std::ptrdiff_t b = 0; b < lanes; ++b)
        mean_product[b] += sums.mean[k * lanes + b] / sums.sum[b] * packed[k * lanes + b];
    for (std::ptrdiff_t b = lanes; b < width; ++b) mean_product[b] = mean_product[b % lanes];
    w.scratch.reserve(2 * kernels::kGroupRows * width);
    for (std::ptrdiff_t c = 0; c < pass.chunks(); ++c)
      tile.kernels->tangent(pass.chunk(c), queries, sums, packed, mean_product, derivative,
                            w.scratch.data());
    T* rows = out + tile.first * dim_;
    tile.kernels->unpack(derivative, ones, tile.count, dim_, rows);
    for (std::ptrdiff_t k = 0; k < tile.count * dim_; ++k) rows[k] *= static_cast<T>(beta_);
  });
}

template <class T>
void Network<T>::jacobian(const T* states, std::ptrdiff_t count, T* out,
                          const Execution& execution) const {
  for_each_state(*this, states, count, within_reason(*this, count * dim_, execution),
                 [&](std::ptrdiff_t s, StateSoftmax<T>& softmax, const Execution& inner) {
                   softmax.covariance(inner, out + s * dim_ * dim_);
                 });
}

template <class T>
void Network<T>::spectral_radius(const T* states, std::ptrdiff_t count, T* out,
                                 const Execution& execution) const {
  // Of the estimated error, which the documented accuracy exceeds by far.
  const double tolerance = sizeof(T) == sizeof(float) ? 1e-8 : 1e-10;
  for_each_state(*this, states, count, within_reason(*this, count * dim_, execution),
                 [&](std::ptrdiff_t s, StateSoftmax<T>& softmax, const Execution& inner) {
                   std::vector<double> rows;
                   const std::ptrdiff_t live = softmax.weighted_rows(rows);
                   const NormalMatrix matrix(rows.data(), live, dim_);
                   out[s] = static_cast<T>(largest_eigenvalue(matrix, tolerance, inner));
                 });
}

// The members defined here; the class is instantiated in network.cpp.
template void Network<float>::jvp(const float*, const float*, std::ptrdiff_t, float*,
                                  const Execution&) const;
template void Network<float>::jacobian(const float*, std::ptrdiff_t, float*,
                                       const Execution&) const;
template void Network<float>::spectral_radius(const float*, std::ptrdiff_t, float*,
                                              const Execution&) const;
template void Network<double>::jvp(const double*, const double*, std::ptrdiff_t, double*,
                                   const Execution&) const;
template void Network<double>::jacobian(const double*, std::ptrdiff_t, double*,
                                        const Execution&) const;
template void Network<double>::spectral_radius(const double*, std::ptrdiff_t, double*,
                                               const Execution&) const;

}  // namespace hopfix
