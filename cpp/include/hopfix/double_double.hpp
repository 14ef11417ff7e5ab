// Double-double arithmetic: an unevaluated sum hi + lo of two doubles with |lo| <= ulp(hi) / 2,
// which carries 106 bits where a double carries 53.
//
// Error bounds are relative, with u = 2^-53, and hold while nothing overflows or underflows: every
// operand and result between 2^-900 and 2^990 in magnitude, or zero.
//
//   two_sum, quick_two_sum, two_prod   exact
//   DoubleDouble + double              2 u^2
//   DoubleDouble + DoubleDouble        3 u^2 + 13 u^3
//   DoubleDouble * double              1.5 u^2 + 4 u^3
//   DoubleDouble * DoubleDouble        7 u^2
//   DoubleDouble / DoubleDouble        15 u^2 + 56 u^3
//   phi2_series(x), |x| <= 0.35        12 u^2
//   exp(x), -600 <= x <= 600           (20 + 4 |x|) u^2
//
// The products are Dekker's, without fma: the same bits on every machine.
//
// Sources: Dekker, "A floating-point technique for extending the available precision" (1971); Hida,
// Li and Bailey, "Algorithms for quad-double precision floating point arithmetic" (2001); Joldes,
// Muller and Popescu, "Tight and rigorous error bounds for basic building blocks of double-word
// arithmetic" (2017), whose algorithms 4, 6, 7, 10 and 17 the operators are.
#pragma once

#include <array>
#include <cfloat>
#include <cmath>
#include <cstddef>

#ifdef __FAST_MATH__
#error "hopfix/double_double.hpp: -ffast-math cancels the error terms this header computes"
#endif

namespace hopfix {

static_assert(FLT_EVAL_METHOD == 0, "error-free transforms need every operation rounded to double");

struct DoubleDouble {
  double hi;
  double lo;

  constexpr DoubleDouble(double high = 0.0, double low = 0.0) : hi(high), lo(low) {}
};

// a + b exactly (Knuth).
constexpr DoubleDouble two_sum(double a, double b) {
  const double sum = a + b;
  const double b_part = sum - a;
  return {sum, (a - (sum - b_part)) + (b - b_part)};
}

// a + b exactly, provided |a| >= |b| or a = 0 (Dekker).
constexpr DoubleDouble quick_two_sum(double a, double b) {
  const double sum = a + b;
  return {sum, b - (sum - a)};
}

// a as the exact sum of two doubles of 26 bits each (Veltkamp).
constexpr DoubleDouble split(double a) {
  const double scaled = 134217729.0 * a;  // 2^27 + 1
  const double high = scaled - (scaled - a);
  return {high, a - high};
}

// a * b exactly (Dekker).
constexpr DoubleDouble two_prod(double a, double b) {
  const double product = a * b;
  const DoubleDouble x = split(a);
  const DoubleDouble y = split(b);
  return {product, ((x.hi * y.hi - product) + x.hi * y.lo + x.lo * y.hi) + x.lo * y.lo};
}

constexpr DoubleDouble operator-(DoubleDouble a) { return {-a.hi, -a.lo}; }

constexpr DoubleDouble operator+(DoubleDouble a, double b) {
  const DoubleDouble sum = two_sum(a.hi, b);
  return quick_two_sum(sum.hi, a.lo + sum.lo);
}

constexpr DoubleDouble operator+(DoubleDouble a, DoubleDouble b) {
  const DoubleDouble high = two_sum(a.hi, b.hi);
  const DoubleDouble low = two_sum(a.lo, b.lo);
  const DoubleDouble sum = quick_two_sum(high.hi, high.lo + low.hi);
  return quick_two_sum(sum.hi, low.lo + sum.lo);
}

constexpr DoubleDouble operator*(DoubleDouble a, double b) {
  const DoubleDouble product = two_prod(a.hi, b);
  const DoubleDouble sum = quick_two_sum(product.hi, a.lo * b);
  return quick_two_sum(sum.hi, sum.lo + product.lo);
}

constexpr DoubleDouble operator*(DoubleDouble a, DoubleDouble b) {
  const DoubleDouble product = two_prod(a.hi, b.hi);
  return quick_two_sum(product.hi, product.lo + (a.hi * b.lo + a.lo * b.hi));
}

constexpr DoubleDouble operator+(double a, DoubleDouble b) { return b + a; }
constexpr DoubleDouble operator-(DoubleDouble a, double b) { return a + -b; }
constexpr DoubleDouble operator-(double a, DoubleDouble b) { return -b + a; }
constexpr DoubleDouble operator-(DoubleDouble a, DoubleDouble b) { return a + -b; }
constexpr DoubleDouble operator*(double a, DoubleDouble b) { return b * a; }

constexpr DoubleDouble operator/(DoubleDouble a, DoubleDouble b) {
  const double quotient = a.hi / b.hi;
  const DoubleDouble product = b * quotient;
  const double remainder = (a.hi - product.hi) + (a.lo - product.lo);
  return quick_two_sum(quotient, remainder / b.hi);
}

constexpr bool operator==(DoubleDouble a, DoubleDouble b) { return a.hi == b.hi && a.lo == b.lo; }
constexpr bool operator!=(DoubleDouble a, DoubleDouble b) { return !(a == b); }
constexpr bool operator<(DoubleDouble a, DoubleDouble b) {
  return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo);
}
constexpr bool operator>(DoubleDouble a, DoubleDouble b) { return b < a; }
constexpr bool operator<=(DoubleDouble a, DoubleDouble b) {
  return a.hi < b.hi || (a.hi == b.hi && a.lo <= b.lo);
}
constexpr bool operator>=(DoubleDouble a, DoubleDouble b) { return b <= a; }

namespace detail {

// 1/2!, 1/3!, ..., 1/23!
constexpr std::array<DoubleDouble, 22> inverse_factorials() {
  std::array<DoubleDouble, 22> values{};
  DoubleDouble factorial = 1.0;  // exact: 23! has 56 significant bits
  for (std::size_t i = 0; i < values.size(); ++i) {
    factorial = factorial * static_cast<double>(i + 2);
    values[i] = DoubleDouble(1.0) / factorial;
  }
  return values;
}

inline constexpr std::array<DoubleDouble, 22> kInverseFactorials = inverse_factorials();

}  // namespace detail

// (e^x - 1 - x) / x^2 for |x| <= 0.35 by its Taylor series of 22 terms (the first one left out is
// below 2^-111). Nothing cancels as x -> 0, so it serves where e^x - 1 - x itself would.
constexpr DoubleDouble phi2_series(DoubleDouble x) {
  DoubleDouble sum = 0.0;
  for (std::size_t i = detail::kInverseFactorials.size(); i-- > 0;) {
    sum = sum * x + detail::kInverseFactorials[i];
  }
  return sum;
}

// e^x for x <= 700; below -800 the answer is 0, and where the result is subnormal it has the bits
// a double has there.
inline DoubleDouble exp(DoubleDouble x) {
  constexpr DoubleDouble ln2(6.931471805599452862e-01, 2.319046813846299558e-17);
  if (x.hi < -800.0) return 0.0;
  const double doublings = std::nearbyint(x.hi / ln2.hi);
  const DoubleDouble r = x - ln2 * doublings;
  const DoubleDouble value = 1.0 + r * (1.0 + r * phi2_series(r));
  const int exponent = static_cast<int>(doublings);
  return {std::ldexp(value.hi, exponent), std::ldexp(value.lo, exponent)};
}

}  // namespace hopfix
