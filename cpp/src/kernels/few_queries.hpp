// Tiles of one to four queries: patterns in the lanes, each read once at the speed of memory.
//
// Layout and order of sums are those of wide_queries.hpp. A lane sums one pattern's product over
// ascending k, so that patterns are transposed on their way: a vector takes one 128-bit piece of
// each of two rows straight from memory, which leaves shuffles within 128 bits. Vectors of 256
// bits are the faster ones for that even where there are longer ones.
#pragma once

#include "narrow.hpp"
#include "wide_queries.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

// Q queries, Q = 1 or 4.
template <class T, int Q>
struct Few {
  using Scalar = T;
  static constexpr std::ptrdiff_t lanes = Q;
  static constexpr std::ptrdiff_t W = kLanes<T>;

  static void products(const T* x, std::ptrdiff_t stride, std::ptrdiff_t rows, std::ptrdiff_t dim,
                       const T* queries, T* out, std::ptrdiff_t reach) {
    products_with<1>(x, stride, rows, dim, reach, {queries}, {out});
  }

  // The same of two tiles, which share the transposed rows.
  static void two_products(const T* x, std::ptrdiff_t stride, std::ptrdiff_t rows,
                           std::ptrdiff_t dim, const T* queries, const T* others, T* out,
                           T* others_out, std::ptrdiff_t reach) {
    products_with<2>(x, stride, rows, dim, reach, {queries, others}, {out, others_out});
  }

  static void mix(const T* x, std::ptrdiff_t stride, std::ptrdiff_t rows, std::ptrdiff_t dim,
                  const T* p, const T* scale, T* mean) {
    std::ptrdiff_t k = 0;
    if constexpr (Q == 1)
      for (; k + 8 * W <= dim; k += 8 * W)
        mix_block<8>(x + k, stride, rows, 8 * W, p, scale, mean + k * Q);
    for (; k + 4 * W <= dim; k += 4 * W)
      mix_block<4>(x + k, stride, rows, 4 * W, p, scale, mean + k * Q);
    for (; k + 2 * W <= dim; k += 2 * W)
      mix_block<2>(x + k, stride, rows, 2 * W, p, scale, mean + k * Q);
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
  static constexpr std::ptrdiff_t N = kNarrowLanes<T>;
  static constexpr std::ptrdiff_t P = kPieceLanes<T>;

  // out[s] = products with queries[s], for S tiles of queries.
  template <int S>
  static void products_with(const T* x, std::ptrdiff_t stride, std::ptrdiff_t rows,
                            std::ptrdiff_t dim, std::ptrdiff_t reach, const T* const (&queries)[S],
                            T* const (&out)[S]) {
    // Vectors of rows at a time: every sum is one chain of additions, four of them overlap.
    constexpr int B = Q * S >= 4 ? 2 : 4;
    std::ptrdiff_t i = 0;
    // Rows a multiple of 2 KiB apart share few places in the L1 cache, and evict each other: each
    // of their lines is used up at once. Else taking turns often is better for the chains.
    const bool crowded = stride % (32 * kLine<T>) == 0;
    const auto block = crowded ? products_of<B, S, kLine<T>> : products_of<B, S, P>;
    for (; i + B * N <= rows; i += B * N)
      block(x, stride, i, B * N, dim, i + B * N + kPrefetchRows <= reach, queries, out);
    for (; i < rows; i += N)
      products_of<1, S, P>(x, stride, i, least(N, rows - i), dim, i + N + kPrefetchRows <= reach,
                           queries, out);
  }

  // Rows from `first` on, of which `height` exist (fewer than B vectors only with B = 1).
  // `Step` columns of a vector of rows are added before it is the next one's turn.
  template <int B, int S, int Step>
  static void products_of(const T* x, std::ptrdiff_t stride, std::ptrdiff_t first,
                          std::ptrdiff_t height, std::ptrdiff_t dim, bool prefetch,
                          const T* const (&queries)[S], T* const (&out)[S]) {
    Narrow<T> sum[B][S * Q] = {};
    x += first * stride;
    const auto add_column = [&](int b, Narrow<T> column, std::ptrdiff_t k) {
#pragma GCC unroll 2
      for (int s = 0; s < S; ++s)
#pragma GCC unroll 4
        for (int q = 0; q < Q; ++q)
          sum[b][s * Q + q] =
              fma(column, broadcast_narrow(queries[s][k * Q + q]), sum[b][s * Q + q]);
    };
    const auto add_piece = [&](int b, std::ptrdiff_t k) {
      Narrow<T> columns[P];
      if (B > 1 || height == N)
        load_columns<T>(x + b * N * stride + k, stride, columns);
      else
        load_columns<T>(x + k, stride, height, columns);
#pragma GCC unroll 4
      for (int j = 0; j < P; ++j) add_column(b, columns[j], k + j);
    };
    std::ptrdiff_t k = 0;
    for (; k + Step <= dim; k += Step) {
      if (prefetch) prefetch_lines(x + kPrefetchRows * stride + B * N * k, B * N * Step / kLine<T>);
#pragma GCC unroll 4
      for (int b = 0; b < B; ++b)
#pragma GCC unroll 8
        for (int j = 0; j < Step; j += P) add_piece(b, k + j);
    }
    for (; k + P <= dim; k += P)
#pragma GCC unroll 4
      for (int b = 0; b < B; ++b) add_piece(b, k);
    for (; k < dim; ++k)
      for (int b = 0; b < B; ++b) {
        Narrow<T> column = {};
        for (std::ptrdiff_t r = 0; r < least(N, height); ++r)
          column[r] = x[(b * N + r) * stride + k];
        add_column(b, column, k);
      }
    for (int b = 0; b < B; ++b)
      for (int s = 0; s < S; ++s) {
        T* to = out[s] + (first + b * N) * Q;
        if (Q == 1 && B > 1)
          std::memcpy(to, &sum[b][s], sizeof(Narrow<T>));
        else
          for (int q = 0; q < Q; ++q)
            for (std::ptrdiff_t r = 0; r < least(N, height); ++r)
              to[r * Q + q] = sum[b][s * Q + q][r];
      }
  }

  // V vectors of k, of which `width` numbers exist (fewer only with V = 1).
  template <int V>
  static void mix_block(const T* x, std::ptrdiff_t stride, std::ptrdiff_t rows,
                        std::ptrdiff_t width, const T* p, const T* scale, T* mean) {
    Vec<T> sum[V][Q] = {};
    for (std::ptrdiff_t i = 0; i < rows; ++i)
      for (int v = 0; v < V; ++v) {
        const Vec<T> xi =
            width == V * W ? load(x + i * stride + v * W) : load_some(x + i * stride, width);
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
