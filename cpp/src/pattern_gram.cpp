#include "pattern_gram.hpp"

#include <algorithm>
#include <cmath>

namespace hopfix {

using std::ptrdiff_t;
using std::size_t;

PatternGram make_gram(const double* patterns, const double* offsets, ptrdiff_t n, ptrdiff_t dim,
                      int exponent, const Execution& execution) {
  PatternGram gram;
  gram.n = n;
  gram.dim = dim;
  gram.products.resize(static_cast<size_t>(n * n));
  gram.offsets.resize(static_cast<size_t>(n), 0.0);
  std::vector<double>& x = gram.patterns;
  x.assign(patterns, patterns + n * dim);
  for (double& value : x) value = std::ldexp(value, -exponent);
  double largest = 0;
  for (ptrdiff_t i = 0; offsets != nullptr && i < n; ++i) {
    double& offset = gram.offsets[static_cast<size_t>(i)];
    offset = std::ldexp(offsets[i], -2 * exponent);
    largest = std::max(largest, std::abs(offset));
  }
  gram.no_offsets = largest == 0;
  parallel_for(n, execution, [&](ptrdiff_t i, int) {
    for (ptrdiff_t j = 0; j < n; ++j) {
      double sum = 0;
      for (ptrdiff_t k = 0; k < dim; ++k)
        sum += x[static_cast<size_t>(i * dim + k)] * x[static_cast<size_t>(j * dim + k)];
      gram.products[static_cast<size_t>(i * n + j)] = sum;
    }
  });
  for (ptrdiff_t i = 0; i < n; ++i) gram.scale = std::max(gram.scale, gram(i, i));
  gram.scale += largest;
  return gram;
}

int common_exponent(const double* patterns, const double* offsets, ptrdiff_t n, ptrdiff_t dim) {
  int exponent = -1100;
  const auto raise = [&](double value, int divisor) {
    if (value == 0) return;
    int e = 0;
    std::frexp(value, &e);
    exponent = std::max(exponent, divisor == 1 ? e : (e + 1) / 2);
  };
  for (ptrdiff_t i = 0; i < n * dim; ++i) raise(patterns[i], 1);
  for (ptrdiff_t i = 0; offsets != nullptr && i < n; ++i) raise(offsets[i], 2);
  return exponent == -1100 ? 0 : exponent;
}

}  // namespace hopfix
