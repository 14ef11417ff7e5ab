// The one matrix product of the retrieval kernels: C (rows x lanes) = A B with B a tile.
//
// A is read where it lies (any two strides), one scalar broadcast per fused multiply-add against
// V vectors of B. Each element of C is one sum over the depth in ascending order, whatever the
// position of its row or lane: that is what makes results independent of batch and threads, and
// why this product is not left to a general GEMM, whose order depends on shapes and edges.
#pragma once

#include "prefetch.hpp"
#include "simd.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

// Rows of C held in registers: with V = 2, twelve rows need 24 of the 32 registers of v4, six
// need 12 of 16 elsewhere.
#if defined(__AVX512F__)
inline constexpr int kRows = 12;
#else
inline constexpr int kRows = 6;
#endif

struct StoreProduct {
  template <class T>
  void operator()(T* c, Vec<T> product, int) const {
    store(c, product);
  }
};

// C = scale * C + A B with one scale per lane.
template <class T, int V>
struct ScaleAndAdd {
  Vec<T> scale[V];
  void operator()(T* c, Vec<T> product, int v) const { store(c, fma(load(c), scale[v], product)); }
};

// Prefetch: asks for the block of contiguous rows kPrefetchRows ahead, a share at every k.
template <class T, int V, int R, bool Prefetch, class Finish>
inline void row_block(const T* a, std::ptrdiff_t row_stride, std::ptrdiff_t depth_stride,
                      std::ptrdiff_t depth, const T* b, T* c, const Finish& finish) {
  constexpr int lanes = V * kLanes<T>;
  constexpr std::ptrdiff_t share = R * static_cast<std::ptrdiff_t>(sizeof(T));
  Vec<T> sum[R][V] = {};
  [[maybe_unused]] const T* ahead = a + kPrefetchRows * row_stride;
  for (std::ptrdiff_t k = 0; k < depth; ++k) {
    if constexpr (Prefetch) prefetch_lines(ahead + k * R, (share + kLineBytes - 1) / kLineBytes);
    Vec<T> bk[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) bk[v] = load(b + k * lanes + v * kLanes<T>);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const Vec<T> ark = broadcast(a[r * row_stride + k * depth_stride]);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sum[r][v] = fma(ark, bk[v], sum[r][v]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) finish(c + r * lanes + v * kLanes<T>, sum[r][v], v);
  }
}

// element (r, k) of A is a[r * row_stride + k * depth_stride]. Where the rows of A are contiguous,
// `reach` tells how many of them are wanted soon: those beyond `rows` are prefetched.
template <class T, int V, class Finish>
inline void tile_product(const T* a, std::ptrdiff_t row_stride, std::ptrdiff_t depth_stride,
                         std::ptrdiff_t rows, std::ptrdiff_t depth, const T* b, T* c,
                         const Finish& finish, std::ptrdiff_t reach = 0) {
  constexpr int lanes = V * kLanes<T>;
  std::ptrdiff_t r = 0;
  for (; r + kRows <= rows; r += kRows) {
    const auto block = r + kRows + kPrefetchRows <= reach ? row_block<T, V, kRows, true, Finish>
                                                          : row_block<T, V, kRows, false, Finish>;
    block(a + r * row_stride, row_stride, depth_stride, depth, b, c + r * lanes, finish);
  }
  for (; r + 4 <= rows; r += 4)
    row_block<T, V, 4, false>(a + r * row_stride, row_stride, depth_stride, depth, b, c + r * lanes,
                              finish);
  for (; r < rows; ++r)
    row_block<T, V, 1, false>(a + r * row_stride, row_stride, depth_stride, depth, b, c + r * lanes,
                              finish);
}

}  // namespace hopfix::kernels::HOPFIX_LEVEL
