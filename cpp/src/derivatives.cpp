// Jacobians of the update and products with them.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "hopfix/network.hpp"
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

namespace {

const kernels::GramKernels<float>& gram_kernels(float) { return *isa::table().gram32; }
const kernels::GramKernels<double>& gram_kernels(double) { return *isa::table().gram64; }

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
  for_each_weighted<T, T>(*this, states, count, within_reason(*this, count * dim_, execution),
                          [&](std::ptrdiff_t state, const std::vector<T>& a, std::ptrdiff_t live) {
                            gram_kernels(T()).columns(a.data(), live, dim_,
                                                      out + state * dim_ * dim_);
                          });
}

template <class T>
void Network<T>::spectral_radius(const T* states, std::ptrdiff_t count, T* out,
                                 const Execution& execution) const {
  for_each_weighted<T, double>(
      *this, states, count, within_reason(*this, count * dim_, execution),
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
