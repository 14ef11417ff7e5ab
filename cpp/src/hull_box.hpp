// A box of the coordinates of hull_form.hpp, with the patterns that count in it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "hull_form.hpp"

namespace hopfix {

using HullVector = std::array<double, HullForm::kHighestRank>;

struct HullBox {
  std::vector<double> lo, hi;
  // The live patterns in ascending order of each coordinate, rank x live.
  std::vector<std::int32_t> orders;
  // Bounds of log p of the live patterns at fixed points in the box, in the order of coordinate 0.
  std::vector<double> log_lo, log_hi;
  double dropped = 0;  // at most this share of the weights is on other patterns

  std::ptrdiff_t rank() const { return static_cast<std::ptrdiff_t>(lo.size()); }
  std::ptrdiff_t live() const { return static_cast<std::ptrdiff_t>(log_lo.size()); }

  double width(std::ptrdiff_t k) const {
    return hi[static_cast<std::size_t>(k)] - lo[static_cast<std::size_t>(k)];
  }

  // Leaves the part with low <= eta_k <= high; whether there is one.
  bool narrow(std::ptrdiff_t k, double low, double high) {
    const auto at = static_cast<std::size_t>(k);
    if (low > lo[at]) lo[at] = low;
    if (high < hi[at]) hi[at] = high;
    return lo[at] <= hi[at];
  }
};

}  // namespace hopfix
