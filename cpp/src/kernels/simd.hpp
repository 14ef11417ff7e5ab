// Vectors of one instruction-set level, as thin as the compiler's own vector extension.
//
// Every kernel translation unit is compiled once per level with HOPFIX_LEVEL set to that level's
// name and the matching compiler flags. Everything it defines lives in a namespace of that name,
// so that no inline function of one level can be linked in place of another's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

// Intrinsics of SSE4.2 and, where the level has them, AVX2 and AVX-512.
#if defined(__x86_64__) && !defined(HOPFIX_GENERIC)
#define HOPFIX_X86_64
#include <immintrin.h>
#endif

#ifdef __FAST_MATH__
#error "hopfix relies on IEEE arithmetic: do not compile it with -ffast-math"
#endif

#if defined(__AVX512F__)
#define HOPFIX_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define HOPFIX_VECTOR_BYTES 32
#else
#define HOPFIX_VECTOR_BYTES 16
#endif

namespace hopfix::kernels::HOPFIX_LEVEL {

template <class T>
struct VectorTypes;
template <>
struct VectorTypes<float> {
  typedef float Value __attribute__((vector_size(HOPFIX_VECTOR_BYTES)));
  typedef std::uint32_t Bits __attribute__((vector_size(HOPFIX_VECTOR_BYTES)));
};
template <>
struct VectorTypes<double> {
  typedef double Value __attribute__((vector_size(HOPFIX_VECTOR_BYTES)));
  typedef std::uint64_t Bits __attribute__((vector_size(HOPFIX_VECTOR_BYTES)));
};

template <class T>
using Vec = typename VectorTypes<T>::Value;
template <class T>
using Bits = typename VectorTypes<T>::Bits;

template <class T>
inline constexpr int kLanes = HOPFIX_VECTOR_BYTES / static_cast<int>(sizeof(T));

template <class T>
inline Vec<T> load(const T* p) {
  Vec<T> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// kLanes<double> numbers at p, as doubles.
inline Vec<double> widen(const double* p) { return load(p); }
inline Vec<double> widen(const float* p) {
#if defined(__AVX512F__)
  return _mm512_cvtps_pd(_mm256_loadu_ps(p));  // GCC 12 converts the halves one by one
#else
  typedef float Half __attribute__((vector_size(HOPFIX_VECTOR_BYTES / 2)));
  Half half;
  std::memcpy(&half, p, sizeof half);
  return __builtin_convertvector(half, Vec<double>);
#endif
}

template <class T>
inline void store(T* p, Vec<T> v) {
  std::memcpy(p, &v, sizeof v);
}

// The first `count` numbers at p, at most one vector of them, with zeros behind; and the same to p.
#if defined(__AVX512F__)
inline Vec<float> load_some(const float* p, std::ptrdiff_t count) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), p);
}
inline Vec<double> load_some(const double* p, std::ptrdiff_t count) {
  return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << count) - 1), p);
}
inline void store_some(float* p, Vec<float> v, std::ptrdiff_t count) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), v);
}
inline void store_some(double* p, Vec<double> v, std::ptrdiff_t count) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << count) - 1), v);
}
#else
template <class T>
inline Vec<T> load_some(const T* p, std::ptrdiff_t count) {
  if (count == kLanes<T>) return load(p);
  Vec<T> v = {};
  std::memcpy(&v, p, static_cast<std::size_t>(count) * sizeof(T));
  return v;
}
template <class T>
inline void store_some(T* p, Vec<T> v, std::ptrdiff_t count) {
  if (count == kLanes<T>) return store(p, v);
  std::memcpy(p, &v, static_cast<std::size_t>(count) * sizeof(T));
}
#endif

template <class T>
inline Vec<T> broadcast(T x) {
  return x - Vec<T>{};
}

// a * b + c: fused where the level has FMA (v3, v4), rounded twice elsewhere (v2, generic).
inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}

inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_pd(a, b, c);
#elif defined(__AVX2__)
  return _mm256_fmadd_pd(a, b, c);
#else
  return a * b + c;
#endif
}

// a / b given inverse = 1 / b, rounded as the division is wherever a remainder is not subnormal
// (Markstein 1990), at a fraction of its cost.
template <class T>
inline Vec<T> divide([[maybe_unused]] Vec<T> a, Vec<T> b, [[maybe_unused]] Vec<T> inverse) {
#if defined(__AVX2__)
  const Vec<T> quotient = a * inverse;
  return fma(fma(-quotient, b, a), inverse, quotient);
#else
  return a / b;
#endif
}

// The larger one; y where the two are unordered, so that max(bound, x) keeps a NaN in x.
template <class V>
inline V max(V x, V y) {
  return x > y ? x : y;
}
template <class V>
inline V min(V x, V y) {
  return x < y ? x : y;
}

}  // namespace hopfix::kernels::HOPFIX_LEVEL
