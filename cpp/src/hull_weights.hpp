// Bounds of the softmax weights over a box of hull coordinates.
//
// t_i(eta) = log p_i = l_i - log sum exp l is concave: over a box it is least at a vertex, where it
// is computed, and nowhere above its tangent at the centre or at a vertex. That takes 2^rank sums
// over the patterns; their exponentials are products of rank + 1 factors each.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "hull_box.hpp"
#include "hull_form.hpp"

namespace hopfix {

class HullWeights {
 public:
  // Narrows the bounds of log p in the box, and keeps the quantities below until the next call.
  // False if the box holds no fixed point. O(live 2^rank rank).
  bool bound(const HullForm& form, HullBox& box);

  std::ptrdiff_t live() const { return live_; }
  // Of the live patterns, in the order of coordinate 0.
  const double* coordinate(std::ptrdiff_t k) const { return y_.data() + k * live_; }
  // Bounds of p.
  const double* lo() const { return lo_.data(); }
  const double* hi() const { return hi_.data(); }
  // t at the centre, to rounding.
  double start(std::ptrdiff_t a) const { return logit_[static_cast<std::size_t>(a)] - log_sum_; }

  // The box lies in centre +- radius, exactly.
  const HullVector& centre() const { return centre_; }
  const HullVector& radius() const { return radius_; }

 private:
  // Where a vertex's sum, in units of its factors' largest, is below this, terms may be lost.
  static constexpr double kSmallestSum = 1e-200;

  void gather(const HullForm& form, const HullBox& box);
  void evaluate_centre(const HullForm& form, const HullBox& box);
  void factorise();
  void measure_rounding(const HullForm& form, const HullBox& box);
  void bound_at_centre(double beta);
  void visit_vertices(double beta, std::ptrdiff_t k, const double* logit, const double* exponential,
                      double shift);
  void bound_at_vertex(double beta, const double* logit, const double* exponential, double shift);
  double log_of_sum(const double* exponential, double shift, HullVector& average) const;
  bool exponentiate(HullBox& box);

  std::ptrdiff_t rank_ = 0, live_ = 0;
  HullVector centre_{}, radius_{};
  std::vector<double> y_, slope_;                      // rank x live
  std::vector<double> logit_, exponential_;            // at the centre
  std::vector<double> factors_;                        // rank x 2 x live
  std::vector<double> path_logit_, path_exponential_;  // on the way to a vertex, rank x live
  std::vector<double> log_lo_, log_hi_, tangent_;      // of t, without rounding
  std::vector<double> lo_, hi_;                        // of p
  std::array<std::array<double, 2>, HullForm::kHighestRank> shifts_{};  // logs of largest factors
  std::array<bool, HullForm::kHighestRank> upper_{};  // sides of the vertex visited
  double log_sum_ = 0;                                // at the centre
  double slack_ = 0, tangent_slack_ = 0;              // error of t, and of its upper bounds
};

}  // namespace hopfix
