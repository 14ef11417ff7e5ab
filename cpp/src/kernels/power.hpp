// y^e for 0 < y <= 1 and e > 0, as exp(e log y) with the exponent carried in twice the precision.
//
// log: y = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), s = f / (2 + f) and
//   log(1 + f) = f - (f^2/2 - s (f^2/2 + R(s^2))),
// R minimax to 2^-58.45 (fdlibm's e_log.c, Sun Microsystems 1993). Here k ln 2 + f is kept exactly
// and only the rest, below 0.09, is rounded: the absolute error is under 0.25 * 2^-53 near y = 1
// and under 2^-53 * (0.25 + 2^-40 |log y|) elsewhere.
//
// Accuracy of y^e: about (1.5 + 0.25 e) ulp, however large e |log y| is.
#pragma once

#include "exp.hpp"
#include "pair.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

// log(2^-scale y) + tail for normal y > 0: `tail` is what y leaves out, relative to y.
inline Pair log(Vec<double> y, Vec<double> tail, int scale) {
  constexpr std::uint64_t root_half = 0x3FE6A09E667F3BCDu, one = 0x3FF0000000000000u;
  constexpr std::uint64_t mantissa = 0x000FFFFFFFFFFFFFu, two_52 = 0x4330000000000000u;
  constexpr double ln2_high = 6.93147180369123816490e-01;  // 32 trailing zero bits
  constexpr double ln2_low = 1.90821492927058770002e-10;
  constexpr double c[] = {6.666666666666735130e-01, 3.999999999940941908e-01,
                          2.857142874366239149e-01, 2.222219843214978396e-01,
                          1.818357216161805012e-01, 1.531383769920937332e-01,
                          1.479819860511658591e-01};
  Bits<double> bits;
  std::memcpy(&bits, &y, sizeof bits);
  bits += one - root_half;
  const Bits<double> exponent = (bits >> 52) | two_52;  // the number 2^52 + 1023 + k
  const Bits<double> reduced = (bits & mantissa) + root_half;
  Vec<double> k, m;
  std::memcpy(&k, &exponent, sizeof k);
  std::memcpy(&m, &reduced, sizeof m);
  k -= 4503599627370496.0 + 1023.0 + scale;
  const Vec<double> f = m - 1.0, s = f / (f + 2.0), z = s * s, half_square = 0.5 * f * f;
  Vec<double> r = broadcast(c[6]);
#pragma GCC unroll 8
  for (int i = 5; i >= 0; --i) r = fma(r, z, broadcast(c[i]));
  const Vec<double> rest = s * fma(r, z, half_square) - half_square;
  const Pair head = quick_two_sum(k * ln2_high, f);
  return quick_two_sum(head.hi, head.lo + (fma(k, broadcast(ln2_low), rest) + tail));
}

// The exponent 1/a, good to twice the precision.
struct Exponent {
  double hi, lo;
};

inline Exponent reciprocal(double a) {
  const double hi = 1 / a;
  const Pair product = two_product(broadcast(hi), broadcast(a));
  return {hi, ((1 - product.hi[0]) - product.lo[0]) * hi};
}

// (2^-scale (y + tail y))^e.
inline Vec<double> power(Vec<double> y, Vec<double> tail, Exponent e, int scale = 0) {
  const Pair logarithm = log(y, tail, scale);
  const Pair product = two_product(logarithm.hi, broadcast(e.hi));
  const Vec<double> low =
      product.lo + fma(logarithm.hi, broadcast(e.lo), logarithm.lo * broadcast(e.hi));
  const Vec<double> value = exp<double>(product.hi);
  return fma(value, low, value);
}

}  // namespace hopfix::kernels::HOPFIX_LEVEL
