// tanh and its building block expm1 for arguments <= 0.
//
// Method: with exp's reduction y = n ln 2 + r and exp(r) = 1 + p, expm1(y) = 2^n p + (2^n - 1),
// which is p itself around zero; tanh x = -e / (2 + e), e = expm1(-2 |x|), with the sign of x.
//
// Accuracy: at most 4 ulp at every level (sampled by cpp/tests/test_exp.cpp), exact at zero, and
// within [-1, 1]; NaN stays NaN.
#pragma once

#include "exp.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

template <class V>
inline V expm1_nonpositive(V y) {
  using T = std::remove_reference_t<decltype(y[0])>;
  using C = ExpConstants<T>;
  y = max(broadcast<T>(C::lowest + 1), y);
  const V shift = broadcast<T>(C::round_shift);
  const V shifted = fma(y, broadcast<T>(C::log2e), shift);
  const V n = shifted - shift;
  const V r = fma(n, broadcast<T>(-C::ln2_low), fma(n, broadcast<T>(-C::ln2_high), y));
  constexpr int degree = sizeof(C::q) / sizeof(C::q[0]) - 1;
  V q = broadcast<T>(C::q[degree]);
#pragma GCC unroll 16
  for (int i = degree - 1; i >= 0; --i) q = fma(q, r, broadcast<T>(C::q[i]));
  const V p = fma(r * r, q, r), one = broadcast<T>(T(1));
  return scale(p, n, shifted) + (scale(one, n, shifted) - one);
}

template <class V>
inline V tanh(V x) {
  using T = std::remove_reference_t<decltype(x[0])>;
  const V magnitude = x < 0 ? -x : x;
  const V e = expm1_nonpositive(T(-2) * magnitude);
  const V t = e / (e + T(2));
  return x < 0 ? t : -t;
}

}  // namespace hopfix::kernels::HOPFIX_LEVEL
