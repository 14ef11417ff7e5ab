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
  TilePass pass(*this, states, count, true, execution);
  const Tiling<T>& t = pass.tiling();
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
