#include "face_conditions.hpp"

#include <algorithm>

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

// Lower bounds from one strategy over the face, normalised by its sum.
class Strategy {
 public:
  Strategy(const FaceGeometry& geometry, Interval theta, double shrink, const double* weights)
      : geometry_(geometry), theta_(theta), shrink_(shrink), weights_(weights) {
    const ptrdiff_t k = geometry.size();
    for (ptrdiff_t m = 0; m < k; ++m) {
      valid_ = valid_ && weights[m] >= 0 && weights[m] < kInfinity;
      total_ = total_ + Interval(weights[m]);
    }
    valid_ = valid_ && total_.lo > 0 && total_.hi < kInfinity;
    if (!valid_) return;
    products_.assign(static_cast<size_t>(k), Interval(0));
    for (ptrdiff_t m = 0; m < k; ++m) {
      if (weights[m] == 0) continue;
      const Interval weight = weights[m];
      sum_ = sum_ + weight * geometry.inner_sum(m);
      for (ptrdiff_t l = 0; l < k; ++l)
        products_[static_cast<size_t>(l)] =
            products_[static_cast<size_t>(l)] + weight * geometry.inner(m, l);
    }
  }

  // Of min over the vertices v_l, l != left_out, of sum_m p_m (x_m - y) . v_l, for a pattern y with
  // inner products x_l . y and their sum.
  template <class Inner>
  double least_payoff(Interval inner_sum, const Inner& inner, ptrdiff_t left_out) const {
    if (!valid_) return -kInfinity;
    const Interval common = theta_ * (sum_ - total_ * inner_sum);
    double least = kInfinity;
    for (ptrdiff_t l = 0; l < geometry_.size(); ++l) {
      if (l == left_out) continue;
      const Interval own =
          Interval(shrink_) * (products_[static_cast<size_t>(l)] - total_ * inner(l));
      least = std::min(least, ((common + own) / total_).lo);
    }
    return least;
  }

  // Of the entropy: log S - sum p log p / S for weights p of sum S.
  double entropy() const {
    if (!valid_) return -kInfinity;
    Interval sum = 0;
    for (ptrdiff_t m = 0; m < geometry_.size(); ++m)
      if (weights_[m] > 0) sum = sum + Interval(weights_[m]) * log(Interval(weights_[m]));
    return (log(total_) - sum / total_).lo;
  }

 private:
  const FaceGeometry& geometry_;
  Interval theta_;
  double shrink_;
  const double* weights_;
  bool valid_ = true;
  Interval total_ = 0, sum_ = 0;
  std::vector<Interval> products_;
};

}  // namespace

FaceConditions::FaceConditions(const FaceGeometry& geometry, double shrink,
                               const FaceWitness& witness)
    : geometry_(geometry),
      theta_((Interval(1) - Interval(shrink)) / Interval(static_cast<double>(geometry.size()))) {
  const ptrdiff_t k = geometry.size(), q = geometry.others();
  const auto outside = [&](const double* weights, ptrdiff_t j, ptrdiff_t left_out) {
    return Strategy(geometry, theta_, shrink, weights)
        .least_payoff(
            geometry.outer_sum(j), [&](ptrdiff_t l) { return geometry.outer(l, j); }, left_out);
  };
  for (ptrdiff_t j = 0; j < q; ++j)
    margins_.push_back(outside(witness.margin_strategies.data() + j * k, j, -1));
  if (k == 1) return;
  for (ptrdiff_t i = 0; i < k; ++i) {
    for (ptrdiff_t j = 0; j < q; ++j)
      facet_margins_.push_back(outside(witness.facet_strategies.data() + (i * q + j) * k, j, i));
    const Strategy strategy(geometry, theta_, shrink, witness.facet_weights.data() + i * k);
    entropies_.push_back(strategy.entropy());
    slopes_.push_back(strategy.least_payoff(
        geometry.inner_sum(i), [&](ptrdiff_t l) { return geometry.inner(l, i); }, i));
  }
}

bool FaceConditions::hold(double beta, double thickness) const {
  if (!(beta >= 0 && beta < kInfinity && thickness >= 0 && thickness < kInfinity)) return false;
  if (!inward(beta, thickness)) return false;
  for (ptrdiff_t i = 0; i < static_cast<ptrdiff_t>(slopes_.size()); ++i)
    if (!outward(i, beta, thickness)) return false;
  return true;
}

bool FaceConditions::inward(double beta, double thickness) const {
  if (thickness >= geometry_.largest_distance()) return true;
  Interval sum = 0;
  for (ptrdiff_t j = 0; j < geometry_.others(); ++j) {
    const Interval distance = geometry_.distance(j);
    if (distance.hi == 0) continue;
    const Interval exponent =
        Interval(margins_[static_cast<size_t>(j)]) - Interval(thickness) * distance;
    if (!(exponent.lo >= 0)) return false;
    sum = sum + distance * exp(-(Interval(beta) * Interval(exponent.lo)));
  }
  return sum.hi <= thickness;
}

bool FaceConditions::outward(ptrdiff_t facet, double beta, double thickness) const {
  Interval rest = theta_;
  for (ptrdiff_t j = 0; j < geometry_.others(); ++j) {
    const Interval excess = Interval(geometry_.coordinate(facet, j)) - theta_;
    if (!(excess.hi > 0)) continue;
    const double margin = facet_margins_[static_cast<size_t>(facet * geometry_.others() + j)];
    const Interval exponent =
        Interval(margin) - Interval(thickness) * Interval(geometry_.distance(j));
    if (!(exponent.lo >= 0)) return false;
    rest = rest - Interval(excess.hi) * exp(-(Interval(beta) * Interval(exponent.lo)));
  }
  if (!(rest.lo > 0)) return false;
  const Interval value = Interval(entropies_[static_cast<size_t>(facet)]) +
                         Interval(beta) * Interval(slopes_[static_cast<size_t>(facet)]);
  return value.lo > -log(rest).lo;
}

}  // namespace hopfix
