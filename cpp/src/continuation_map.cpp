#include "continuation_map.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "hopfix/isa.hpp"
#include "kernels/table.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

size_t at(ptrdiff_t i) { return static_cast<size_t>(i); }

double inner(const double* a, const double* b, ptrdiff_t count) {
  double sum = 0;
  for (ptrdiff_t k = 0; k < count; ++k) sum += a[k] * b[k];
  return sum;
}

}  // namespace

ContinuationMap::ContinuationMap(const Network<double>& network, const LogitTerms& terms)
    : n_(network.size()),
      hull_(affine_hull(network.patterns().data(), network.size(), network.dim())),
      log_weights_(terms.log_weights),
      offsets_(terms.offsets) {
  rank_ = std::max<ptrdiff_t>(hull_.rank, 1);
  patterns_ = hull_.patterns;
  patterns_.resize(at(n_ * rank_));  // a single point keeps one coordinate, all zero
  std::vector<double> mean(at(rank_));
  for (ptrdiff_t i = 0; i < n_; ++i)
    for (ptrdiff_t k = 0; k < rank_; ++k)
      mean[at(k)] += patterns_[at(i * rank_ + k)] / static_cast<double>(n_);
  double largest = 0, rounding = 0;
  for (ptrdiff_t i = 0; i < n_; ++i) {
    const double* y = patterns_.data() + i * rank_;
    constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
    rounding =
        std::max(rounding, 4 * static_cast<double>(n_) * kEpsilon * std::sqrt(inner(y, y, rank_)));
    double square = 0;
    for (ptrdiff_t k = 0; k < rank_; ++k) {
      const double offset = patterns_[at(i * rank_ + k)] - mean[at(k)];
      square += offset * offset;
    }
    largest = std::max(largest, std::sqrt(square));
  }
  if (largest > rounding) scale_ = largest;  // else all patterns are one
  if (!offsets_.empty()) move_to(mean);
  for (double& y : patterns_) y /= scale_;
  for (double& m : shift_) m /= scale_;
  for (double& a : offsets_) a /= scale_ * scale_;
}

// With x = y + m and xi = eta + m, x . xi + a = y . eta + (a + m . y) + what all patterns share:
// the offsets take up where the origin is. Near the mean their parts cancel that would round most.
void ContinuationMap::move_to(const std::vector<double>& mean) {
  shift_ = mean;
  for (ptrdiff_t i = 0; i < n_; ++i) {
    double* y = patterns_.data() + i * rank_;
    for (ptrdiff_t k = 0; k < rank_; ++k) y[k] -= mean[at(k)];
    offsets_[at(i)] += inner(mean.data(), y, rank_);
  }
  const size_t dim = hull_.base.size();
  for (ptrdiff_t r = 0; r < hull_.rank; ++r)
    for (size_t k = 0; k < dim; ++k) hull_.base[k] += mean[at(r)] * hull_.basis[at(r) * dim + k];
}

Coordinates ContinuationMap::from_state(const double* state, double beta) const {
  const auto dim = static_cast<ptrdiff_t>(hull_.base.size());
  Coordinates z(at(rank_ + 1));
  for (ptrdiff_t r = 0; r < hull_.rank; ++r)
    z[at(r)] = inner(state, hull_.basis.data() + r * dim, dim) / scale_;
  for (size_t r = 0; r < shift_.size(); ++r) z[r] -= shift_[r];
  z[at(rank_)] = to_s(beta);
  return z;
}

std::vector<double> ContinuationMap::to_state(const Coordinates& z) const {
  std::vector<double> eta(z.begin(), z.begin() + hull_.rank);
  for (double& value : eta) value *= scale_;
  return hull_.embed(eta.data(), 1);
}

std::vector<double> ContinuationMap::to_direction(const Coordinates& difference) const {
  const size_t dim = hull_.base.size();
  std::vector<double> out(dim);
  for (ptrdiff_t r = 0; r < hull_.rank; ++r)
    for (size_t k = 0; k < dim; ++k)
      out[k] += scale_ * difference[at(r)] * hull_.basis[at(r) * dim + k];
  return out;
}

double ContinuationMap::to_beta(double s) const { return std::exp(s - 2 * std::log(scale_)); }

double ContinuationMap::to_s(double beta) const { return std::log(beta) + 2 * std::log(scale_); }

double ContinuationMap::to_energy(double scaled) const {
  const auto dim = static_cast<ptrdiff_t>(hull_.base.size());
  return scale_ * scale_ * scaled - inner(hull_.base.data(), hull_.base.data(), dim) / 2;
}

void MapPoint::evaluate(const Coordinates& z, bool with_jacobian) {
  const ptrdiff_t n = map_.size(), rank = map_.rank();
  inverse_temperature_ = std::exp(z.back());
  scores_.resize(at(n));
  isa::table().dense->matrix_vector(map_.patterns(), z.data(), n, rank, scores_.data());
  if (!map_.offsets().empty())
    for (size_t i = 0; i < scores_.size(); ++i) scores_[i] += map_.offsets()[i];
  weights_.resize(at(n));
  double top = -HUGE_VAL;
  for (size_t i = 0; i < weights_.size(); ++i) {
    weights_[i] = inverse_temperature_ * scores_[i];
    if (!map_.log_weights().empty()) weights_[i] += map_.log_weights()[i];
    top = std::max(top, weights_[i]);
  }
  for (double& logit : weights_) logit -= top;
  isa::table().exp64(weights_.data(), weights_.data(), n);
  double sum = 0;
  for (const double e : weights_) sum += e;
  for (double& e : weights_) e /= sum;
  energy_ = inner(z.data(), z.data(), rank) / 2 - (top + std::log(sum)) / inverse_temperature_;
  mean_.resize(at(rank));
  isa::table().dense->vector_matrix(weights_.data(), map_.patterns(), n, rank, mean_.data());
  residual_.resize(at(rank));
  for (ptrdiff_t k = 0; k < rank; ++k) residual_[at(k)] = z[at(k)] - mean_[at(k)];
  if (!with_jacobian) return;
  centred_.resize(at(n * rank));
  rows_.resize(at(n * rank));
  for (ptrdiff_t i = 0; i < n; ++i) {
    const double root = std::sqrt(inverse_temperature_ * weights_[at(i)]);
    for (ptrdiff_t k = 0; k < rank; ++k) {
      const double u = map_.patterns()[i * rank + k] - mean_[at(k)];
      centred_[at(i * rank + k)] = u;
      rows_[at(i * rank + k)] = root * u;
    }
  }
  jacobian_.resize(at(rank * rank));
  isa::table().dense->gram_columns(rows_.data(), n, rank, jacobian_.data());
  // g less its mean, from centred patterns: nothing cancels but in the offsets.
  spread_.resize(at(n));
  double offset = 0;
  if (!map_.offsets().empty()) offset = inner(weights_.data(), map_.offsets().data(), n);
  for (ptrdiff_t i = 0; i < n; ++i) {
    spread_[at(i)] = inner(centred_.data() + i * rank, z.data(), rank);
    if (!map_.offsets().empty()) spread_[at(i)] += map_.offsets()[at(i)] - offset;
  }
  push_ = moment(spread_);
  for (double& value : push_) value *= inverse_temperature_;
}

std::vector<double> MapPoint::along(const Coordinates& w) const {
  const ptrdiff_t rank = map_.rank();
  std::vector<double> out(weights_.size());
  for (ptrdiff_t i = 0; i < map_.size(); ++i)
    out[at(i)] = inner(centred_.data() + i * rank, w.data(), rank) + w.back() * spread_[at(i)];
  return out;
}

double MapPoint::third(const std::vector<double>& a, const std::vector<double>& b,
                       const std::vector<double>& c) const {
  double sum = 0;
  for (size_t i = 0; i < weights_.size(); ++i) sum += weights_[i] * a[i] * b[i] * c[i];
  return inverse_temperature_ * inverse_temperature_ * sum;
}

double MapPoint::third_magnitude(const std::vector<double>& a) const {
  double sum = 0;
  for (size_t i = 0; i < weights_.size(); ++i)
    sum += weights_[i] * std::fabs(a[i]) * std::fabs(a[i]) * std::fabs(a[i]);
  return inverse_temperature_ * inverse_temperature_ * sum;
}

std::vector<double> MapPoint::moment(const std::vector<double>& c) const {
  const ptrdiff_t rank = map_.rank();
  std::vector<double> out(at(rank));
  for (ptrdiff_t i = 0; i < map_.size(); ++i) {
    const double factor = c[at(i)] * weights_[at(i)];
    for (ptrdiff_t k = 0; k < rank; ++k) out[at(k)] += factor * centred_[at(i * rank + k)];
  }
  return out;
}

std::vector<double> MapPoint::derivative_along(const double* v) const {
  const ptrdiff_t rank = map_.rank();
  std::vector<double> out(at(rank * rank));
  for (ptrdiff_t i = 0; i < map_.size(); ++i) {
    const double* u = centred_.data() + i * rank;
    const double factor =
        inverse_temperature_ * inverse_temperature_ * weights_[at(i)] * inner(u, v, rank);
    for (ptrdiff_t j = 0; j < rank; ++j)
      for (ptrdiff_t k = 0; k < rank; ++k) out[at(j * rank + k)] += factor * u[j] * u[k];
  }
  return out;
}

ptrdiff_t Eigenpairs::above(double tolerance) const {
  return std::count_if(values.begin(), values.end(),
                       [&](double value) { return value > 1 + tolerance; });
}

Eigenpairs spectrum_of(const std::vector<double>& jacobian, ptrdiff_t rank) {
  Eigenpairs out;
  out.values.resize(at(rank));
  std::vector<double> columns(at(rank * rank));
  out.vectors.resize(at(rank * rank));
  if (!isa::table().dense->symmetric_eigen(jacobian.data(), rank, out.values.data(),
                                           columns.data()))
    std::fill(out.values.begin(), out.values.end(), std::nan(""));
  for (ptrdiff_t i = 0; i < rank; ++i)
    for (ptrdiff_t k = 0; k < rank; ++k) out.vectors[at(i * rank + k)] = columns[at(k * rank + i)];
  return out;
}

double dot(const Coordinates& a, const Coordinates& b) {
  return inner(a.data(), b.data(), static_cast<ptrdiff_t>(a.size()));
}

double norm(const Coordinates& a) { return std::sqrt(dot(a, a)); }

bool solve_system(const std::vector<double>& matrix, std::vector<double>& x) {
  isa::table().dense->solve(matrix.data(), static_cast<ptrdiff_t>(x.size()), x.data());
  return std::all_of(x.begin(), x.end(), [](double value) { return std::isfinite(value); });
}

}  // namespace hopfix
