// Newton's method for a box of hull coordinates.
//
// Over its interval p_i = exp(t_i) = s_i (t_i - t_i0) + rho_i, with t_i0 the value at the centre of
// the box and s_i the slope of the chord, for which rho_i varies least. At a fixed point, for
// delta = eta - centre and any a,
//
//   delta = a - centre + sum_i p_i (y_i - a),   t_i - t_i0 = beta y_i . delta - mu.
//
// With a = sum s_i y_i / sum s_i and u_i = y_i - a the unknown mu drops out,
//
//   (1 - K) delta = a - centre + sum_i rho_i u_i,   K = beta sum_i s_i u_i u_i',
//
// and an approximate inverse of 1 - K gives delta as a linear form in the rho. With sum p = 1 it
// gives every t_i, and p_i, as such forms too.
//
// Sums run in plain double precision in one fixed order; their rounding is added as gamma_n times
// the sum of magnitudes.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "hull_box.hpp"
#include "hull_form.hpp"
#include "hull_weights.hpp"

namespace hopfix {

class HullNewton {
 public:
  enum class Outcome { done, useless, empty };

  // `weights` must have been bounded on the box, which may have been narrowed since.
  // O(live rank^2), and O(live^2 rank) more for few live patterns, whose weights it narrows too.
  Outcome narrow(const HullForm& form, const HullWeights& weights, HullBox& box);

  // How much each coordinate adds to what keeps the last box from shrinking further: for splitting.
  const HullVector& bend() const { return bend_; }

 private:
  using Matrix = std::array<HullVector, HullForm::kHighestRank>;
  // Up to so many live patterns the weights are narrowed.
  static constexpr std::ptrdiff_t kFew = 64;

  void linearise(const HullForm& form, const HullWeights& weights, const HullBox& box);
  bool set_up_side(const HullForm& form, const HullWeights& weights, const HullBox& box);
  void set_up_matrix(double beta, const HullVector& radius);
  bool invert();
  void solve(const HullVector& radius);
  bool narrow_weights(const HullForm& form, const HullWeights& weights, HullBox& box) const;
  bool narrow_weight(std::ptrdiff_t i, double start, double centre, double reach, double own,
                     const HullWeights& weights, HullBox& box) const;

  double* offset(std::ptrdiff_t k) { return offset_.data() + k * live_; }
  const double* offset(std::ptrdiff_t k) const { return offset_.data() + k * live_; }
  double* image(std::ptrdiff_t k) { return image_.data() + k * live_; }
  const double* image(std::ptrdiff_t k) const { return image_.data() + k * live_; }

  std::ptrdiff_t rank_ = 0, live_ = 0;
  double gamma_ = 0;  // of sums over the live patterns
  std::vector<double> chord_, rho_, rho_radius_;
  double chords_ = 0;                      // their sum
  std::vector<double> offset_, image_;     // u, and the inverse times u; rank x live
  std::vector<double> influence_;          // of each rho on one coordinate
  HullVector shift_{};                     // a - centre
  HullVector side_{}, side_error_{};       // a - centre + sum rho u
  HullVector spread_{};                    // sum |u| (|rho| + its radius)
  Matrix matrix_{}, inverse_{};            // 1 - K
  HullVector step_{}, error_{}, reach_{};  // delta is within reach of step; error without rho's
  HullVector shift_step_{};                // the inverse times a - centre
  double imbalance_ = 0;                   // beta |sum s u . delta|: rounding
  HullVector bend_{};
};

}  // namespace hopfix
