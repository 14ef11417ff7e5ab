// Softmax averages over tiles of queries, never holding more than one group of logits.
// Method: running maximum and sum (Milakov & Gimelshein 2018; the tiling of Dao et al. 2022).
#pragma once

#include "exp.hpp"
#include "table.hpp"
#include "tile_product.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

template <class T, int V>
struct SoftmaxTile {
  static constexpr std::ptrdiff_t lanes = V * kLanes<T>;

  static void logits(const PatternBlock<T>& block, std::ptrdiff_t first, std::ptrdiff_t rows,
                     const T* queries, T* out) {
    tile_product<T, V>(block.data + first * block.stride, block.stride, 1, rows, block.dim, queries,
                       out, StoreProduct{});
    if (block.log_weights == nullptr) return;
    for (std::ptrdiff_t i = 0; i < rows; ++i) {
      const Vec<T> shift = broadcast(block.log_weights[first + i]);
      for (int v = 0; v < V; ++v) {
        T* z = out + i * lanes + v * kLanes<T>;
        store(z, load(z) + shift);
      }
    }
  }

  // Raises the running maximum to cover the group, turns logits into exp(logit - max) and
  // returns in `scale` the factor that the sums so far must be multiplied by.
  static void exponentiate(T* z, std::ptrdiff_t rows, T* running_max, T* running_sum,
                           Vec<T> (&scale)[V]) {
    for (int v = 0; v < V; ++v) {
      T* lane = z + v * kLanes<T>;
      const Vec<T> before = load(running_max + v * kLanes<T>);
      Vec<T> top = before;
      for (std::ptrdiff_t i = 0; i < rows; ++i) top = max(load(lane + i * lanes), top);
      Vec<T> sum = {};
      for (std::ptrdiff_t i = 0; i < rows; ++i) {
        const Vec<T> p = exp<T>(load(lane + i * lanes) - top);
        store(lane + i * lanes, p);
        sum += p;
      }
      scale[v] = exp<T>(before - top);
      store(running_max + v * kLanes<T>, top);
      T* total = running_sum + v * kLanes<T>;
      store(total, fma(load(total), scale[v], sum));
    }
  }

  static void accumulate(const PatternBlock<T>& block, const T* queries, const SoftmaxSums<T>& sums,
                         T* scratch) {
    for (std::ptrdiff_t first = 0; first < block.count; first += kGroupRows) {
      const std::ptrdiff_t rows =
          block.count - first < kGroupRows ? block.count - first : kGroupRows;
      logits(block, first, rows, queries, scratch);
      ScaleAndAdd<T, V> rescale;
      exponentiate(scratch, rows, sums.max, sums.sum, rescale.scale);
      if (sums.mean != nullptr)
        tile_product<T, V>(block.data + first * block.stride, 1, block.stride, block.dim, rows,
                           scratch, sums.mean, rescale);
    }
  }

  static void merge(const SoftmaxSums<T>& into, const SoftmaxSums<T>& other, std::ptrdiff_t dim) {
    for (int v = 0; v < V; ++v) {
      const std::ptrdiff_t at = v * kLanes<T>;
      const Vec<T> a = load(into.max + at), b = load(other.max + at);
      const Vec<T> top = max(a, b);
      const Vec<T> scale_a = exp<T>(a - top), scale_b = exp<T>(b - top);
      store(into.max + at, top);
      store(into.sum + at, fma(load(into.sum + at), scale_a, load(other.sum + at) * scale_b));
      if (into.mean == nullptr) continue;
      for (std::ptrdiff_t k = 0; k < dim; ++k) {
        T* mean = into.mean + k * lanes + at;
        store(mean, fma(load(mean), scale_a, load(other.mean + k * lanes + at) * scale_b));
      }
    }
  }

  // The weights of one group of rows; `inverse_sum` is 1 / sum per lane.
  static void group_weights(const PatternBlock<T>& block, std::ptrdiff_t first, std::ptrdiff_t rows,
                            const T* queries, const SoftmaxSums<T>& sums, T* out) {
    logits(block, first, rows, queries, out);
    for (int v = 0; v < V; ++v) {
      const Vec<T> top = load(sums.max + v * kLanes<T>);
      const Vec<T> sum = load(sums.sum + v * kLanes<T>);
      for (std::ptrdiff_t i = 0; i < rows; ++i) {
        T* z = out + i * lanes + v * kLanes<T>;
        store(z, exp<T>(load(z) - top) / sum);
      }
    }
  }

  static void weights(const PatternBlock<T>& block, const T* queries, const SoftmaxSums<T>& sums,
                      T* out) {
    for (std::ptrdiff_t first = 0; first < block.count; first += kGroupRows) {
      const std::ptrdiff_t rows =
          block.count - first < kGroupRows ? block.count - first : kGroupRows;
      group_weights(block, first, rows, queries, sums, out + first * lanes);
    }
  }

  static void tangent(const PatternBlock<T>& block, const T* queries, const SoftmaxSums<T>& sums,
                      const T* tangents, const T* mean_product, T* derivative, T* scratch) {
    T* products = scratch + kGroupRows * lanes;
    ScaleAndAdd<T, V> add;
    for (int v = 0; v < V; ++v) add.scale[v] = broadcast(T(1));
    for (std::ptrdiff_t first = 0; first < block.count; first += kGroupRows) {
      const std::ptrdiff_t rows =
          block.count - first < kGroupRows ? block.count - first : kGroupRows;
      const T* group = block.data + first * block.stride;
      group_weights(block, first, rows, queries, sums, scratch);
      tile_product<T, V>(group, block.stride, 1, rows, block.dim, tangents, products,
                         StoreProduct{});
      for (std::ptrdiff_t i = 0; i < rows; ++i)
        for (int v = 0; v < V; ++v) {
          T* p = scratch + i * lanes + v * kLanes<T>;
          const Vec<T> product = load(products + i * lanes + v * kLanes<T>);
          store(p, load(p) * (product - load(mean_product + v * kLanes<T>)));
        }
      tile_product<T, V>(group, 1, block.stride, block.dim, rows, scratch, derivative, add);
    }
  }

  static constexpr TileKernels<T> kernels() { return {lanes, accumulate, merge, weights, tangent}; }
};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
