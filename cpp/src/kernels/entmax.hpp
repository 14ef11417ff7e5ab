// alpha-entmax of one row, p = argmax over the simplex of p.z + H_alpha(p), for alpha > 1.
//
// With a = alpha - 1 and m the maximum, p_i = y_i^(1/a) where y_i = max(0, t + a (z_i - m)) and t
// makes the sum 1. Entries at or below m - 1/a never carry probability: only those above are looked
// at, in double precision whatever the row's type.
//
// * a <= 1 (class Shallow): the unknown is t in (0, 1]. The norm |y|_(1/a) is convex and increasing
//   in t and nearly linear, so Newton on |y|_(1/a) = 1 from t = 1 descends to the root without
//   safeguards, in 3 to 7 passes. For a = 1 this is Michelot's algorithm; for a = 1 and 1/2 the
//   power is the identity and the square. t is held in twice the precision, which keeps 1/a from
//   amplifying its rounding: as a -> 0 one step gives softmax.
// * a > 1 (class Steep): p_i has infinite slope where y_i = 0, so t is the wrong unknown. Let v be
//   the smallest entry of the support, found by selection: v is in it exactly if
//   sum_i (a (z_i - v))_+^(1/a) < 1. With the unknown q, the probability of v,
//     p_i = (q^a + a (z_i - v))^(1/a)
//   has no cancellation, and sum p_i is convex in q with slope >= 1: Newton from the right again.
//
// Sources: Peters, Niculae and Martins, "Sparse sequence-to-sequence models" (2019); Martins and
// Astudillo, "From softmax to sparsemax" (2016); Michelot (1986). The norm and q are ours.
#pragma once

#include "power.hpp"
#include "row.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

// p and s = p / y at some entries.
struct Values {
  Vec<double> p, slope;
};

// y^(1/a) and y^(1/a - 1) of y = hi + lo > 0.
struct Identity {
  Values operator()(Pair y) const { return {y.hi + y.lo, broadcast(1.0)}; }
};
struct Square {
  Values operator()(Pair y) const { return {fma(y.hi, y.hi, 2.0 * (y.hi * y.lo)), y.hi + y.lo}; }
};
struct AnyPower {
  Exponent inverse;
  Values operator()(Pair y) const {
    const Vec<double> reciprocal = 1.0 / y.hi;
    const Vec<double> p = power(y.hi, y.lo * reciprocal, inverse);
    return {p, p * reciprocal};
  }
};

template <class Power>
class Shallow {
 public:
  Shallow(double a, double maximum, Power power) : a_(a), maximum_(maximum), power_(power) {}

  Values operator()(Vec<double> z) const {
    const Vec<double> zero = {};
    Pair y = quick_two_sum(broadcast(t_), (z - maximum_) * a_);
    y.lo += t_low_;
    const auto inside = y.hi > 0;
    y.hi = inside ? y.hi : broadcast(1.0);
    y.lo = inside ? y.lo : zero;
    const Values values = power_(y);
    return {inside ? values.p : zero, inside ? values.slope : zero};
  }

  void solve(const double* z, std::ptrdiff_t count) {
    // The step that is taken last leaves its square behind where p is smooth enough in t.
    const double tolerance = a_ <= 0.5 ? 0x1p-34 : 0x1p-51;
    for (int pass = 0; pass < kMostPasses; ++pass) {
      CompensatedSum<double> sum;
      Vec<double> slopes = {};
      for (std::ptrdiff_t i = 0; i < count; i += kLanes<double>) {
        const Values values = (*this)(load(z + i));
        sum.add(values.p);
        slopes += values.slope;
      }
      const double excess = sum.total(-1.0);
      const double norm_minus_one = -__builtin_expm1(-a_ * __builtin_log1p(excess));
      const double step = (1 + excess) * norm_minus_one / sum_of_lanes(slopes);
      two_sum(t_, t_low_ - step, t_, t_low_);
      if (!(__builtin_fabs(step) > tolerance * a_ * t_)) return;
    }
  }

  // No smaller entry carries probability.
  double lowest() const { return maximum_ - t_ / a_; }
  // (1 - t) / a.
  double log_gain() const { return ((1 - t_) - t_low_) / a_; }

 private:
  static constexpr int kMostPasses = 40;
  double a_, maximum_;
  double t_ = 1, t_low_ = 0;
  Power power_;
};

class Steep {
 public:
  Steep(double a, double maximum) : a_(a), maximum_(maximum), inverse_(reciprocal(a)) {
    int exponent;
    mantissa_ = 2 * __builtin_frexp(a, &exponent);
    power_of_two_ = __builtin_ldexp(1.0, exponent - 1);
    place(maximum, 0);
  }

  // Here q^a and a (z - v) may be as small as powers of 2^-1074: y is held times 2^kScale.
  Values operator()(Vec<double> z) const {
    const Vec<double> zero = {}, gap = z - v_;
    const auto above = gap > 0, same = gap == 0;
    const Vec<double> safe = above ? gap : broadcast(1 / a_);
    const Pair product = two_product(safe * power_of_two_ * 0x1p600, broadcast(mantissa_));
    Vec<double> y, low;
    two_sum(product.hi, broadcast(q_power_), y, low);
    low += product.lo + q_power_low_;
    const Vec<double> p = power(y, low / y, inverse_, kScale);
    return {above ? p : (same ? broadcast(q_) : zero),
            above ? p / (y + low) : (same ? broadcast(q_slope_) : zero)};
  }

  void solve(const double* z, std::ptrdiff_t count, double* undecided) {
    v_ = smallest_kept(z, count, maximum_, undecided, [&](double value) {
      place(value, 0);
      return sums(z, count).excess < 0;
    });
    place(v_, 0);
    const Sums start = sums(z, count);
    place(v_, -start.excess / start.equal);
    for (int pass = 0; pass < kMostPasses && q_ > 0; ++pass) {
      const Sums now = sums(z, count);
      const double step = now.excess / (now.equal + now.slopes * q_power_ / q_);
      // What a step leaves behind is about a step^2 / q.
      const bool settled = a_ * step * step <= 0x1p-56 * q_ * q_;
      if (settled && a_ * __builtin_fabs(step) <= 0x1p-20 * q_) return nudge(step);
      place(v_, step < q_ ? q_ - step : 0);
      if (settled || !(step > 0x1p-54 / now.support)) return;
    }
  }

  double lowest() const { return v_; }
  double log_gain() const {
    const double t =
        (maximum_ - v_) * power_of_two_ * mantissa_ + (q_power_ + q_power_low_) * 0x1p-600;
    return (1 - t) / a_;
  }
  // The slopes of operator() times this are those of p.
  static constexpr double kSlopeUnit = 0x1p600;

 private:
  static constexpr int kScale = 600, kMostPasses = 40;

  // Over entries: the sum of p less 1, the slopes of those above v, the number equal to v and the
  // number of all that are not below v.
  struct Sums {
    double excess, slopes, equal, support;
  };

  Sums sums(const double* z, std::ptrdiff_t count) const {
    const Vec<double> zero = {}, one = broadcast(1.0);
    CompensatedSum<double> p;
    Vec<double> slopes = {}, equal = {}, support = {};
    for (std::ptrdiff_t i = 0; i < count; i += kLanes<double>) {
      const Vec<double> entries = load(z + i);
      if (!any_at_least(entries, broadcast(v_))) continue;
      const Values values = (*this)(entries);
      p.add(values.p);
      slopes += entries > v_ ? values.slope : zero;
      equal += entries == v_ ? one : zero;
      support += entries >= v_ ? one : zero;
    }
    return {p.total(-1.0), sum_of_lanes(slopes), sum_of_lanes(equal), sum_of_lanes(support)};
  }

  void place(double v, double q) {
    v_ = v;
    q_ = q;
    // Squared, since q^a alone may underflow; the accuracy of power() is needed: with N equal
    // entries the relative error of q^a is that of every p, times 1/a.
    const double root =
        q > 0x1p-1000 ? power(broadcast(q), broadcast(0.0), {0.5 * a_, 0})[0] * 0x1p300 : 0;
    q_power_ = root * root;
    q_power_low_ = 0;
    q_slope_ = q > 0 ? q / q_power_ : 0;  // may well be infinite
  }

  // q -= step for a tiny step, after which q^a is not rounded anew: many equal p would all show it.
  void nudge(double step) {
    q_power_low_ = -(a_ * step / q_) * q_power_;
    q_ -= step;
    q_slope_ = q_ / (q_power_ + q_power_low_);
  }

  double a_, maximum_;
  double mantissa_, power_of_two_;  // a = mantissa power_of_two
  Exponent inverse_;
  double v_, q_, q_slope_;        // q_slope = q / (q^a 2^kScale)
  double q_power_, q_power_low_;  // q^a 2^kScale
};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
