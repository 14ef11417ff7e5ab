#include "face_geometry.hpp"

#include <algorithm>
#include <cmath>

#include "hopfix/rounding.hpp"
#include "small_cholesky.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

// Products are exact, and each of dim additions errs by less than 4 u^2 of the sum of magnitudes;
// 2^-960 is more than gradual underflow can lose.
Interval enclosed_inner_product(const double* x, const double* y, ptrdiff_t dim) {
  DoubleDouble sum = 0.0;
  double magnitude = 0;
  for (ptrdiff_t k = 0; k < dim; ++k) {
    sum = sum + two_prod(x[k], y[k]);
    magnitude += std::fabs(x[k] * y[k]);
  }
  const double error = 1.001 * 4 * static_cast<double>(dim) * 0x1p-106 * magnitude + kUnderflow;
  return Interval(sum.hi) + (Interval(sum.lo) + Interval(-error, error));
}

double magnitude(Interval x) { return std::max(std::fabs(x.lo), std::fabs(x.hi)); }
double middle(Interval x) { return 0.5 * x.lo + 0.5 * x.hi; }

// Y, close to the inverse of a Gram matrix A of intervals, and a bound of |A^-1| in the maximum
// norm, |Y| / (1 - |I - Y A|); infinite if A may be singular.
struct ProvedInverse {
  std::vector<double> inverse;
  double norm = kInfinity;

  ProvedInverse(const std::vector<Interval>& a, size_t n) : inverse(n * n) {
    std::vector<double> centre(n * n), column(n);
    std::transform(a.begin(), a.end(), centre.begin(), middle);
    SmallCholesky cholesky;
    if (!cholesky.factor(std::move(centre), n)) return;
    for (size_t j = 0; j < n; ++j) {
      std::fill(column.begin(), column.end(), 0.0);
      column[j] = 1;
      cholesky.solve(column);
      for (size_t i = 0; i < n; ++i) inverse[i * n + j] = column[i];
    }
    double defect = 0, size = 0;
    for (size_t i = 0; i < n; ++i) {
      Interval row_defect = 0, row_size = 0;
      for (size_t j = 0; j < n; ++j) {
        Interval sum = i == j ? -1 : 0;
        for (size_t k = 0; k < n; ++k) sum = sum + Interval(inverse[i * n + k]) * a[k * n + j];
        row_defect = row_defect + Interval(magnitude(sum));
        row_size = row_size + Interval(std::fabs(inverse[i * n + j]));
      }
      if (!(row_defect.hi < 0.5)) return;
      defect = std::max(defect, row_defect.hi);
      size = std::max(size, row_size.hi);
    }
    norm = (Interval(size) / (Interval(1) - Interval(defect))).hi;
  }
};

}  // namespace

FaceGeometry::FaceGeometry(const double* patterns, ptrdiff_t n, ptrdiff_t dim,
                           const std::int64_t* face, ptrdiff_t size, bool isolated)
    : size_(size) {
  std::vector<char> in_face(static_cast<size_t>(n));
  for (ptrdiff_t m = 0; m < size; ++m) in_face[static_cast<size_t>(face[m])] = 1;
  std::vector<std::int64_t> columns(face, face + size);
  for (ptrdiff_t j = 0; j < n && !isolated; ++j)
    if (!in_face[static_cast<size_t>(j)]) columns.push_back(j);
  others_ = static_cast<ptrdiff_t>(columns.size()) - size;
  for (const std::int64_t j : columns)
    longest_ = std::max(longest_, norm_bound(patterns + j * dim, dim).value());
  // Beyond this an intermediate of double-double arithmetic may overflow.
  finite_ = longest_ < 0x1p450;
  if (!finite_) return;
  inner_.resize(columns.size() * static_cast<size_t>(size));
  sums_.assign(columns.size(), Interval(0));
  for (ptrdiff_t m = 0; m < size; ++m)
    for (size_t c = 0; c < columns.size(); ++c) {
      const Interval product =
          enclosed_inner_product(patterns + face[m] * dim, patterns + columns[c] * dim, dim);
      inner_[at(m, static_cast<ptrdiff_t>(c))] = product;
      sums_[c] = sums_[c] + product;
    }
  project(patterns, dim, face, {columns.begin() + size, columns.end()});
}

// With edges e_a = x_a - x_0 the coordinates 1, 2, ... of x_j solve the Gram system of the edges
// with right side e_a . (x_j - x_0); whatever solution rounding gives, its residual bounds its
// error, and it names a point of aff(x_I) whose distance from x_j bounds that of the flat.
void FaceGeometry::project(const double* patterns, ptrdiff_t dim, const std::int64_t* face,
                           const std::vector<std::int64_t>& outside) {
  const ptrdiff_t edges = size_ - 1;
  std::vector<Interval> gram(static_cast<size_t>(edges * edges));
  for (ptrdiff_t a = 0; a < edges; ++a)
    for (ptrdiff_t b = 0; b < edges; ++b)
      gram[static_cast<size_t>(a * edges + b)] =
          (inner(a + 1, b + 1) - inner(a + 1, 0)) - (inner(0, b + 1) - inner(0, 0));
  const ProvedInverse solver(gram, static_cast<size_t>(edges));
  independent_ = edges == 0 || solver.norm < kInfinity;
  if (!independent_) return;

  coordinates_.resize(static_cast<size_t>(size_ * others_));
  distances_.resize(static_cast<size_t>(others_));
  std::vector<Interval> right(static_cast<size_t>(edges));
  std::vector<double> solution(static_cast<size_t>(edges));
  std::vector<double> rest(static_cast<size_t>(dim));
  for (ptrdiff_t j = 0; j < others_; ++j) {
    for (ptrdiff_t a = 0; a < edges; ++a) {
      right[static_cast<size_t>(a)] =
          (outer(a + 1, j) - inner(a + 1, 0)) - (outer(0, j) - inner(0, 0));
    }
    for (ptrdiff_t a = 0; a < edges; ++a) {
      double sum = 0;
      for (ptrdiff_t b = 0; b < edges; ++b)
        sum += solver.inverse[static_cast<size_t>(a * edges + b)] *
               middle(right[static_cast<size_t>(b)]);
      solution[static_cast<size_t>(a)] = sum;
    }
    double residual = 0;
    for (ptrdiff_t a = 0; a < edges; ++a) {
      Interval sum = right[static_cast<size_t>(a)];
      for (ptrdiff_t b = 0; b < edges; ++b)
        sum = sum -
              gram[static_cast<size_t>(a * edges + b)] * Interval(solution[static_cast<size_t>(b)]);
      residual = std::max(residual, magnitude(sum));
    }
    const double error = edges == 0 ? 0 : (Interval(solver.norm) * Interval(residual)).hi;
    Interval first = 1;
    for (ptrdiff_t a = 0; a < edges; ++a) {
      const Interval coordinate =
          Interval(solution[static_cast<size_t>(a)]) + Interval(-error, error);
      coordinates_[static_cast<size_t>((a + 1) * others_ + j)] = coordinate.hi;
      first = first - coordinate;
    }
    coordinates_[static_cast<size_t>(j)] = first.hi;

    if (edges >= dim) continue;  // the face spans the space: distance 0
    const double *x = patterns + outside[static_cast<size_t>(j)] * dim,
                 *base = patterns + face[0] * dim;
    for (ptrdiff_t k = 0; k < dim; ++k) rest[static_cast<size_t>(k)] = x[k] - base[k];
    Interval terms = 1;
    for (ptrdiff_t a = 0; a < edges; ++a) {
      const double* member = patterns + face[a + 1] * dim;
      for (ptrdiff_t k = 0; k < dim; ++k)
        rest[static_cast<size_t>(k)] -= solution[static_cast<size_t>(a)] * (member[k] - base[k]);
      terms = terms + Interval(std::fabs(solution[static_cast<size_t>(a)]));
    }
    // Every component sums at most 3k + 2 terms that add up to 2 (1 + sum |coordinates|) norms.
    const UpperBound rounding =
        gamma_bound(3 * size_ + 4) * UpperBound(2 * terms.hi) * UpperBound(longest_);
    const double distance =
        (norm_bound(rest.data(), dim) + rounding + UpperBound(kUnderflow)).value();
    distances_[static_cast<size_t>(j)] = distance;
    largest_distance_ = std::max(largest_distance_, distance);
  }
}

}  // namespace hopfix
