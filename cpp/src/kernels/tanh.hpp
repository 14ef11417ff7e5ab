// tanh and its building block expm1 for arguments <= 0, in double precision.
//
// Method: with exp's reduction y = n ln 2 + r and exp(r) = 1 + p, expm1(y) = 2^n p + (2^n - 1),
// which is p itself around zero; tanh x = -e / (2 + e), e = expm1(-2 |x|), with the sign of x.
//
// Accuracy: at most 4 ulp at every level (sampled by cpp/tests/test_exp.cpp), exact at zero, and
// within [-1, 1]; NaN stays NaN.
#pragma once

#include "exp.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

inline Vec<double> expm1_nonpositive(Vec<double> y) {
  using C = ExpConstants<double>;
  y = max(broadcast(-745.0), y);
  const Vec<double> shift = broadcast(C::round_shift);
  const Vec<double> shifted = fma(y, broadcast(C::log2e), shift);
  const Vec<double> n = shifted - shift;
  const Vec<double> r = fma(n, broadcast(-C::ln2_low), fma(n, broadcast(-C::ln2_high), y));
  constexpr int degree = sizeof(C::q) / sizeof(C::q[0]) - 1;
  Vec<double> q = broadcast(C::q[degree]);
#pragma GCC unroll 16
  for (int i = degree - 1; i >= 0; --i) q = fma(q, r, broadcast(C::q[i]));
  const Vec<double> p = fma(r * r, q, r), one = broadcast(1.0);
  return scale(p, n, shifted) + (scale(one, n, shifted) - one);
}

inline Vec<double> tanh(Vec<double> x) {
  const Vec<double> magnitude = x < 0 ? -x : x;
  const Vec<double> e = expm1_nonpositive(-2 * magnitude);
  const Vec<double> t = e / (e + 2.0);
  return x < 0 ? t : -t;
}

}  // namespace hopfix::kernels::HOPFIX_LEVEL
