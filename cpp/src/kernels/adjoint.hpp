// Reverse-mode derivatives of the softmax average over a tile of states and a block of patterns.
//
// With logits z = x . q, y = x . c and p = softmax(z):  g_i = p_i (y_i - sum_j p_j y_j).
// The block is visited twice: `forward` leaves its exponentials (relative to its own maximum) and
// y; when every block has been, its factor to global weights is known and `backward` takes over.
#pragma once

#include "exp.hpp"
#include "few_queries.hpp"
#include "table.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

template <class Shape>
struct AdjointTile {
  using T = typename Shape::Scalar;
  static constexpr std::ptrdiff_t lanes = Shape::lanes;
  static constexpr std::ptrdiff_t columns = 2 * kLanes<T>;

  static void forward(const PatternBlock<T>& block, const T* queries, const T* cotangents, T* e,
                      T* y, T* max, T* sum, T* product) {
    Shape::two_products(block.data, block.stride, block.count, block.dim, queries, cotangents, e, y,
                        block.count + block.following);
    for (std::ptrdiff_t b = 0; b < lanes; ++b) {
      max[b] = -__builtin_huge_valf();
      sum[b] = product[b] = T(0);
    }
    for (std::ptrdiff_t i = 0; i < block.count; ++i) {
      const T shift = block.log_weights == nullptr ? T(0) : block.log_weights[i];
      for (std::ptrdiff_t b = 0; b < lanes; ++b) {
        T& z = e[i * lanes + b];
        z += shift;
        max[b] = z > max[b] ? z : max[b];
      }
    }
    for (std::ptrdiff_t i = 0; i < block.count; ++i)
      for (std::ptrdiff_t b = 0; b < lanes; ++b) e[i * lanes + b] -= max[b];
    exponentiate(e, block.count * lanes);
    for (std::ptrdiff_t i = 0; i < block.count; ++i)
      for (std::ptrdiff_t b = 0; b < lanes; ++b) {
        sum[b] += e[i * lanes + b];
        product[b] += e[i * lanes + b] * y[i * lanes + b];
      }
  }

  // e := p = factor e, y := g = p (y - mean_product), and into those that are not nullptr:
  // state_gradient (dim * lanes) = sum_i g_i x_i, log_weight_gradient (rows) += sum over lanes.
  static void backward(const PatternBlock<T>& block, const T* factor, const T* mean_product, T* e,
                       T* y, T* state_gradient, T* log_weight_gradient) {
    for (std::ptrdiff_t i = 0; i < block.count; ++i)
      for (std::ptrdiff_t b = 0; b < lanes; ++b) {
        e[i * lanes + b] *= factor[b];
        y[i * lanes + b] = e[i * lanes + b] * (y[i * lanes + b] - mean_product[b]);
      }
    if (state_gradient != nullptr) {
      const T none[padded<T>(lanes)] = {};
      Shape::mix(block.data, block.stride, block.count, block.dim, y, none, state_gradient);
    }
    if (log_weight_gradient == nullptr) return;
    for (std::ptrdiff_t i = 0; i < block.count; ++i) {
      T sum = 0;
      for (std::ptrdiff_t b = 0; b < lanes; ++b) sum += y[i * lanes + b];
      log_weight_gradient[i] += sum;
    }
  }

  // gradient += p C + g Q for `count` states. Panel j holds the columns from j * columns on of
  // every state (C, Q) or of every pattern (gradient).
  static void add_outer(const T* p, const T* g, std::ptrdiff_t rows, std::ptrdiff_t count,
                        const T* cotangents, const T* queries, std::ptrdiff_t panels,
                        std::ptrdiff_t panel_stride, T* gradient) {
    ScaleAndAdd<T, 2> add;
    for (int v = 0; v < 2; ++v) add.scale[v] = broadcast(T(1));
    for (std::ptrdiff_t j = 0; j < panels; ++j) {
      T* to = gradient + j * rows * columns;
      tile_product<T, 2>(p, lanes, 1, rows, count, cotangents + j * panel_stride, to, add);
      tile_product<T, 2>(g, lanes, 1, rows, count, queries + j * panel_stride, to, add);
    }
  }

  static constexpr AdjointKernels<T> kernels() {
    return {lanes, columns, Shape::pack, forward, backward, add_outer};
  }

 private:
  static void exponentiate(T* z, std::ptrdiff_t count) {
    std::ptrdiff_t i = 0;
    for (; i + kLanes<T> <= count; i += kLanes<T>) store(z + i, exp<T>(load(z + i)));
    if (i == count) return;
    Vec<T> tail = {};
    const auto bytes = static_cast<std::size_t>(count - i) * sizeof(T);
    std::memcpy(&tail, z + i, bytes);
    tail = exp<T>(tail);
    std::memcpy(z + i, &tail, bytes);
  }
};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
