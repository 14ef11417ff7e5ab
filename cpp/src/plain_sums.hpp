// Sums in plain double precision, in one fixed order, and what bounds their rounding.
#pragma once

#include <cstddef>

#include "hopfix/rounding.hpp"

namespace hopfix {

// A sum of non-negative terms, fewer than 2^20 roundings deep, times this is above the exact one.
inline constexpr double kAbove = 1 + 1e-9;
inline constexpr double kTiny = 1e-290;  // covers what underflow loses in any sum here

inline std::size_t at(std::ptrdiff_t i) { return static_cast<std::size_t>(i); }

// Four sums side by side, or each addition would wait for the last: count / 4 + 3 roundings deep.
template <class Term>
double sum_of(std::ptrdiff_t count, const Term& term) {
  double sums[4] = {0, 0, 0, 0};
  std::ptrdiff_t a = 0;
  for (; a + 4 <= count; a += 4)
    for (std::ptrdiff_t lane = 0; lane < 4; ++lane) sums[lane] += term(a + lane);
  for (; a < count; ++a) sums[0] += term(a);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

}  // namespace hopfix
