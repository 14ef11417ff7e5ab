// exp for the exponents a softmax meets, x <= 0, and for any.
//
// Method: n = round(x / ln 2), r = x - n ln 2 by Cody and Waite (1980) in two parts, then
// exp(r) = 1 + r + r^2 q(r) with q minimax (Remez) on |r| <= 1.0005 (ln 2)/2: relative error
// 2^-28.3 (float, degree 4) and 2^-57.9 (double, degree 9).
//
// Accuracy: at most 1.5 ulp over the whole normal range at every level (swept exhaustively for
// float and sampled for double by cpp/tests/test_exp.cpp). exp(-inf) = 0, exp(0) = 1, NaN stays
// NaN.
#pragma once

#include <type_traits>

#include "simd.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

template <class T>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  static constexpr float log2e = 1.44269504f;
  static constexpr float ln2_high = 0.693359375f;  // 9 bits: n * ln2_high is exact
  static constexpr float ln2_low = -2.12194440e-4f;
  static constexpr float round_shift = 12582912.0f;  // 1.5 * 2^23
  static constexpr float lowest = -104.0f;           // exp rounds to zero from here down
  static constexpr float highest = 89.0f;            // exp overflows from here up
  static constexpr int mantissa_bits = 23;
  static constexpr std::uint32_t exponent_bias = 127;
  static constexpr float q[] = {0.4999999343f, 0.1666652092f, 0.04166839816f, 0.008368682041f,
                                0.001381362984f};
};

template <>
struct ExpConstants<double> {
  static constexpr double log2e = 1.4426950408889634;
  static constexpr double ln2_high = 6.93147180369123816490e-01;  // 32 trailing zero bits
  static constexpr double ln2_low = 1.90821492927058770002e-10;
  static constexpr double round_shift = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double lowest = -746.0;
  static constexpr double highest = 710.0;
  static constexpr int mantissa_bits = 52;
  static constexpr std::uint64_t exponent_bias = 1023;
  static constexpr double q[] = {0.5000000000000010562,     0.1666666666666641087,
                                 0.04166666666653078349,    0.008333333333495987495,
                                 0.001388888894344798576,   0.0001984126950226457837,
                                 0.00002480149330390908742, 2.755759112520965551e-6,
                                 2.763017001216131028e-7,   2.499827483109454662e-8};
};

#if defined(__AVX512F__)

// value 2^n, rounded once where it is subnormal.
inline Vec<float> scale(Vec<float> value, Vec<float> n, Vec<float>) {
  return _mm512_scalef_ps(value, n);
}
inline Vec<double> scale(Vec<double> value, Vec<double> n, Vec<double>) {
  return _mm512_scalef_pd(value, n);
}

#else

template <class T>
inline Vec<T> power_of_two(Bits<T> n) {
  const Bits<T> bits = (n + ExpConstants<T>::exponent_bias) << ExpConstants<T>::mantissa_bits;
  Vec<T> value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// value 2^n; n is also in the low bits of `shifted` = n + round_shift. In two factors, so that
// results in the subnormal range are rounded, not flushed.
template <class V>
inline V scale(V value, V, V shifted) {
  using T = std::remove_reference_t<decltype(value[0])>;
  using C = ExpConstants<T>;
  const V shift = broadcast<T>(C::round_shift);
  Bits<T> exponent, base;
  std::memcpy(&exponent, &shifted, sizeof exponent);
  std::memcpy(&base, &shift, sizeof base);
  exponent -= base;
  // n is negative and held modulo 2^bits: shift it up before halving, since v3 has no 64-bit
  // arithmetic shift.
  const Bits<T> half = ((exponent + 2 * C::exponent_bias) >> 1) - C::exponent_bias;
  return value * power_of_two<T>(half) * power_of_two<T>(exponent - half);
}

#endif

template <class T>
inline Vec<T> exp(Vec<T> x) {
  using C = ExpConstants<T>;
  x = max(broadcast<T>(C::lowest), x);
  const Vec<T> shift = broadcast<T>(C::round_shift);
  const Vec<T> shifted = fma(x, broadcast<T>(C::log2e), shift);
  const Vec<T> n = shifted - shift;
  const Vec<T> r = fma(n, broadcast<T>(-C::ln2_low), fma(n, broadcast<T>(-C::ln2_high), x));
  constexpr int degree = sizeof(C::q) / sizeof(C::q[0]) - 1;
  Vec<T> q = broadcast<T>(C::q[degree]);
#pragma GCC unroll 16
  for (int i = degree - 1; i >= 0; --i) q = fma(q, r, broadcast<T>(C::q[i]));
  const Vec<T> value = fma(r * r, q, r) + broadcast<T>(T(1));
  return scale(value, n, shifted);
}

// The same for x of either sign; +inf where it overflows.
template <class T>
inline Vec<T> exp_any(Vec<T> x) {
  return exp<T>(min(broadcast<T>(ExpConstants<T>::highest), x));
}

}  // namespace hopfix::kernels::HOPFIX_LEVEL
