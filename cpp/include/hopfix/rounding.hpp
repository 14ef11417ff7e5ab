// Rigorous upper bounds in round-to-nearest double arithmetic.
//
// Certificates never change the rounding mode. A bound is carried as an UpperBound, whose every
// operation is followed by a step outwards, or formed by an ordinary loop whose rounding is
// covered by gamma(n) = n u / (1 - n u), u = 2^-53, which bounds the relative error of a sum of n
// products in any order, with or without fused multiply-add (Higham 2002, section 3.1).
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#ifdef __FAST_MATH__
#error "hopfix proves with IEEE arithmetic: do not compile it with -ffast-math"
#endif

namespace hopfix {

inline constexpr double kUnitRoundoff = 0x1p-53;
// Exceeds everything that gradual underflow can lose in any sum formed here.
inline constexpr double kUnderflow = 0x1p-960;

// A number known to be at most `value`; for non-negative quantities only.
class UpperBound {
 public:
  // x itself, taken as exact.
  explicit constexpr UpperBound(double x) : value_(x) {}
  constexpr double value() const { return value_; }

  friend UpperBound operator+(UpperBound a, UpperBound b) { return step(a.value_ + b.value_); }
  friend UpperBound operator*(UpperBound a, UpperBound b) { return step(a.value_ * b.value_); }
  // `divisor` must be a lower bound, or exact, and positive.
  friend UpperBound operator/(UpperBound a, double divisor) { return step(a.value_ / divisor); }
  friend UpperBound operator*(double a, UpperBound b) { return UpperBound(a) * b; }
  friend UpperBound sqrt(UpperBound a) { return step(std::sqrt(a.value_)); }

 private:
  // For x >= 0 correctly rounded from y: y <= succ(x) <= fl(x (1 + 2u)) where x is normal, and
  // the underflow term covers the rest. NaN and infinity stay what they are.
  static UpperBound step(double x) { return UpperBound(x * (1 + 2 * kUnitRoundoff) + kUnderflow); }
  double value_;
};

// A number surely not above what was correctly rounded to x >= 0; 0 for an overflow.
inline double lower_bound(double x) {
  if (!(x <= 0x1.fffffffffffffp1023)) return 0;
  const double stepped = x * (1 - 2 * kUnitRoundoff) - kUnderflow;
  return stepped > 0 ? stepped : 0;
}

// Infinite (no bound) where n u >= 1.
inline UpperBound gamma_bound(std::ptrdiff_t n) {
  const double nu = static_cast<double>(n) * kUnitRoundoff;  // exact for n < 2^53
  return nu < 1 ? UpperBound(nu) / lower_bound(1 - nu) : UpperBound(HUGE_VAL);
}

// The 2-norm of `count` doubles, strided. Loop: relative error gamma(count + 1) before the root.
inline UpperBound norm_bound(const double* x, std::ptrdiff_t count) {
  double sum = 0;
  for (std::ptrdiff_t k = 0; k < count; ++k) sum += x[k] * x[k];
  return sqrt(UpperBound(sum) * (UpperBound(1) + gamma_bound(2 * count + 4)) +
              UpperBound(kUnderflow));
}

// The distance of a and b; |a - b| <= |fl(a - b)| (1 + u) componentwise. `difference` is scratch.
inline UpperBound distance_bound(const double* a, const double* b, std::ptrdiff_t dim,
                                 std::vector<double>& difference) {
  difference.resize(static_cast<std::size_t>(dim));
  for (std::ptrdiff_t k = 0; k < dim; ++k) difference[static_cast<std::size_t>(k)] = a[k] - b[k];
  return norm_bound(difference.data(), dim) * (UpperBound(1) + gamma_bound(1));
}

// exp(x) for -700 <= x <= 0 with a relative error of at most kExpError = 2^-49.
//
// Proof. n is within 0.51 of x / ln 2, so |r| <= 0.354 =: R. n ln2_high is exact (21 trailing
// zero bits, |n| < 2^11), the first difference is exact or rounded to u R, n ln2_low is below
// 2e-7 and rounded to 2e-7 u, the last difference to u R, and ln2_high + ln2_low misses ln 2 by
// less than 2^-86: |error of r| <= 0.72 u. q = sum_{k=0}^{12} r^k / (k+2)! leaves out less than
// R^15 / 15! < 2e-19 of the whole. Horner's rule errs by at most gamma(26) sum R^k / (k+2)! <=
// 16 u, so r^2 q errs by R^2 (16 u) + 3 u R^2 0.57 <= 2.3 u; adding r rounds to 0.43 u and adding
// 1 to 1.43 u. In all at most 5 u absolutely, over exp(-R) > 0.7: less than 8 u < 2^-49.
// Scaling by 2^n is exact: the result is above 2^-1011. std::floor and std::ldexp are exact.
inline constexpr double kExpError = 0x1p-49;

inline double exp_nonpositive(double x) {
  constexpr double kLog2e = 1.4426950408889634;
  constexpr double kLn2High = 6.93147180369123816490e-01;
  constexpr double kLn2Low = 1.90821492927058770002e-10;
  const double n = std::floor(x * kLog2e + 0.5);
  const double r = (x - n * kLn2High) - n * kLn2Low;
  double q = 1.0 / 87178291200.0;  // 1/14!
  constexpr double kFactorials[] = {2.0,       6.0,        24.0,        120.0,
                                    720.0,     5040.0,     40320.0,     362880.0,
                                    3628800.0, 39916800.0, 479001600.0, 6227020800.0};
  for (int k = 11; k >= 0; --k) q = q * r + 1.0 / kFactorials[k];
  return std::ldexp(1.0 + (r + r * r * q), static_cast<int>(n));
}

// exp(x) - 1 <= x + x^2 for 0 <= x <= 1; no bound above.
inline UpperBound expm1_bound(UpperBound x) {
  return x.value() <= 1 ? x + x * x : UpperBound(HUGE_VAL);
}

}  // namespace hopfix
