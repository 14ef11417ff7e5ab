#include "normal_matrix.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>

#include "hopfix/isa.hpp"
#include "kernels/table.hpp"

namespace hopfix {

namespace {

constexpr double kUnit = std::numeric_limits<double>::epsilon() / 2;

double dot(const double* x, const double* y, std::ptrdiff_t count) {
  double sum = 0;
  isa::table().dense->matrix_vector(x, y, 1, count, &sum);
  return sum;
}

double norm(const std::vector<double>& x) {
  return std::sqrt(dot(x.data(), x.data(), static_cast<std::ptrdiff_t>(x.size())));
}

void add_scaled(double factor, const std::vector<double>& x, std::vector<double>& y) {
  for (std::size_t k = 0; k < x.size(); ++k) y[k] += factor * x[k];
}

void require_eigen(const std::vector<double>& matrix, std::vector<double>& values,
                   double* vectors) {
  if (!isa::table().dense->symmetric_eigen(
          matrix.data(), static_cast<std::ptrdiff_t>(values.size()), values.data(), vectors))
    throw std::runtime_error("the eigenvalue iteration did not converge");
}

bool all_finite(const std::vector<double>& numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [](double x) { return std::isfinite(x); });
}

double not_a_number(double* vector, std::ptrdiff_t dim) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  if (vector) std::fill_n(vector, dim, kNaN);
  return kNaN;
}

void normalize(double* vector, std::ptrdiff_t dim) {
  const double length = std::sqrt(dot(vector, vector, dim));
  if (length > 0)
    for (std::ptrdiff_t k = 0; k < dim; ++k) vector[k] /= length;
}

// Steps between looks at the projection grow with it, so that looks stay cheap beside steps.
std::ptrdiff_t next_look(std::ptrdiff_t steps) {
  return steps + std::max<std::ptrdiff_t>(4, steps / 5);
}

// I - m in place; returns the largest absolute row sum of m, a bound of its norm.
double subtract_from_identity(std::vector<double>& m, std::ptrdiff_t order) {
  double largest = 0;
  for (std::ptrdiff_t i = 0; i < order; ++i) {
    double* row = m.data() + i * order;
    double sum = 0;
    for (std::ptrdiff_t k = 0; k < order; ++k) {
      sum += std::fabs(row[k]);
      row[k] = -row[k];
    }
    row[i] += 1;
    largest = std::max(largest, sum);
  }
  return largest;
}

}  // namespace

// By splitmix64 (Steele 2014).
std::vector<double> pseudo_random(std::ptrdiff_t count) {
  std::vector<double> x(static_cast<std::size_t>(count));
  std::uint64_t state = 0;
  for (double& entry : x) {
    std::uint64_t bits = state += 0x9e3779b97f4a7c15u;
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    entry = static_cast<double>(static_cast<std::int64_t>(bits ^ (bits >> 31))) * 0x1p-63;
  }
  return x;
}

std::vector<double> NormalMatrix::gram() const {
  std::vector<double> result(static_cast<std::size_t>(order() * order()));
  const auto& dense = *isa::table().dense;
  if (order() > 0)
    (count_ < dim_ ? dense.gram_rows : dense.gram_columns)(rows_, count_, dim_, result.data());
  return result;
}

Lanczos::Lanczos(const SymmetricMap& map, const double* start)
    : map_(map), next_(start, start + map.dim) {
  start_norm_ = next_norm_ = norm(next_);
  invariant_ = !(start_norm_ > 0);
}

bool Lanczos::extend() {
  if (invariant_) return false;
  std::vector<double> v = next_;
  for (double& entry : v) entry /= next_norm_;
  if (!basis_.empty()) off_diagonal_.push_back(next_norm_);
  basis_.push_back(std::move(v));
  map_.multiply(basis_.back().data(), next_.data());
  diagonal_.push_back(dot(basis_.back().data(), next_.data(), map_.dim));
  scale_ = std::max({scale_, diagonal_.back(), norm(next_)});
  // Twice is enough (Parlett, The Symmetric Eigenvalue Problem, 1998, section 6.9).
  for (int pass = 0; pass < 2; ++pass)
    for (const auto& u : basis_) add_scaled(-dot(u.data(), next_.data(), map_.dim), u, next_);
  next_norm_ = norm(next_);
  invariant_ = !(next_norm_ > 8 * kUnit * scale_) || steps() == map_.dim;
  return true;
}

std::vector<double> Lanczos::projection() const {
  const std::size_t k = diagonal_.size();
  std::vector<double> t(k * k);
  for (std::size_t i = 0; i < k; ++i) {
    t[i * k + i] = diagonal_[i];
    if (i + 1 < k) t[i * k + i + 1] = t[(i + 1) * k + i] = off_diagonal_[i];
  }
  return t;
}

void Lanczos::combine(const double* y, double* x) const {
  std::vector<double> sum(static_cast<std::size_t>(map_.dim));
  for (std::size_t j = 0; j < basis_.size(); ++j) add_scaled(y[j], basis_[j], sum);
  std::copy(sum.begin(), sum.end(), x);
}

double largest_eigenvalue(const NormalMatrix& matrix, double* vector) {
  const std::ptrdiff_t order = matrix.order(), dim = matrix.dim();
  if (vector) std::fill_n(vector, dim, 0.0);
  if (order == 0) return 0;
  const auto k = static_cast<std::size_t>(order);
  std::vector<double> values(k), vectors(vector ? k * k : 0);
  const std::vector<double> gram = matrix.gram();
  if (!all_finite(gram)) return not_a_number(vector, dim);
  require_eigen(gram, values, vector ? vectors.data() : nullptr);
  if (vector) {
    std::vector<double> last(k);
    for (std::size_t i = 0; i < k; ++i) last[i] = vectors[i * k + k - 1];
    if (matrix.count() < dim)
      isa::table().dense->vector_matrix(last.data(), matrix.rows(), order, dim, vector);
    else
      std::copy(last.begin(), last.end(), vector);
    normalize(vector, dim);
  }
  return std::max(0.0, values.back());
}

double largest_eigenvalue(const SymmetricMap& map, double tolerance, double* vector) {
  Lanczos lanczos(map, pseudo_random(map.dim).data());
  std::vector<double> values;
  for (std::ptrdiff_t look = 8;; look = next_look(look)) {
    while (lanczos.steps() < look && lanczos.extend()) continue;
    const auto k = static_cast<std::size_t>(lanczos.steps());
    values.resize(k);
    std::vector<double> vectors(k * k);
    if (!all_finite(lanczos.projection())) return not_a_number(vector, map.dim);
    require_eigen(lanczos.projection(), values, vectors.data());
    // The residual of the Ritz pair bounds its error; its square over the gap is sharper.
    const double largest = values.back();
    const double residual = lanczos.coupling() * std::fabs(vectors[k * k - 1]);
    const double gap = k > 1 ? largest - values[k - 2] : 0;
    const double error = gap > residual ? residual * residual / gap : residual;
    if (error > tolerance * largest) continue;
    if (vector) {
      std::vector<double> last(k);
      for (std::size_t i = 0; i < k; ++i) last[i] = vectors[i * k + k - 1];
      lanczos.combine(last.data(), vector);
      normalize(vector, map.dim);
    }
    return std::max(0.0, largest);
  }
}

// x = c + A^T (I - A A^T)^-1 A c (Woodbury), or LU of I - A^T A where that is smaller.
double solve_identity_minus(const NormalMatrix& matrix, const double* c, double* x) {
  const auto& dense = *isa::table().dense;
  const std::ptrdiff_t order = matrix.order(), dim = matrix.dim();
  std::vector<double> system = matrix.gram();
  const double size = subtract_from_identity(system, order);
  const bool by_rows = matrix.count() < dim;
  std::vector<double> right(c, c + dim);
  if (by_rows) {
    right.resize(static_cast<std::size_t>(order));
    dense.matrix_vector(matrix.rows(), c, order, dim, right.data());
  }
  const double distance =
      order == 0 ? 1 : isa::table().dense->solve_estimating(system.data(), order, right.data());
  if (by_rows) {
    dense.vector_matrix(right.data(), matrix.rows(), order, dim, x);
    for (std::ptrdiff_t k = 0; k < dim; ++k) x[k] += c[k];
  } else {
    std::copy_n(right.data(), dim, x);
  }
  return distance / std::max(1.0, size);
}

double solve_identity_minus(const SymmetricMap& map, const double* c, double* x) {
  constexpr double kTolerance = 1e-14;
  Lanczos lanczos(map, c);
  for (std::ptrdiff_t look = 16;; look = next_look(look)) {
    while (lanczos.steps() < look && lanczos.extend()) continue;
    const auto k = static_cast<std::size_t>(lanczos.steps());
    if (k == 0) return std::fill_n(x, map.dim, 0.0), 1;
    std::vector<double> system = lanczos.projection(), y(k);
    const double size = subtract_from_identity(system, lanczos.steps());
    y[0] = lanczos.start_norm();
    const double distance =
        isa::table().dense->solve_estimating(system.data(), lanczos.steps(), y.data());
    const double residual = lanczos.coupling() * std::fabs(y[k - 1]);
    if (!std::isfinite(residual)) return 0;
    if (residual <= kTolerance * std::max(1.0, size) * lanczos.start_norm()) {
      lanczos.combine(y.data(), x);
      return distance / std::max(1.0, size);
    }
  }
}

}  // namespace hopfix
