// Square blocks of a row-major matrix, transposed in registers.
#pragma once

#include <utility>

#include "simd.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

// One step of the butterfly: swaps the off-diagonal blocks of S x S of two rows S apart.
template <class T, int S, std::size_t... L>
inline void exchange(Vec<T>& a, Vec<T>& b, std::index_sequence<L...>) {
  constexpr int lanes = kLanes<T>;
  const Vec<T> low = __builtin_shufflevector(a, b, (L & S ? int(L) - S + lanes : int(L))...);
  const Vec<T> high = __builtin_shufflevector(a, b, (L & S ? int(L) + lanes : int(L) + S)...);
  a = low;
  b = high;
}

template <class T, int S>
inline void transpose_from(Vec<T> (&rows)[kLanes<T>]) {
  if constexpr (S < kLanes<T>) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<T>; ++i)
      if ((i & S) == 0) exchange<T, S>(rows[i], rows[i + S], std::make_index_sequence<kLanes<T>>());
    transpose_from<T, 2 * S>(rows);
  }
}

// rows[i][j] <-> rows[j][i].
template <class T>
inline void transpose(Vec<T> (&rows)[kLanes<T>]) {
  transpose_from<T, 1>(rows);
}

// The transpose of `height` rows of `width` numbers (both at most one vector); zeros elsewhere.
template <class T>
inline void load_transposed(const T* x, std::ptrdiff_t stride, std::ptrdiff_t height,
                            std::ptrdiff_t width, Vec<T> (&columns)[kLanes<T>]) {
  constexpr int lanes = kLanes<T>;
  if (width == lanes) {
#pragma GCC unroll 16
    for (std::ptrdiff_t r = 0; r < lanes; ++r)
      columns[r] = r < height ? load(x + r * stride) : Vec<T>{};
  } else {
#pragma GCC unroll 16
    for (std::ptrdiff_t r = 0; r < lanes; ++r)
      columns[r] = r < height ? load_some(x + r * stride, width) : Vec<T>{};
  }
  transpose<T>(columns);
}

}  // namespace hopfix::kernels::HOPFIX_LEVEL
