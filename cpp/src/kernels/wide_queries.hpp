// Tiles of many queries, one vector lane per query, and the products that depend on the layout.
//
// Element k of query b is tile[k * lanes + b], here and in few_queries.hpp. Every sum is formed in
// the same order in both, so a result does not depend on which of them computed it.
#pragma once

#include "tile_product.hpp"
#include "transpose.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

inline std::ptrdiff_t least(std::ptrdiff_t a, std::ptrdiff_t b) { return a < b ? a : b; }

// Numbers per lane (maxima, sums, scales) are kept for at least one whole vector: with fewer
// lanes than that they repeat.
template <class T>
constexpr std::ptrdiff_t padded(std::ptrdiff_t lanes) {
  return lanes > kLanes<T> ? lanes : kLanes<T>;
}

// V vectors of queries.
template <class T, int V>
struct Wide {
  using Scalar = T;
  static constexpr std::ptrdiff_t lanes = V * kLanes<T>;

  // out[i * lanes + b] = x_i . q_b over ascending k; for `reach` see tile_product.
  static void products(const T* x, std::ptrdiff_t stride, std::ptrdiff_t rows, std::ptrdiff_t dim,
                       const T* queries, T* out, std::ptrdiff_t reach) {
    tile_product<T, V>(x, stride, 1, rows, dim, queries, out, StoreProduct{}, reach);
  }

  // The same of two tiles.
  static void two_products(const T* x, std::ptrdiff_t stride, std::ptrdiff_t rows,
                           std::ptrdiff_t dim, const T* queries, const T* others, T* out,
                           T* others_out, std::ptrdiff_t reach) {
    products(x, stride, rows, dim, queries, out, reach);
    products(x, stride, rows, dim, others, others_out, 0);
  }

  // mean[k * lanes + b] = scale_b mean[...] + sum_i p_i x_ik over ascending i.
  static void mix(const T* x, std::ptrdiff_t stride, std::ptrdiff_t rows, std::ptrdiff_t dim,
                  const T* p, const T* scale, T* mean) {
    ScaleAndAdd<T, V> finish;
    for (int v = 0; v < V; ++v) finish.scale[v] = load(scale + v * kLanes<T>);
    tile_product<T, V>(x, 1, stride, dim, rows, p, mean, finish);
  }

  // Column sums, rows taken in turn by four running sums.
  static void sum_rows(const T* p, std::ptrdiff_t rows, T* sum) {
    for (int v = 0; v < V; ++v) {
      const T* lane = p + v * kLanes<T>;
      Vec<T> part[4] = {};
      std::ptrdiff_t i = 0;
      for (; i + 4 <= rows; i += 4)
        for (int j = 0; j < 4; ++j) part[j] += load(lane + (i + j) * lanes);
      for (int j = 0; i < rows; ++i, ++j) part[j] += load(lane + i * lanes);
      store(sum + v * kLanes<T>, (part[0] + part[1]) + (part[2] + part[3]));
    }
  }

  static void pack(const T* rows, std::ptrdiff_t count, std::ptrdiff_t dim, T factor, T* tile) {
    constexpr std::ptrdiff_t W = kLanes<T>;
    for (std::ptrdiff_t b = 0; b < lanes; b += W)
      for (std::ptrdiff_t k = 0; k < dim; k += W) {
        Vec<T> block[W];
        const std::ptrdiff_t height = count > b ? least(W, count - b) : 0;
        const std::ptrdiff_t width = least(W, dim - k);
        load_transposed<T>(rows + b * dim + k, dim, height, width, block);
        for (std::ptrdiff_t j = 0; j < width; ++j)
          store(tile + (k + j) * lanes + b, block[j] * broadcast(factor));
      }
  }

  static void unpack(const T* tile, const T* divisor, std::ptrdiff_t count, std::ptrdiff_t dim,
                     T* rows) {
    constexpr std::ptrdiff_t W = kLanes<T>;
    for (std::ptrdiff_t b = 0; b < count; b += W) {
      const Vec<T> sum = load(divisor + b), inverse = broadcast(T(1)) / sum;
      for (std::ptrdiff_t k = 0; k < dim; k += W) {
        Vec<T> block[W] = {};
        const std::ptrdiff_t width = least(W, dim - k), height = least(W, count - b);
        for (std::ptrdiff_t j = 0; j < width; ++j)
          block[j] = divide<T>(load(tile + (k + j) * lanes + b), sum, inverse);
        transpose<T>(block);
        for (std::ptrdiff_t r = 0; r < height; ++r)
          store_some(rows + (b + r) * dim + k, block[r], width);
      }
    }
  }
};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
