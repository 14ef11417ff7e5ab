#include "hopfix/affine_hull.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hopfix {

namespace {

double dot(const double* a, const double* b, std::ptrdiff_t dim) {
  double sum = 0;
  for (std::ptrdiff_t k = 0; k < dim; ++k) sum += a[k] * b[k];
  return sum;
}

// row -= (row . unit) unit
void project_out(double* row, const double* unit, std::ptrdiff_t dim) {
  const double along = dot(row, unit, dim);
  for (std::ptrdiff_t k = 0; k < dim; ++k) row[k] -= along * unit[k];
}

std::vector<double> mean_of(const double* patterns, std::ptrdiff_t n, std::ptrdiff_t dim) {
  std::vector<double> mean(static_cast<std::size_t>(dim));
  for (std::ptrdiff_t i = 0; i < n; ++i)
    for (std::ptrdiff_t k = 0; k < dim; ++k)
      mean[static_cast<std::size_t>(k)] += patterns[i * dim + k] / static_cast<double>(n);
  return mean;
}

// Gram-Schmidt with pivoting; every new direction is orthogonalised twice, which is enough
// (Giraud, Langou & Rozloznik 2005).
std::vector<double> orthonormal_basis(std::vector<double> rows, std::ptrdiff_t dim) {
  const std::ptrdiff_t n = static_cast<std::ptrdiff_t>(rows.size()) / dim;
  std::vector<double> basis;
  double largest = 0;
  for (std::ptrdiff_t rank = 0; rank < std::min(n, dim); ++rank) {
    std::ptrdiff_t pivot = 0;
    double square = -1;
    for (std::ptrdiff_t i = 0; i < n; ++i) {
      const double here = dot(rows.data() + i * dim, rows.data() + i * dim, dim);
      if (here > square) {
        square = here;
        pivot = i;
      }
    }
    const double length = std::sqrt(square);
    largest = std::max(largest, length);
    if (!(length > static_cast<double>(n) * std::numeric_limits<double>::epsilon() * largest))
      break;
    std::vector<double> unit(rows.begin() + pivot * dim, rows.begin() + (pivot + 1) * dim);
    for (int pass = 0; pass < 2; ++pass)
      for (std::ptrdiff_t r = 0; r < rank; ++r)
        project_out(unit.data(), basis.data() + r * dim, dim);
    const double norm = std::sqrt(dot(unit.data(), unit.data(), dim));
    for (double& value : unit) value /= norm;
    basis.insert(basis.end(), unit.begin(), unit.end());
    for (std::ptrdiff_t i = 0; i < n; ++i) project_out(rows.data() + i * dim, unit.data(), dim);
  }
  return basis;
}

}  // namespace

std::vector<double> AffineHull::embed(const double* states, std::ptrdiff_t count) const {
  const auto dim = static_cast<std::ptrdiff_t>(base.size());
  std::vector<double> out;
  out.reserve(static_cast<std::size_t>(count * dim));
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    out.insert(out.end(), base.begin(), base.end());
    double* row = out.data() + i * dim;
    for (std::ptrdiff_t r = 0; r < rank; ++r)
      for (std::ptrdiff_t k = 0; k < dim; ++k)
        row[k] += states[i * rank + r] * basis[static_cast<std::size_t>(r * dim + k)];
  }
  return out;
}

AffineHull affine_hull(const double* patterns, std::ptrdiff_t n, std::ptrdiff_t dim) {
  AffineHull hull;
  hull.base = mean_of(patterns, n, dim);
  std::vector<double> centred(patterns, patterns + n * dim);
  for (std::ptrdiff_t i = 0; i < n; ++i)
    for (std::ptrdiff_t k = 0; k < dim; ++k)
      centred[static_cast<std::size_t>(i * dim + k)] -= hull.base[static_cast<std::size_t>(k)];
  hull.basis = orthonormal_basis(std::move(centred), dim);
  hull.rank = static_cast<std::ptrdiff_t>(hull.basis.size()) / dim;
  for (std::ptrdiff_t r = 0; r < hull.rank; ++r)
    project_out(hull.base.data(), hull.basis.data() + r * dim, dim);
  for (std::ptrdiff_t i = 0; i < n; ++i)
    for (std::ptrdiff_t r = 0; r < hull.rank; ++r)
      hull.patterns.push_back(dot(patterns + i * dim, hull.basis.data() + r * dim, dim));
  return hull;
}

}  // namespace hopfix
