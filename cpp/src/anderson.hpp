// Anderson acceleration (Anderson 1965; Walker & Ni 2011, type II with memory 2) of the update of
// one query, inside a ball on which the update is proved to be a contraction. The plain iteration
// stays in that ball, so the fixed point reached is the same.
//
// Let the state be x and J = beta Cov_p(x) its Jacobian, which is positive semidefinite. After a
// plain step from x' to x = f(x'), with g' = f(x') - x' and g = f(x) - x, g = J g' up to the change
// of J on the way. With e = g' / |g'|, R = e . J e and E = |J e - R e|, in an orthonormal basis
// that starts with e the rest of J has a trace of tr J - R, hence no larger eigenvalue, so
//
//   |J| <= rho = min(tr J, max(R, tr J - R) + E).
//
// Where all n patterns share the weight, without log-weights, there is a better bound: with C the
// covariance of the patterns and c their mean, Cov_p(x) <= sum_i p_i (x_i - c)(x_i - c)^T <=
// n max(p) C, hence |J| <= n max(p) beta |C|.
//
// Weights change at most by the factor exp(2 beta R_p |delta|) when the state moves by delta, R_p
// the radius of the patterns, and Cov_p with them. So if
//
//   rho exp(2 beta R_p D) <= (1 + rho) / 2   with   D = 2 |g| / (1 - rho),
//
// f contracts the ball of radius D around x by (1 + rho) / 2 and maps it into itself. (The average
// of J between x' and x is that at x up to the factor exp(2 beta R_p |g'|), which rho includes.)
// That is the mathematics; R and E are measured on states rounded to T, and |C| is a Lanczos
// estimate with a margin of 1 %: near rounding the contraction is well-founded, not certified.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "sums.hpp"

namespace hopfix {

template <class T>
class Anderson {
 public:
  // Whether the update contracts the ball that belongs to a residual, for a bound rho of |J|.
  static bool contracts(double rho, double residual, double sharpness) {
    return rho < 1 && rho * std::exp(sharpness * reach(rho, residual)) <= contraction(rho);
  }

  // True once a step may not have been plain.
  bool active() const { return active_; }

  // Starts at a state that the update moves by less than `residual`, if it is proved to contract
  // the ball that belongs to this residual. Returns whether it is.
  bool start_within(double residual, double sharpness, double trace, std::ptrdiff_t dim,
                    const T* state) {
    if (!contracts(trace, residual, sharpness)) return false;
    activate(trace, residual, dim, state);
    return true;
  }

  // Starts where nothing is proved: for those who prove what they end in.
  void start_unproved(std::ptrdiff_t dim, const T* state) {
    active_ = true;
    anchor_.assign(state, state + dim);
    reach_ = std::numeric_limits<double>::infinity();
  }

  bool is_within_reach(const T* state, std::ptrdiff_t dim) const {
    return distance(state, anchor_.data(), dim) <= reach_;
  }

  // Moves `state`, whose update is `moved` at distance `residual` > 0. sharpness: 2 beta R_p.
  // Bounds of |J| at the state: `trace`, and shared() where that does not do (it may be costly).
  template <class Shared>
  void advance(const T* moved, double residual, double sharpness, double trace,
               const Shared& shared, std::ptrdiff_t dim, T* state) {
    if (active_ && known_ > 0 && residual > 0.5 * newest_.residual &&
        residual > contraction_ * newest_.residual) {
      // Worse than a plain step, which is taken from the last state instead.
      std::copy_n(newest_.moved.data(), dim, state);
      known_ = 0;
      return;
    }
    if (!active_) {
      double rho = spectral_bound(moved, residual, sharpness, trace, dim, state);
      if (!contracts(rho, residual, sharpness) && known_ > 0 &&
          contracts(residual / newest_.residual, residual, sharpness))
        rho = std::min(rho, shared());
      if (contracts(rho, residual, sharpness)) activate(rho, residual, dim, state);
    }
    const Mix mix = active_ && known_ > 0 ? best_mix(moved, state, dim) : Mix{};
    move_and_remember(mix, moved, dim, state);
    newest_.residual = residual;
    if (active_ && !is_within_reach(state, dim)) std::copy_n(moved, dim, state);
  }

  // Gives its memory back.
  void forget() {
    newest_ = older_ = {};
    anchor_ = {};
    known_ = 0;
  }

 private:
  // An evaluated state x: f(x) and f(x) - x.
  struct Point {
    std::vector<T> moved, change;
    double residual = 0;
  };

  // How much of the differences to the newest and the older point is subtracted.
  struct Mix {
    double newest = 0, older = 0;
  };

  static double reach(double rho, double residual) { return 2 * residual / (1 - rho); }
  static double contraction(double rho) { return (1 + rho) / 2; }

  void activate(double rho, double residual, std::ptrdiff_t dim, const T* state) {
    active_ = true;
    anchor_.assign(state, state + dim);
    reach_ = reach(rho, residual);
    contraction_ = contraction(rho);
    known_ = std::min(known_, 1);
  }

  double spectral_bound(const T* moved, double residual, double sharpness, double trace,
                        std::ptrdiff_t dim, const T* state) const {
    if (known_ == 0) return trace;
    const double before = newest_.residual;
    const double along =
        sum_of(dim,
               [&](std::ptrdiff_t k) {
                 return (static_cast<double>(moved[k]) - static_cast<double>(state[k])) *
                        static_cast<double>(newest_.change[at(k)]);
               }) /
        (before * before);
    const double rate = residual / before;
    const double across = std::sqrt(std::max(0.0, rate * rate - along * along));
    const double change = std::exp(sharpness * before);
    return std::min(trace, change * (std::max(along, change * trace - along) + across));
  }

  // What makes the residual smallest if f is affine: least squares by Gram-Schmidt. A difference
  // nearly parallel to the newest is left out.
  Mix best_mix(const T* moved, const T* state, std::ptrdiff_t dim) const {
    const auto change = [&](std::ptrdiff_t k) {
      return static_cast<double>(moved[k]) - static_cast<double>(state[k]);
    };
    const auto since = [&](const Point& point) {
      return [&](std::ptrdiff_t k) { return change(k) - static_cast<double>(point.change[at(k)]); };
    };
    const auto product = [&](const auto& a, const auto& b) {
      return sum_of(dim, [&](std::ptrdiff_t k) { return a(k) * b(k); });
    };
    const auto a = since(newest_), b = since(older_);
    const double aa = product(a, a), ag = product(a, change);
    if (!(aa > 0)) return {};
    if (known_ < 2) return {ag / aa, 0};
    const double ab = product(a, b), bb = product(b, b), left = bb - ab / aa * ab;
    const double older = left > 1e-6 * bb ? (product(b, change) - ab / aa * ag) / left : 0;
    return {(ag - ab * older) / aa, older};
  }

  // The evaluated state takes the place of the older point as it goes.
  void move_and_remember(const Mix& mix, const T* moved, std::ptrdiff_t dim, T* state) {
    older_.moved.resize(at(dim));
    older_.change.resize(at(dim));
    for (std::ptrdiff_t k = 0; k < dim; ++k) {
      const double here = static_cast<double>(moved[k]);
      double next = here;
      if (mix.newest != 0) next -= mix.newest * (here - static_cast<double>(newest_.moved[at(k)]));
      if (mix.older != 0) next -= mix.older * (here - static_cast<double>(older_.moved[at(k)]));
      older_.moved[at(k)] = moved[k];
      older_.change[at(k)] = moved[k] - state[k];
      state[k] = static_cast<T>(next);
    }
    std::swap(newest_, older_);
    known_ = std::min(known_ + 1, 2);
  }

  static std::size_t at(std::ptrdiff_t k) { return static_cast<std::size_t>(k); }

  Point newest_, older_;
  int known_ = 0;
  bool active_ = false;
  // The ball, and the factor by which f contracts it.
  std::vector<T> anchor_;
  double reach_ = 0, contraction_ = 1;
};

}  // namespace hopfix
