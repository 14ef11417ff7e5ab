// Shrinks boxes of hull coordinates around the fixed points they hold, losing none: bounds the
// weights (hull_weights.hpp), leaves out patterns whose weight stays below rounding, and narrows
// the box to the averages of the patterns that such weights allow and by Newton's method
// (hull_newton.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "archive.hpp"
#include "hull_box.hpp"
#include "hull_form.hpp"
#include "hull_newton.hpp"
#include "hull_weights.hpp"

namespace hopfix {

class HullContractor {
 public:
  using Box = HullBox;

  // Memory and counters of one thread.
  struct Workspace {
    std::int64_t newton_steps = 0;
    std::function<bool()> stop;  // asked between the steps of a box
    HullWeights weights;
    HullNewton newton;
    std::vector<std::int32_t> place;  // of a pattern among the live
  };

  // Keeps a reference.
  explicit HullContractor(const HullForm& form) : form_(form) {}

  Box whole() const;
  // Applies the rules while they help. False if the box is proved to hold no fixed point. Throws
  // Interrupted where work.stop says so.
  bool contract(Box& box, Workspace& work) const;
  // Two parts of a box just contracted; none if there is no double between its ends.
  std::optional<std::pair<Box, Box>> halves(const Box& box, const Workspace& work) const;

  // The widest side, in units of the largest extent of the patterns.
  double width(const Box& box) const;
  // The state in the middle.
  std::vector<double> middle(const Box& box) const;
  // No fixed point that belongs to a point of the box is further than this from `state`.
  double reach(const Box& box, const std::vector<double>& state) const;
  void write(const Box& box, Writer& writer) const;
  Box read(Reader& reader) const;

 private:
  void place_live(const Box& box, Workspace& work) const;
  bool narrow_to_averages(Box& box, const Workspace& work) const;
  void drop_weightless(Box& box, const Workspace& work) const;

  const HullForm& form_;
};

}  // namespace hopfix
