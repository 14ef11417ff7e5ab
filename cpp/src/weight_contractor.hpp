// Shrinks boxes of weights around the fixed points they hold, losing none.
//
// Three rules, each of which keeps every solution of weight_form.hpp that is in the box:
//
// * The sum. p_i = 1 - the others.
// * Scores. The range of g_i - g_r, linear in p, over box and simplex is a fractional knapsack
//   (start at the lower ends, hand the rest of the mass to the smallest coefficients first). With
//   l_ir its lower end, p_i = 1 / sum_r exp(g_r - g_i) <= 1 / sum_r exp(l_ri), likewise from below,
//   and log p_i >= log p_r + l_ir.
// * Newton. Over its interval log p_i = s_i p_i + rho_i with s_i the slope of the chord, for which
//   rho_i varies least: by the height of the logarithm above its chord. Without p_r = 1 - the
//   others, the equations of the live patterns are H p = c_r + s_r - rho + rho_r with
//   H = diag(s) + s_r 1 1' - C^r. An approximate inverse Y of H gives p_i, and log p_i = s_i p_i +
//   rho_i, as linear forms in the rho, up to (I - Y H) p, which is bounded entry by entry. Patterns
//   whose weights are too small to bend anything are not live: their share of the equations is an
//   interval, and their own weights follow from the live ones.
//
// Sums run in plain double precision in one fixed order; their rounding is added as gamma_n times
// the sum of magnitudes. Scores and Newton cost O(n^3) each.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "archive.hpp"
#include "hopfix/network.hpp"
#include "weight_box.hpp"
#include "weight_form.hpp"

namespace hopfix {

class WeightContractor {
 public:
  using Box = WeightBox;

  // Memory and counters of one thread.
  struct Workspace {
    std::int64_t newton_steps = 0;
    std::function<bool()> stop;                     // asked between the steps of a box
    std::vector<double> lower, exponentials;        // n x n, of the scores
    std::vector<std::ptrdiff_t> live, dead;         // patterns; live.back() is r
    std::vector<double> slope, rho, rho_radius;     // of the live patterns
    std::vector<double> side, side_radius;          // of H p = side, without rho's radius
    std::vector<double> matrix, inverse;            // H and Y
    std::vector<double> row, last_row, last_sizes;  // of I - Y H; minus the sum of Y's rows
    std::vector<double> row_sizes, results;
    std::vector<double> influence;  // of each pattern's rho on all weights, in the last Newton step
    std::vector<std::ptrdiff_t> pivots;
  };

  // Keeps references.
  WeightContractor(const Network<double>& network, const WeightForm& form)
      : network_(network), form_(form) {}

  Box whole() const { return Box(form_.size()); }
  // Applies the rules while they help. False if the box is proved to hold no fixed point.
  bool contract(Box& box, Workspace& work) const;
  // The parts of a box just contracted above and below the logarithmic mean of one weight, which
  // bends much and matters to all; none where there is no double between its ends.
  std::optional<std::pair<Box, Box>> halves(const Box& box, const Workspace& work) const;

  double width(const Box& box) const { return box.width(); }
  std::vector<double> middle(const Box& box) const { return middle_state(network_, box); }
  double reach(const Box& box, const std::vector<double>& state) const {
    return reach_from(network_, box, state);
  }

  void write(const Box& box, Writer& writer) const { writer.put(box.bounds()); }
  Box read(Reader& reader) const { return Box(reader.list<double>()); }

 private:
  const Network<double>& network_;
  const WeightForm& form_;
};

}  // namespace hopfix
