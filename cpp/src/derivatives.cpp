// Jacobians of the update and products with them.
#include <algorithm>
#include <vector>

#include "hopfix/network.hpp"
#include "normal_matrix.hpp"
#include "state_softmax.hpp"
#include "tile_pass.hpp"

namespace hopfix {

namespace {

using kernels::TangentSums;

// One chunk of few patterns, which saves the sums that merging takes. Else chunks that the L2 cache
// holds beside their logits and products with tangents, since patterns are read twice.
template <class T>
struct TangentAverage {
  using Sums = TangentSums<T>;

  const Network<T>& network;
  const T* tangents;
  static constexpr const T* extra = nullptr;

  Chunks chunks() const {
    constexpr std::ptrdiff_t kMost = 16 * kernels::kGroupRows, kBytes = 1 << 19;
    const std::ptrdiff_t row = network.dim() * static_cast<std::ptrdiff_t>(sizeof(T));
    const std::ptrdiff_t most =
        network.size() <= kMost ? kMost : std::clamp(kBytes / row, 2 * kernels::kGroupRows, kMost);
    const std::ptrdiff_t even = divide_up(network.size(), divide_up(network.size(), most));
    return {network.size(), divide_up(even, kernels::kGroupRows) * kernels::kGroupRows};
  }
  bool merges() const { return chunks().count > 1; }
  std::ptrdiff_t panel(const TileKernels<T>& kernels) const {
    return divide_up(network.dim() * kernels.lanes + kernels::kTileSlack, 16) * 16;
  }
  std::ptrdiff_t size(const TileKernels<T>& kernels) const {
    return (merges() ? 2 : 1) * panel(kernels) + 3 * kernels.width;
  }
  Sums at(const TileKernels<T>& kernels, T* data) const {
    T* derivative = data + 3 * kernels.width;
    return {data, data + kernels.width, data + 2 * kernels.width, derivative,
            merges() ? derivative + panel(kernels) : nullptr};
  }
  void pack(const Tile<T>& tile, PackedTile<T>& packed) const {
    packed.other.reserve(network.dim() * tile.kernels->lanes);
    tile.kernels->pack(tangents + tile.first * network.dim(), tile.count, network.dim(), T(1),
                       packed.other.data());
  }
  std::ptrdiff_t scratch(const TileKernels<T>& kernels) const {
    return kernels.tangent_scratch(chunks().rows);
  }
  void sum(const TileKernels<T>& kernels, const PatternBlock<T>& block, const PackedTile<T>& packed,
           const Sums& sums, T* scratch) const {
    kernels.tangent(block, packed.queries.data(), packed.other.data(), sums, scratch);
  }
  void merge(const TileKernels<T>& kernels, const Sums& into, const Sums& other) const {
    kernels.merge_tangent(into, other, network.dim());
  }
};

}  // namespace

template <class T>
void Network<T>::jvp(const T* states, const T* tangents, std::ptrdiff_t count, T* out,
                     const Execution& execution) const {
  TilePass pass(*this, states, count, TangentAverage<T>{*this, tangents}, execution);
  pass.run([&](const Tile<T>& tile, const TangentSums<T>& sums, auto&) {
    T* rows = out + tile.first * dim_;
    tile.kernels->unpack(sums.derivative, sums.sum, tile.count, dim_, rows);
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
                   const bool dense = std::min(softmax.live(), dim_) <= kDenseEigenvalue;
                   out[s] =
                       static_cast<T>(dense ? largest_eigenvalue(softmax.normal_matrix())
                                            : largest_eigenvalue(softmax.map(inner), tolerance));
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
