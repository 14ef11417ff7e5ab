#include "branch_curve.hpp"

#include <cmath>

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

size_t at(ptrdiff_t i) { return static_cast<size_t>(i); }

constexpr int kNewtonSteps = 10;
constexpr double kSettled = 1e-14, kAcceptable = 1e-10;

}  // namespace

// [I - J, -J eta; row]
std::vector<double> BranchCurve::bordered(const Coordinates& row) const {
  const ptrdiff_t rank = map_.rank(), order = rank + 1;
  std::vector<double> matrix(at(order * order));
  for (ptrdiff_t i = 0; i < rank; ++i) {
    for (ptrdiff_t j = 0; j < rank; ++j)
      matrix[at(i * order + j)] = (i == j ? 1.0 : 0.0) - point_.jacobian()[at(i * rank + j)];
    matrix[at(i * order + rank)] = -point_.push()[at(i)];
  }
  for (ptrdiff_t j = 0; j < order; ++j) matrix[at(rank * order + j)] = row[at(j)];
  return matrix;
}

Correction BranchCurve::correct(Coordinates& z, const Coordinates& normal) {
  const ptrdiff_t rank = map_.rank();
  Correction out;
  double last = HUGE_VAL;
  for (int step = 0; step < kNewtonSteps; ++step) {
    point_.evaluate(z);
    Coordinates delta(at(rank + 1));
    for (ptrdiff_t k = 0; k < rank; ++k) delta[at(k)] = -point_.residual()[at(k)];
    if (!solve_system(bordered(normal), delta)) return out;
    const double length = norm(delta);
    if (step == 0) out.first = length;
    if (step == 1 && last > 0) out.contraction = length / last;
    // Near rounding corrections stop shrinking, elsewhere the method has failed.
    const bool shrinking = length <= last / 2;
    if (!shrinking && last > kAcceptable) return out;
    if (shrinking || length <= last)
      for (size_t k = 0; k < z.size(); ++k) z[k] += delta[k];
    if (length <= kSettled || !shrinking) {
      out.converged = true;
      return out;
    }
    last = length;
  }
  out.converged = last <= kAcceptable;
  return out;
}

std::optional<Coordinates> BranchCurve::tangent(const Coordinates& z, const Coordinates& forward) {
  point_.evaluate(z);
  Coordinates direction(z.size());
  direction.back() = 1;
  if (!solve_system(bordered(forward), direction)) return std::nullopt;
  const double length = norm(direction);
  if (!(length > 0) || !std::isfinite(length)) return std::nullopt;
  for (double& value : direction) value /= length;
  return direction;
}

std::optional<CurvePoint> BranchCurve::point(const Coordinates& z, const Coordinates& forward) {
  auto direction = tangent(z, forward);
  if (!direction) return std::nullopt;
  CurvePoint out;
  out.z = z;
  out.tangent = std::move(*direction);
  out.spectrum = spectrum_of(point_.jacobian(), map_.rank());
  if (!std::isfinite(out.spectrum.values.back())) return std::nullopt;
  return out;
}

std::optional<CurvePoint> BranchCurve::between(const CurvePoint& from, const CurvePoint& to,
                                               double distance) {
  Coordinates z = hermite(from, to, distance);
  // On the plane asked for, before Newton keeps it there.
  double along = 0;
  for (size_t k = 0; k < z.size(); ++k) along += (z[k] - from.z[k]) * from.tangent[k];
  for (size_t k = 0; k < z.size(); ++k) z[k] += (distance - along) * from.tangent[k];
  if (!correct(z, from.tangent).converged) return std::nullopt;
  auto out = point(z, from.tangent);
  if (out) out->sigma = from.sigma + distance;
  return out;
}

Coordinates hermite(const CurvePoint& from, const CurvePoint& to, double distance) {
  double length = 0, cosine = 0;
  for (size_t k = 0; k < from.z.size(); ++k) {
    length += (to.z[k] - from.z[k]) * from.tangent[k];
    cosine += to.tangent[k] * from.tangent[k];
  }
  // The second tangent by the parameter of the first.
  const double t = distance / length, stretch = length / cosine;
  const double h00 = (1 + 2 * t) * (1 - t) * (1 - t), h10 = t * (1 - t) * (1 - t);
  const double h01 = t * t * (3 - 2 * t), h11 = t * t * (t - 1);
  Coordinates z(from.z.size());
  for (size_t k = 0; k < z.size(); ++k)
    z[k] = h00 * from.z[k] + h10 * length * from.tangent[k] + h01 * to.z[k] +
           h11 * stretch * to.tangent[k];
  return z;
}

double crossings(const Eigenpairs& a, const Eigenpairs& b) {
  const auto rank = static_cast<ptrdiff_t>(a.values.size());
  const ptrdiff_t above_a = a.above(), above_b = b.above();
  double shared = 0;
  for (ptrdiff_t i = rank - above_a; i < rank; ++i)
    for (ptrdiff_t j = rank - above_b; j < rank; ++j) {
      double cosine = 0;
      for (ptrdiff_t k = 0; k < rank; ++k) cosine += a.vector(i)[k] * b.vector(j)[k];
      shared += cosine * cosine;
    }
  return static_cast<double>(above_a + above_b) - 2 * shared;
}

}  // namespace hopfix
