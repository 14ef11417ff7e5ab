// One query of a retrieval under way: when it stops, and how it goes on from a state.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "anderson.hpp"
#include "attractors.hpp"
#include "hopfix/network.hpp"
#include "kernels/table.hpp"

namespace hopfix {

// Of the patterns under a query's weights.
struct Moments {
  double square;  // average of the squared distances from their mean
  double largest_weight;

  template <class T>
  static Moments of(const kernels::SoftmaxSums<T>& sums, std::ptrdiff_t lane) {
    return {static_cast<double>(sums.extra[lane] / sums.sum[lane]),
            1 / static_cast<double>(sums.sum[lane])};
  }
};

// Stopping and acceleration are one query's own business, so that no result depends on a batch.
template <class T>
struct Rules {
  const Network<T>& network;
  std::int64_t max_steps;
  double tol;
  bool accelerate;
  double beta;
  double radius;       // of the patterns around their mean
  double sharpness;    // 2 beta radius
  const double* mean;  // of the patterns
  double largest_norm;
  double rounding;  // of averages, relative to the largest pattern

  // How far the update may move a state that counts as converged.
  double limit(const T* state) const { return tol * std::max(1.0, norm(state, network.dim())); }

  // A bound of |J| that is good where all patterns share the weight (see anderson.hpp).
  double shared_bound(double largest_weight) const {
    constexpr double kMargin = 1.01;  // for the estimate of |C|, the weight and rounding
    const double uneven = static_cast<double>(network.size()) * largest_weight;
    if (!network.log_weights().empty() || uneven > 4)
      return std::numeric_limits<double>::infinity();
    return kMargin * uneven * network.spread();
  }

  // A bound of the trace of beta Cov_p(x) from averages that are rounded (see network.hpp).
  double jacobian_trace(const T* moved, double square) const {
    const double off = norm_of(
        network.dim(), [&](std::ptrdiff_t k) { return static_cast<double>(moved[k]) - mean[k]; });
    const double least = std::max(0.0, off - rounding * largest_norm);
    return beta * std::max(0.0, (1 + rounding) * square - least * least);
  }
};

template <class T>
class Query {
 public:
  enum class Status : std::uint8_t { open, converged, exhausted };
  // Whether it pays to look for attractors: one costs as much as a query, seven as a few.
  enum class Pace : std::uint8_t { fast, slow, very_slow };

  // Judges the state, whose update is `moved`, and goes on from it unless it is the last.
  void step(const T* moved, const Moments& moments, const Rules<T>& rules, T* state) {
    const std::ptrdiff_t dim = rules.network.dim();
    const double before = residual_, limit = rules.limit(state);
    residual_ = distance(state, moved, dim);
    if (residual_ <= limit) {
      status_ = Status::converged;
    } else if (steps_ >= rules.max_steps) {
      status_ = Status::exhausted;
    } else {
      const double missing = before == 0 ? 0 : predicted_updates(before, residual_, limit);
      if (missing > 4) pace_ = std::max(pace_, Pace::slow);
      if (missing > 12 && steps_ >= 5) pace_ = Pace::very_slow;
      ++steps_;
      if (rules.accelerate)
        anderson_.advance(
            moved, residual_, rules.sharpness, rules.jacobian_trace(moved, moments.square),
            [&] { return rules.shared_bound(moments.largest_weight); }, dim, state);
      else
        std::copy_n(moved, dim, state);
    }
    if (status_ != Status::open) anderson_.forget();
  }

  // Its next state is where plain iteration ends, in the place of the last update.
  void arrive(const Attractor<T>& attractor, const Rules<T>& rules, T* state) {
    if (attractor.residual > rules.limit(attractor.state.data())) return;
    std::copy_n(attractor.state.data(), attractor.state.size(), state);
    residual_ = attractor.residual;
    status_ = Status::converged;
    anderson_.forget();
  }

  // Its state was reached in so many updates that were not quite plain.
  void guess(std::int64_t updates) {
    steps_ += updates;
    listed_ = true;
  }

  // Whether the update, which moves the guessed state to `moved`, contracts a ball around it that
  // holds a state of plain iteration, at most `error` away: then both end in one fixed point.
  bool confirm(const T* moved, const Moments& moments, double error, const Rules<T>& rules,
               const T* state) {
    const std::ptrdiff_t dim = rules.network.dim();
    return anderson_.start_within(distance(state, moved, dim) + error, rules.sharpness,
                                  rules.jacobian_trace(moved, moments.square), dim, state);
  }
  // Whether that is likely, from an update that is not quite exact.
  static bool may_confirm(const T* moved, const Moments& moments, double error,
                          const Rules<T>& rules, const T* state) {
    return Anderson<T>::contracts(rules.jacobian_trace(moved, moments.square),
                                  distance(state, moved, rules.network.dim()) + error,
                                  rules.sharpness);
  }
  bool is_within_reach(const T* state, std::ptrdiff_t dim) const {
    return anderson_.is_within_reach(state, dim);
  }

  void use_list() { listed_ = true; }
  // Waits longer after every failure, and from the start where lists are far from short.
  void give_up_list(bool far_from_short) {
    patience_ = patience_ == 0 ? (far_from_short ? 9 : 1) : 3 * patience_;
  }

  Status status() const { return status_; }
  Pace pace() const { return pace_; }
  std::int64_t steps() const { return steps_; }
  double residual() const { return residual_; }
  // Full updates to take after a list was given up.
  std::int64_t patience() const { return patience_; }
  // Whether its state is that of plain iteration to the bit.
  bool plain() const { return !listed_ && !anderson_.active(); }

 private:
  // How many updates are left at the rate of the last one.
  static double predicted_updates(double before, double residual, double limit) {
    if (!(residual < before)) return std::numeric_limits<double>::infinity();
    return std::log(limit / residual) / std::log(residual / before);
  }

  Anderson<T> anderson_;
  std::int64_t steps_ = 0, patience_ = 0;
  double residual_ = 0;
  Status status_ = Status::open;
  Pace pace_ = Pace::fast;
  bool listed_ = false;
};

}  // namespace hopfix
