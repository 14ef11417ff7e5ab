// The two ways to lay out a tile of queries, and the products that depend on it.
//
// Element k of query b is tile[k * lanes + b] in both. Wide: one vector lane per query, patterns
// broadcast; needs a batch. Few: one to four queries, patterns in the lanes, so that each is
// read once at the speed of memory. Both form every sum in the same order, so a result does not
// depend on which of them computed it.
#pragma once

#include "tile_product.hpp"
#include "transpose.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

inline std::ptrdiff_t least(std::ptrdiff_t a, std::ptrdiff_t b) { return a < b ? a : b; }

template <class T>
inline void store_some(T* to, Vec<T> v, std::ptrdiff_t width) {
  if (width == kLanes<T>)
    store(to, v);
  else
    std::memcpy(to, &v, static_cast<std::size_t>(width) * sizeof(T));
}

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

  // out[i * lanes + b] = x_i . q_b over ascending k.
  static void products(const T* x, std::ptrdiff_t stride, std::ptrdiff_t rows, std::ptrdiff_t dim,
                       const T* queries, T* out) {
    tile_product<T, V>(x, stride, 1, rows, dim, queries, out, StoreProduct{});
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

// Q queries, Q = 1 or 4.
template <class T, int Q>
struct Few {
  using Scalar = T;
  static constexpr std::ptrdiff_t lanes = Q;
  static constexpr std::ptrdiff_t W = kLanes<T>;

  static void products(const T* x, std::ptrdiff_t stride, std::ptrdiff_t rows, std::ptrdiff_t dim,
                       const T* queries, T* out) {
    std::ptrdiff_t i = 0;
    for (; i + kBlocks * W <= rows; i += kBlocks * W)
      products_of<kBlocks>(x + i * stride, stride, W, dim, queries, out + i * Q);
    for (; i < rows; i += W)
      products_of<1>(x + i * stride, stride, least(W, rows - i), dim, queries, out + i * Q);
  }

  static void mix(const T* x, std::ptrdiff_t stride, std::ptrdiff_t rows, std::ptrdiff_t dim,
                  const T* p, const T* scale, T* mean) {
    std::ptrdiff_t k = 0;
    if constexpr (Q == 1)
      for (; k + 8 * W <= dim; k += 8 * W)
        mix_block<8>(x + k, stride, rows, 8 * W, p, scale, mean + k * Q);
    for (; k + 4 * W <= dim; k += 4 * W)
      mix_block<4>(x + k, stride, rows, 4 * W, p, scale, mean + k * Q);
    for (; k < dim; k += W)
      mix_block<1>(x + k, stride, rows, least(W, dim - k), p, scale, mean + k * Q);
  }

  static void sum_rows(const T* p, std::ptrdiff_t rows, T* sum) {
    T part[4][Q] = {};
    for (std::ptrdiff_t i = 0; i < rows; ++i)
      for (int q = 0; q < Q; ++q) part[i & 3][q] += p[i * Q + q];
    for (std::ptrdiff_t l = 0; l < padded<T>(Q); ++l) {
      const std::ptrdiff_t q = l % Q;
      sum[l] = (part[0][q] + part[1][q]) + (part[2][q] + part[3][q]);
    }
  }

  static void pack(const T* rows, std::ptrdiff_t count, std::ptrdiff_t dim, T factor, T* tile) {
    for (std::ptrdiff_t k = 0; k < dim; ++k)
      for (std::ptrdiff_t b = 0; b < Q; ++b)
        tile[k * Q + b] = b < count ? rows[b * dim + k] * factor : T(0);
  }

  static void unpack(const T* tile, const T* divisor, std::ptrdiff_t count, std::ptrdiff_t dim,
                     T* rows) {
    for (std::ptrdiff_t b = 0; b < count; ++b) {
      const Vec<T> sum = broadcast(divisor[b]), inverse = broadcast(T(1)) / sum;
      for (std::ptrdiff_t k = 0; k < dim; k += W) {
        T column[W] = {};
        for (std::ptrdiff_t j = 0; j < least(W, dim - k); ++j) column[j] = tile[(k + j) * Q + b];
        store_some(rows + b * dim + k, divide<T>(load(column), sum, inverse), least(W, dim - k));
      }
    }
  }

 private:
  // A lone query's sums are one chain of additions for each vector of rows: two at a time overlap.
  static constexpr int kBlocks = Q == 1 ? 2 : 1;

  // B vectors of rows, of which `height` rows exist (fewer than a vector only with B = 1).
  template <int B>
  static void products_of(const T* x, std::ptrdiff_t stride, std::ptrdiff_t height,
                          std::ptrdiff_t dim, const T* queries, T* out) {
    Vec<T> sum[B][Q] = {};
    for (std::ptrdiff_t k = 0; k < dim; k += W) {
      const std::ptrdiff_t width = least(W, dim - k);
      for (int b = 0; b < B; ++b) {
        Vec<T> block[W];
        load_transposed<T>(x + b * W * stride + k, stride, height, width, block);
        if (width == W)
          add_columns<W>(block, queries + k * Q, sum[b]);
        else
          for (std::ptrdiff_t j = 0; j < width; ++j)
            add_column(block[j], queries + (k + j) * Q, sum[b]);
      }
    }
    for (int b = 0; b < B; ++b) {
      T result[Q][W];
      for (int q = 0; q < Q; ++q) store(result[q], sum[b][q]);
      for (std::ptrdiff_t r = 0; r < height; ++r)
        for (int q = 0; q < Q; ++q) out[(b * W + r) * Q + q] = result[q][r];
    }
  }

  static void add_column(Vec<T> column, const T* query, Vec<T> (&sum)[Q]) {
    for (int q = 0; q < Q; ++q) sum[q] = fma(column, broadcast(query[q]), sum[q]);
  }

  template <std::ptrdiff_t Count>
  static void add_columns(const Vec<T> (&block)[W], const T* queries, Vec<T> (&sum)[Q]) {
#pragma GCC unroll 16
    for (std::ptrdiff_t j = 0; j < Count; ++j) add_column(block[j], queries + j * Q, sum);
  }

  // V vectors of k, of which `width` numbers exist (fewer only with V = 1).
  template <int V>
  static void mix_block(const T* x, std::ptrdiff_t stride, std::ptrdiff_t rows,
                        std::ptrdiff_t width, const T* p, const T* scale, T* mean) {
    Vec<T> sum[V][Q] = {};
    for (std::ptrdiff_t i = 0; i < rows; ++i)
      for (int v = 0; v < V; ++v) {
        Vec<T> xi = {};
        if (width == V * W)
          xi = load(x + i * stride + v * W);
        else
          std::memcpy(&xi, x + i * stride, static_cast<std::size_t>(width) * sizeof(T));
        for (int q = 0; q < Q; ++q) sum[v][q] = fma(xi, broadcast(p[i * Q + q]), sum[v][q]);
      }
    // One query's numbers lie Q apart in the tile.
    for (int q = 0; q < Q; ++q) {
      T part[V * W], old[V * W];
      for (int v = 0; v < V; ++v) store(part + v * W, sum[v][q]);
      for (std::ptrdiff_t k = 0; k < V * W; ++k) old[k] = k < width ? mean[k * Q + q] : T(0);
      for (int v = 0; v < V; ++v)
        store(part + v * W, fma(load(old + v * W), broadcast(scale[q]), load(part + v * W)));
      for (std::ptrdiff_t k = 0; k < width; ++k) mean[k * Q + q] = part[k];
    }
  }
};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
