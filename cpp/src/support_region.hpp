// Regions lo <= p <= hi of softmax weights, all but those of a few patterns small, and the rules
// that shrink them around the fixed points they hold, losing none:
//
// * The sum. p_i = 1 - the others.
// * Newton on the weights of the members, which are the support and all patterns heavy enough to
//   bend anything, for one of them, r. Over its interval log p_i = s_i p_i +
//   rho_i, s_i the slope of the chord, for which rho_i varies least. Without p_r = 1 - the others,
//   the equations of support_form.hpp are
//     H p = side,   H = diag(s) + s_r 1 1' - C,
//     side_i = D_ir + b_i - b_r + s_r + rho_r - rho_i + sum_{k outside} (C_ik - s_r) p_k,
//   and an approximate inverse Y of H gives p, and log p = s p + rho, as linear forms in the rho
//   and the weights outside, up to (I - Y H) p, which is bounded entry by entry.
// * Scores. The weights outside are p_r exp(g_k - g_r), where what those outside add to a score
//   is at most, by Cauchy and Schwarz, beta |x_k - x_r| sum_j p_j |x_j - x_r|.
//
// Sums run in plain double precision in one fixed order; their rounding is added as gamma_n times
// the sum of magnitudes. O(n m + m^3) a round with m members.
#pragma once

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "support_form.hpp"

namespace hopfix {

struct SupportRegion {
  std::vector<double> lo, hi;  // n each; the support's lower ends are above 0
  int depth = 0;
};

// For regions of one set of members at a time; one per thread.
class SupportContractor {
 public:
  explicit SupportContractor(const SupportForm& form) : form_(form), n_(form.size()) {}

  // The weights of the support are at least `share`, all others at most.
  SupportRegion start(const std::vector<std::ptrdiff_t>& support, double share);
  // False if the region is proved to hold no fixed point.
  bool contract(SupportRegion& region);
  // Of a region just contracted, above and below a value of the weight that keeps it from shrinking
  // further; none where there is no double between its ends.
  std::optional<std::pair<SupportRegion, SupportRegion>> halves(const SupportRegion& region) const;

  std::int64_t newton_steps() const { return newton_steps_; }
  // Multiplications so far, roughly.
  double work() const { return work_; }

 private:
  bool by_sum();
  bool by_newton();
  bool by_scores();
  void choose_members();
  void linearise();
  void set_up_equations();
  bool invert();
  bool solve();
  bool narrow(std::ptrdiff_t a, double centre, double radius, double own);
  bool within(std::ptrdiff_t i, double low, double high);
  double openness() const;
  double coupling(std::ptrdiff_t i, std::ptrdiff_t k) const;  // C_ik
  double constant(std::ptrdiff_t i) const;                    // D_ir + b_i - b_r

  std::ptrdiff_t order() const { return static_cast<std::ptrdiff_t>(members_.size()) - 1; }

  const SupportForm& form_;
  const std::ptrdiff_t n_;
  SupportRegion* region_ = nullptr;
  std::int64_t newton_steps_ = 0;
  double work_ = 0;
  double outside_ = 0, outside_radius_ = 0;  // the weights outside, together
  std::vector<std::ptrdiff_t> support_;
  std::vector<std::ptrdiff_t> members_;  // members_.back() is r
  std::vector<std::ptrdiff_t> others_;   // outside
  std::vector<double> slope_, rho_, rho_radius_, side_, side_radius_, matrix_, inverse_;
  std::vector<double> row_, row_sizes_, last_row_, last_sizes_, results_, influence_;
  std::vector<std::ptrdiff_t> pivots_;
};

}  // namespace hopfix
