// Interval arithmetic with double endpoints, rounded outwards without changing the rounding mode.
//
// Sums, products, quotients and roots are computed in round-to-nearest together with the sign of
// their rounding error (error-free transforms), and an endpoint takes one step outwards only where
// it is on the wrong side: these endpoints are the best there are, except for products, quotients
// and roots near overflow or underflow, which may be one step wider. exp and log come from this
// header alone, libm promising nothing: their values are within 0.6 ulp, their endpoints one step
// away from them, so that an enclosure is at most 2 ulp wide.
//
// Empty intervals and NaN do not exist; an endpoint may be infinite on its own side. 0 * inf is 0.
// Cost, measured on baseline x86-64: a sum 4 ns, a product 40, a quotient 60, exp 20, log 35.
//
// Sources: Rump, Ogita, Morikura & Oishi, "Interval arithmetic with fixed rounding mode" (2016);
// Tang, "Table-driven implementation of the exponential function" (1989) and "... of the
// logarithm function" (1990) for the method; tables and bounds are ours.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "hopfix/double_double.hpp"

#ifdef __FAST_MATH__
#error "hopfix proves with IEEE arithmetic: do not compile it with -ffast-math"
#endif

namespace hopfix {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The next double above; infinity stays.
inline double next_up(double x) {
  if (x == kInfinity) return x;
  if (x == 0) return std::numeric_limits<double>::denorm_min();
  std::int64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  bits += x > 0 ? 1 : -1;
  std::memcpy(&x, &bits, sizeof bits);
  return x;
}

inline double next_down(double x) { return -next_up(-x); }

namespace rounded {

// A lower bound of x + error; a NaN, from an overflow within the error term, counts as negative.
inline double down(double x, double error) { return error >= 0 ? x : next_down(x); }

// Where operands and product are in this range, two_prod is exact.
inline bool product_is_safe(double a, double b, double product) {
  constexpr double kLargest = 0x1p990, kSmallest = 0x1p-900;
  const double size = std::fabs(product);
  return size < kLargest && size > kSmallest && std::fabs(a) < kLargest && std::fabs(b) < kLargest;
}

inline double add_down(double a, double b) {
  const DoubleDouble sum = two_sum(a, b);
  if (!std::isfinite(sum.hi))
    return std::isfinite(a) && std::isfinite(b) ? next_down(sum.hi) : a + b;
  return down(sum.hi, sum.lo);
}

inline double multiply_down(double a, double b) {
  if (a == 0 || b == 0) return 0;
  const double product = a * b;
  if (product_is_safe(a, b, product)) return down(product, two_prod(a, b).lo);
  return std::isinf(a) || std::isinf(b) ? product : next_down(product);
}

// For b != 0.
inline double divide_down(double a, double b) {
  if (a == 0) return 0;
  if (std::isinf(b)) return std::isinf(a) ? -kInfinity : -std::numeric_limits<double>::denorm_min();
  const double quotient = a / b;
  if (std::isinf(a)) return quotient;
  if (!product_is_safe(quotient, b, a)) return next_down(quotient);
  // a - quotient b is a double, and a - product.hi is exact.
  const DoubleDouble product = two_prod(quotient, b);
  const double remainder = (a - product.hi) - product.lo;
  return down(quotient, b > 0 ? remainder : -remainder);
}

inline double add_up(double a, double b) { return -add_down(-a, -b); }
inline double multiply_up(double a, double b) { return -multiply_down(-a, b); }
inline double divide_up(double a, double b) { return -divide_down(-a, b); }

}  // namespace rounded

// All real numbers x with lo <= x <= hi.
struct Interval {
  double lo;
  double hi;

  constexpr Interval(double x = 0) : lo(x), hi(x) {}
  constexpr Interval(double low, double high) : lo(low), hi(high) {}

  double width() const { return rounded::add_up(hi, -lo); }
  bool contains(double x) const { return lo <= x && x <= hi; }
  bool contains(Interval x) const { return lo <= x.lo && x.hi <= hi; }
};

inline Interval operator-(Interval a) { return {-a.hi, -a.lo}; }

inline Interval operator+(Interval a, Interval b) {
  return {rounded::add_down(a.lo, b.lo), rounded::add_up(a.hi, b.hi)};
}

inline Interval operator-(Interval a, Interval b) { return a + -b; }

inline Interval operator*(Interval a, Interval b) {
  using rounded::multiply_down, rounded::multiply_up;
  return {std::min({multiply_down(a.lo, b.lo), multiply_down(a.lo, b.hi), multiply_down(a.hi, b.lo),
                    multiply_down(a.hi, b.hi)}),
          std::max({multiply_up(a.lo, b.lo), multiply_up(a.lo, b.hi), multiply_up(a.hi, b.lo),
                    multiply_up(a.hi, b.hi)})};
}

// The whole line where b contains 0.
inline Interval operator/(Interval a, Interval b) {
  if (b.contains(0)) return {-kInfinity, kInfinity};
  using rounded::divide_down, rounded::divide_up;
  return {std::min({divide_down(a.lo, b.lo), divide_down(a.lo, b.hi), divide_down(a.hi, b.lo),
                    divide_down(a.hi, b.hi)}),
          std::max({divide_up(a.lo, b.lo), divide_up(a.lo, b.hi), divide_up(a.hi, b.lo),
                    divide_up(a.hi, b.hi)})};
}

namespace detail {

inline constexpr DoubleDouble kLn2{6.931471805599452862e-01, 2.319046813846299558e-17};

// x rounded to a multiple of 2^-36, for |x| < 2^15.
constexpr double high_part(double x) { return (x + 98304.0) - 98304.0; }

// 2^(j/32).
constexpr std::array<DoubleDouble, 32> powers_of_two() {
  std::array<DoubleDouble, 32> table{};
  for (std::size_t j = 0; j < table.size(); ++j) {
    // |x| <= ln 2 / 2 is within the reach of the series: the upper half is reached by doubling.
    const double steps = static_cast<double>(j) - (j > 16 ? 32.0 : 0.0);
    const DoubleDouble x = kLn2 * (steps / 32);
    const DoubleDouble value = 1.0 + x * (1.0 + x * phi2_series(x));
    table[j] = j > 16 ? value * 2.0 : value;
  }
  return table;
}

// ln y for 0.7 <= y <= 1.5: 2 artanh z, z = (y - 1) / (y + 1), |z| <= 0.2; the first term left out
// is below 0.2^61.
constexpr DoubleDouble log_series(double y) {
  const DoubleDouble z = (DoubleDouble(y) - 1.0) / (DoubleDouble(y) + 1.0);
  const DoubleDouble square = z * z;
  DoubleDouble sum = 0.0;
  for (int k = 59; k > 0; k -= 2)
    sum = sum * square + DoubleDouble(1.0) / DoubleDouble(static_cast<double>(k));
  return z * sum * 2.0;
}

// Around the centres c = j/64: 1/c rounded to 9 bits, and minus its logarithm, split.
struct LogEntry {
  double inverse, high, low;
};

inline constexpr int kFirstCentre = 45, kLastCentre = 91;

constexpr std::array<LogEntry, kLastCentre - kFirstCentre + 1> log_entries() {
  std::array<LogEntry, kLastCentre - kFirstCentre + 1> table{};
  for (int j = kFirstCentre; j <= kLastCentre; ++j) {
    const double inverse = static_cast<double>((512 * 64 + j / 2) / j) / 512;
    const DoubleDouble logarithm = -log_series(inverse);
    const double high = high_part(logarithm.hi);
    table[static_cast<std::size_t>(j - kFirstCentre)] = {inverse, high,
                                                         (logarithm.hi - high) + logarithm.lo};
  }
  return table;
}

inline constexpr auto kPowersOfTwo = powers_of_two();
inline constexpr auto kLogEntries = log_entries();
inline constexpr double kLn2High = high_part(kLn2.hi);
inline constexpr double kLn2Low = (kLn2.hi - kLn2High) + kLn2.lo;

// 2^k for -1022 <= k <= 1023.
inline double power_of_two(std::int64_t k) {
  const std::uint64_t bits = static_cast<std::uint64_t>(k + 1023) << 52;
  double x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

}  // namespace detail

// exp(x) to less than one ulp, for -745.2 <= x <= 709.8 (infinite where it overflows).
//
// x = (32 k + j) ln2/32 + r, exp(x) = 2^k 2^(j/32) exp(r). Proof, with u = 2^-53:
// |r| <= 0.01084. n high is exact (n < 2^15.1, high a multiple of 2^-41 below 2^-5), its
// difference from x is exact or rounded to u |r|, and n low, below 2^-26, adds errors of 2^-25 u
// and again u |r|: |error of r| <= 0.022 u. The series leaves out r^7 / 5040 <= 0.032 u. Rounding
// in it: r^2 q to 3 u r^2 / 2 < 0.001 u, its sum with r to u |r|. So |error of p| <= 0.07 u. With
// the power T < 2 (T = 1 where the result is below 1), T p is off by 0.07 T u + 0.022 u, its sum
// with the low part by 0.022 u more, and the final sum rounds to 1/2 ulp: in all less than 0.6 ulp,
// an ulp being u for results in [1/2, 1) and 2 u in [1, 2). A subnormal result is rounded once
// more, by 1/2 ulp of its own, where the first error is at most 0.3 of these.
inline double exp_near(double x) {
  if (std::isnan(x)) return x;  // no step of the table
  constexpr double kHigh = detail::kLn2High / 32, kLow = detail::kLn2Low / 32;
  const double n = (x * 46.16624130844683 + 0x1.8p52) - 0x1.8p52;  // 32 / ln 2, to an integer
  const double r = (x - n * kHigh) - n * kLow;
  const double q = 0.5 + r * (1.0 / 6 + r * (1.0 / 24 + r * (1.0 / 120 + r * (1.0 / 720))));
  const double p = r + r * r * q;
  const auto steps = static_cast<std::int64_t>(n);
  const DoubleDouble& power = detail::kPowersOfTwo[static_cast<std::size_t>(steps & 31)];
  const double value = power.hi + (power.lo + power.hi * p);
  // Two factors, for results near the ends of the range; only the last product may round.
  const std::int64_t k = steps >> 5, half = k / 2;
  return value * detail::power_of_two(half) * detail::power_of_two(k - half);
}

// log(x) to less than one ulp, for finite x > 0.
//
// x = 2^k m, sqrt(1/2) <= m < sqrt(2) about, and r = m c - 1 exactly in two parts, c near 1/m from
// the table: |r| <= 0.0127. log x = (k ln2 - log c) + r + r^2 q(r). Proof: the bracket's high part
// is exact (multiples of 2^-36 below 2^10), so is its sum with r. The series leaves out
// r^11 / 11 < 1e-21 (r^11 / 11 <= 2^-70 |r| where c = 1). What is rounded, r^2 q and the low parts,
// is below 9e-5 and off by less than 4 u times that. Where the bracket is not 0, |log x| > 0.0077,
// whose ulp is 2^-7 u: less than 0.05 ulp. Where it is 0, c = 1, |r| <= 2^-7 and
// |error| <= 3 u r^2 / 2 <= 0.012 u |r|. The final sum rounds to 1/2 ulp.
inline double log_near(double x) {
  std::int64_t k = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p54;
    k = -54;
  }
  std::int64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  // The bits of sqrt(1/2) rounded: what is above them counts for the next power.
  constexpr std::int64_t kRootHalf = 0x3fe6a09e667f3bcd;
  const std::int64_t exponent = (bits - kRootHalf) >> 52;
  bits -= exponent * (std::int64_t{1} << 52);
  double m;
  std::memcpy(&m, &bits, sizeof m);
  k += exponent;

  const auto centre = static_cast<std::size_t>(m * 64 + 0.5) - detail::kFirstCentre;
  const detail::LogEntry& entry = detail::kLogEntries[centre];
  const DoubleDouble product = two_prod(m, entry.inverse);
  const double r = product.hi - 1;
  const double q =
      -1.0 / 2 +
      r * (1.0 / 3 +
           r * (-1.0 / 4 +
                r * (1.0 / 5 +
                     r * (-1.0 / 6 +
                          r * (1.0 / 7 + r * (-1.0 / 8 + r * (1.0 / 9 + r * (-1.0 / 10))))))));
  const auto power = static_cast<double>(k);
  const DoubleDouble high = two_sum(power * detail::kLn2High + entry.high, r);
  const double low = (power * detail::kLn2Low + entry.low) + product.lo * (1 - r) + r * r * q;
  return high.hi + (high.lo + low);
}

inline double exp_down(double x) {
  if (x == 0) return 1;
  if (x < -745.2) return 0;
  if (x > 709.8) return x == kInfinity ? x : std::numeric_limits<double>::max();
  return std::max(0.0, next_down(exp_near(x)));
}

inline double exp_up(double x) {
  if (x == 0) return 1;
  if (x == -kInfinity) return 0;
  if (x < -745.2) return std::numeric_limits<double>::denorm_min();
  return x > 709.8 ? kInfinity : next_up(exp_near(x));
}

// Of x >= 0; log 0 = -inf.
inline double log_down(double x) {
  if (x == 1) return 0;
  if (x == 0) return -kInfinity;
  return x == kInfinity ? x : next_down(log_near(x));
}

inline double log_up(double x) {
  if (x == 1) return 0;
  if (x == 0) return -kInfinity;
  return x == kInfinity ? x : next_up(log_near(x));
}

inline Interval exp(Interval x) { return {exp_down(x.lo), exp_up(x.hi)}; }

// Of the non-negative part of x, which must not be empty.
inline Interval log(Interval x) { return {log_down(std::max(0.0, x.lo)), log_up(x.hi)}; }

// Of the non-negative part of x, which must not be empty.
inline Interval sqrt(Interval x) {
  const double low = std::sqrt(std::max(0.0, x.lo)), high = std::sqrt(x.hi);
  // The root of a square is exact; elsewhere one step, without looking at the residual.
  return {low * low == x.lo && low < 0x1p26 && low == std::floor(low)
              ? low
              : std::max(0.0, next_down(low)),
          high * high == x.hi && high < 0x1p26 && high == std::floor(high) ? high : next_up(high)};
}

// Whether this thread computes as the proofs assume: round-to-nearest, gradual underflow, no
// contraction of a * b + c, no excess precision, and exp and log as above. 50 ns; ask before
// relying on a bound, since other libraries in the process may have changed the thread's mode.
inline bool arithmetic_is_sound() {
  const volatile double one = 1, tiny = 0x1p-53, third = 1.0 / 3, smallest = 0x1p-1022;
  const bool nearest = one + tiny == one && one + 3 * tiny > one && -one - tiny == -one;
  const bool gradual = smallest / 4 > 0 && (smallest / 4) * 4 == smallest;
  const DoubleDouble sum = two_sum(one, tiny * tiny);
  const DoubleDouble product = two_prod(third, third);
  // 1/3 = (2^54 - 1) / (3 2^54): its square is known to the last bit.
  const bool exact = sum.hi == 1 && sum.lo == 0x1p-106 && product.hi == 0x1.c71c71c71c71cp-4 &&
                     product.lo == -0x1.c71c71c71c71cp-58 && third * third - product.hi == 0;
  const bool functions =
      exp_near(one) == 0x1.5bf0a8b145769p+1 && log_near(3 * one) == 0x1.193ea7aad030bp+0;
  return nearest && gradual && exact && functions;
}

}  // namespace hopfix
