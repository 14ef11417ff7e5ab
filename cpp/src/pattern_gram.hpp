// Patterns through their inner products, for critical_faces and the search for supports.
#pragma once

#include <cstddef>
#include <vector>

#include "hopfix/parallel.hpp"

namespace hopfix {

// Patterns through their inner products, scaled so that |x|^2 + |a| is at most about 1.
struct PatternGram {
  std::ptrdiff_t n = 0, dim = 0;
  std::vector<double> patterns, products, offsets;
  double scale = 0;  // max |x|^2 + max |a|
  bool no_offsets = true;

  double operator()(std::ptrdiff_t i, std::ptrdiff_t j) const {
    return products[static_cast<std::size_t>(i * n + j)];
  }
  const double* pattern(std::ptrdiff_t i) const { return patterns.data() + i * dim; }
  const double* row(std::ptrdiff_t i) const { return products.data() + i * n; }
  double offset(std::ptrdiff_t i) const { return offsets[static_cast<std::size_t>(i)]; }
  // (x_i - x_o) . (x_j - x_o)
  double difference(std::ptrdiff_t i, std::ptrdiff_t j, std::ptrdiff_t o) const {
    const PatternGram& g = *this;
    return (g(i, j) - g(i, o)) - (g(j, o) - g(o, o));
  }
};

// The power of two that brings all patterns, and offsets to its square, to order 1. offsets may be
// null: zeros.
int common_exponent(const double* patterns, const double* offsets, std::ptrdiff_t n,
                    std::ptrdiff_t dim);

// Of the patterns scaled by 2^-exponent. O(n^2 dim).
PatternGram make_gram(const double* patterns, const double* offsets, std::ptrdiff_t n,
                      std::ptrdiff_t dim, int exponent, const Execution& execution);

}  // namespace hopfix
