// Rows brought to mean 0 and variance 1 (Ba et al. 2016, without scale and shift):
//
//   y = (x - mean) inverse,  inverse = 1 / sqrt(variance + eps)
//
// with the variance of the centred row, divided by dim. Sums run in an order fixed by dim: results
// do not depend on the number of threads. One pass over memory; O(rows dim).
#pragma once

#include <cstddef>

#include "hopfix/parallel.hpp"

namespace hopfix {

// x, y: rows x dim; means, inverses: rows. T is float or double.
template <class T>
void normalize_rows(const T* x, std::ptrdiff_t rows, std::ptrdiff_t dim, double eps, T* y, T* means,
                    T* inverses, const Execution& execution);

}  // namespace hopfix
