// The update on a short list of patterns, where they lie, for one query; memory of one thread.
#pragma once

#include "screening.hpp"

namespace hopfix {

template <class T>
class ShortList {
 public:
  // extra: one more number for each pattern, whose average is wanted.
  void choose(const Network<T>& network, const T* extra, const GroupList& groups) {
    network_ = &network;
    blocks_.clear();
    const T* log_weights = network.log_weights().empty() ? nullptr : network.log_weights().data();
    for (std::size_t a = 0, b = 0; a < groups.size(); a = b) {
      while (b < groups.size() && groups[b] - groups[a] == static_cast<std::int32_t>(b - a)) ++b;
      const std::ptrdiff_t first = groups[a] * kernels::kScreenRows;
      const std::ptrdiff_t last = (groups[b - 1] + 1) * kernels::kScreenRows;
      blocks_.push_back({network.patterns().data() + first * network.dim(), network.dim(),
                         std::min(last, network.size()) - first, network.dim(),
                         log_weights == nullptr ? nullptr : log_weights + first, extra + first});
    }
  }

  // moved = the update of the state by the listed patterns; returns the sums it is made of.
  SoftmaxSums<T> update(const T* state, T* moved) {
    const TileKernels<T>& kernels = tile_kernels(T())[0];
    const std::ptrdiff_t dim = network_->dim(), width = kernels.width;
    query_.reserve(dim + kernels::kTileSlack);
    sums_.reserve(3 * width + dim + kernels::kTileSlack);
    scratch_.reserve(kernels::kMostGroupRows * width);
    const SoftmaxSums<T> sums = {sums_.data(), sums_.data() + width, sums_.data() + 3 * width,
                                 sums_.data() + 2 * width};
    std::fill_n(sums.max, width, -std::numeric_limits<T>::infinity());
    std::fill_n(sums.sum, 2 * width + dim, T(0));
    kernels.pack(state, 1, dim, static_cast<T>(network_->beta()), query_.data());
    for (const PatternBlock<T>& block : blocks_)
      kernels.accumulate(block, query_.data(), sums, scratch_.data());
    kernels.unpack(sums.mean, sums.sum, 1, dim, moved);
    return sums;
  }

 private:
  const Network<T>* network_ = nullptr;
  std::vector<PatternBlock<T>> blocks_;  // runs of neighbouring groups
  AlignedArray<T> query_, sums_, scratch_;
};

}  // namespace hopfix
