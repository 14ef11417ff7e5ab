#include "newton_ball.hpp"

#include <algorithm>
#include <cmath>

namespace hopfix {

namespace {

// The largest t found with exp(t) <= 1 + ratio: log1p only proposes it. The test is
// exp(-t) (1 + ratio) >= 1 with exp from below.
double log1p_lower(double ratio) {
  if (std::isinf(ratio)) return ratio;
  double t = std::min(std::log1p(ratio), 600.0);
  for (double shrink = 1e-13; shrink < 1; shrink *= 8) {
    const double candidate = t * (1 - shrink);
    const double decay = lower_bound(exp_nonpositive(-candidate) * (1 - kExpError));
    if (decay > 0 && lower_bound(decay * lower_bound(1 + ratio)) >= 1) return candidate;
    // Where t is below rounding, 1 + ratio says nothing: exp(t) <= 1 + t + t^2 for t <= 1.
    if (candidate <= 1 &&
        (UpperBound(candidate) + UpperBound(candidate) * UpperBound(candidate)).value() <= ratio)
      return candidate;
  }
  return 0;
}

}  // namespace

UpperBound growth(UpperBound t) {
  if (t.value() <= 1) return expm1_bound(t);
  if (t.value() > 600) return UpperBound(HUGE_VAL);
  const double decay = lower_bound(exp_nonpositive(-t.value()) * (1 - kExpError));
  return UpperBound(1) / decay;  // generous: the 1 is not taken off
}

std::optional<NewtonBall> find_newton_ball(const Spectrum& spectrum, UpperBound rate,
                                           UpperBound residual) {
  const double unique = lower_bound(log1p_lower(spectrum.min_ratio) / rate.value());
  const UpperBound newton_step = residual * spectrum.inverse_gap;
  const UpperBound q_factor = sqrt(spectrum.largest) * spectrum.root_over_gap;
  // The existence test at rho = |(I - J)^-1 F| / (1 - q), from q = 0 on.
  double radius = (1.001 * newton_step).value();
  for (int attempt = 0; attempt < 20; ++attempt) {
    const UpperBound q = growth(rate * UpperBound(radius)) * q_factor;
    if (!(q.value() < 1)) return std::nullopt;
    if (newton_step.value() <= lower_bound(lower_bound(1 - q.value()) * radius) && radius < unique)
      return NewtonBall{radius, unique};
    radius = (1.001 * (newton_step / lower_bound(1 - q.value()))).value();
  }
  return std::nullopt;
}

}  // namespace hopfix
