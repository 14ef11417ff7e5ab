// Vectors of doubles carried with their rounding errors: hi + lo, unevaluated.
//
// Sources: Dekker (1971); Knuth, TAOCP 2, 4.2.2; Neumaier (1974) for the sum.
#pragma once

#include "simd.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

struct Pair {
  Vec<double> hi, lo;
};

// a + b exactly, provided |a| >= |b| or a = 0.
inline Pair quick_two_sum(Vec<double> a, Vec<double> b) {
  const Vec<double> sum = a + b;
  return {sum, b - (sum - a)};
}

// a + b exactly.
template <class V>
inline void two_sum(V a, V b, V& sum, V& error) {
  sum = a + b;
  const V b_part = sum - a;
  error = (a - (sum - b_part)) + (b - b_part);
}

inline Vec<double> upper_half(Vec<double> a) {
  const Vec<double> scaled = 134217729.0 * a;  // 2^27 + 1
  return scaled - (scaled - a);
}

// a * b exactly, for |a|, |b| < 2^995 and while nothing underflows. fma() is fused from v3 on only.
inline Pair two_product(Vec<double> a, Vec<double> b) {
  const Vec<double> product = a * b;
#if defined(__AVX2__)
  return {product, fma(a, b, -product)};
#else
  const Vec<double> a_high = upper_half(a), b_high = upper_half(b);
  const Vec<double> a_low = a - a_high, b_low = b - b_high;
  return {product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low};
#endif
}

// To about 2^-102 relatively.
inline Pair operator*(Pair a, Pair b) {
  const Pair product = two_product(a.hi, b.hi);
  return quick_two_sum(product.hi, product.lo + (a.hi * b.lo + a.lo * b.hi));
}

// A sum as good as one in twice the precision: each lane keeps the errors of its additions.
template <class T>
class CompensatedSum {
 public:
  void add(Vec<T> x) {
    Vec<T> error;
    two_sum(sum_, x, sum_, error);
    lost_ += error;
  }

  // start + the sum, rounded once or so even when it cancels.
  double total(double start = 0) const {
    double sum = start, lost = 0;
    for (int l = 0; l < kLanes<T>; ++l) {
      double error;
      two_sum(sum, static_cast<double>(sum_[l]), sum, error);
      lost += error + static_cast<double>(lost_[l]);
    }
    return sum + lost;
  }

 private:
  Vec<T> sum_ = {}, lost_ = {};
};

inline double sum_of_lanes(Vec<double> v) {
  double sum = 0;
  for (int l = 0; l < kLanes<double>; ++l) sum += v[l];
  return sum;
}

}  // namespace hopfix::kernels::HOPFIX_LEVEL
