// Vectors of at most 256 bits, and rows transposed into them on their way from memory.
#pragma once

#include <utility>

#include "simd.hpp"

#if defined(__AVX2__)
#define HOPFIX_NARROW_BYTES 32
#else
#define HOPFIX_NARROW_BYTES 16
#endif

namespace hopfix::kernels::HOPFIX_LEVEL {

template <class T>
struct NarrowTypes;
template <>
struct NarrowTypes<float> {
  typedef float Value __attribute__((vector_size(HOPFIX_NARROW_BYTES)));
  typedef float Piece __attribute__((vector_size(16)));
};
template <>
struct NarrowTypes<double> {
  typedef double Value __attribute__((vector_size(HOPFIX_NARROW_BYTES)));
  typedef double Piece __attribute__((vector_size(16)));
};

template <class T>
using Narrow = typename NarrowTypes<T>::Value;
// 128 bits, the unit within which shuffles are cheap.
template <class T>
using Piece = typename NarrowTypes<T>::Piece;

template <class T>
inline constexpr int kNarrowLanes = HOPFIX_NARROW_BYTES / static_cast<int>(sizeof(T));
template <class T>
inline constexpr int kPieceLanes = 16 / static_cast<int>(sizeof(T));

template <class T>
inline Narrow<T> broadcast_narrow(T x) {
  return x - Narrow<T>{};
}

#if defined(__AVX512F__)  // elsewhere they are the vectors of simd.hpp
inline Narrow<float> fma(Narrow<float> a, Narrow<float> b, Narrow<float> c) {
  return _mm256_fmadd_ps(a, b, c);
}
inline Narrow<double> fma(Narrow<double> a, Narrow<double> b, Narrow<double> c) {
  return _mm256_fmadd_pd(a, b, c);
}
#endif

template <class T>
inline Narrow<T> load_narrow(const T* p) {
  Narrow<T> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
inline void store_narrow(T* p, Narrow<T> v) {
  std::memcpy(p, &v, sizeof v);
}

template <class T>
inline Piece<T> load_piece(const T* p) {
  Piece<T> piece;
  std::memcpy(&piece, p, sizeof piece);
  return piece;
}

inline Narrow<float> join([[maybe_unused]] Piece<float> a, [[maybe_unused]] Piece<float> b) {
#if HOPFIX_NARROW_BYTES == 32
  return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
#else
  return a;
#endif
}
inline Narrow<double> join([[maybe_unused]] Piece<double> a, [[maybe_unused]] Piece<double> b) {
#if HOPFIX_NARROW_BYTES == 32
  return __builtin_shufflevector(a, b, 0, 1, 2, 3);
#else
  return a;
#endif
}

// Lane l of the halves `High` of a and b, taken in turn in units of G within every 128 bits.
template <class T, int G, bool High>
constexpr int interleaved(int l) {
  constexpr int P = kPieceLanes<T>;
  const int unit = l % P / G;
  const int from = l / P * P + (unit / 2 + (High ? P / G / 2 : 0)) * G + l % G;
  return unit % 2 == 0 ? from : from + kNarrowLanes<T>;
}

template <class T, int G, std::size_t... L>
inline void interleave(Narrow<T>& a, Narrow<T>& b, std::index_sequence<L...>) {
  const Narrow<T> low = __builtin_shufflevector(a, b, interleaved<T, G, false>(int(L))...);
  const Narrow<T> high = __builtin_shufflevector(a, b, interleaved<T, G, true>(int(L))...);
  a = low;
  b = high;
}

template <class T, int G>
inline void interleave(Narrow<T>& a, Narrow<T>& b) {
  interleave<T, G>(a, b, std::make_index_sequence<kNarrowLanes<T>>());
}

// rows[r] holds a piece of row r and one of row r + P; then columns[j] their elements j.
inline void transpose_pieces(Narrow<float> (&v)[4]) {
  interleave<float, 1>(v[0], v[1]);
  interleave<float, 1>(v[2], v[3]);
  interleave<float, 2>(v[0], v[2]);
  interleave<float, 2>(v[1], v[3]);
  const Narrow<float> second = v[2];
  v[2] = v[1];
  v[1] = second;
}
inline void transpose_pieces(Narrow<double> (&v)[2]) { interleave<double, 1>(v[0], v[1]); }

// columns[j] = element j of each of as many rows as a vector has lanes.
template <class T>
inline void load_columns(const T* x, std::ptrdiff_t stride, Narrow<T> (&columns)[kPieceLanes<T>]) {
  constexpr int P = kPieceLanes<T>;
#pragma GCC unroll 4
  for (int r = 0; r < P; ++r)
    columns[r] =
        join(load_piece(x + r * stride), load_piece(x + (r + kNarrowLanes<T> - P) * stride));
  transpose_pieces(columns);
}

// The same where only `height` rows exist; the last one stands in for the others.
template <class T>
inline void load_columns(const T* x, std::ptrdiff_t stride, std::ptrdiff_t height,
                         Narrow<T> (&columns)[kPieceLanes<T>]) {
  constexpr int P = kPieceLanes<T>;
  const auto row = [&](std::ptrdiff_t r) { return x + (r < height ? r : height - 1) * stride; };
  for (int r = 0; r < P; ++r)
    columns[r] = join(load_piece(row(r)), load_piece(row(r + kNarrowLanes<T> - P)));
  transpose_pieces(columns);
}

}  // namespace hopfix::kernels::HOPFIX_LEVEL
