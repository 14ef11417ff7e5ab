#include "fold_certificate.hpp"

#include <algorithm>
#include <cmath>

#include "continuation_map.hpp"
#include "hopfix/interval.hpp"
#include "hopfix/rounding.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;
using Intervals = std::vector<Interval>;

Interval point(double x) { return {x, x}; }

Interval dot(const Interval* a, const Interval* b, size_t count) {
  Interval sum = point(0);
  for (size_t k = 0; k < count; ++k) sum = sum + a[k] * b[k];
  return sum;
}

// The extended system and its derivative over a box of (xi, v, beta).
class FoldSystem {
 public:
  FoldSystem(const Network<double>& network, const LogitTerms& terms)
      : network_(network),
        terms_(terms),
        n_(static_cast<size_t>(network.size())),
        dim_(static_cast<size_t>(network.dim())) {}

  size_t order() const { return 2 * dim_ + 1; }

  void evaluate(const Intervals& box) {
    xi_ = box.data();
    v_ = box.data() + dim_;
    beta_ = box.back();
    weigh();
    average();
  }

  Intervals value() const {
    Intervals out(order());
    Interval square = point(-1);
    for (size_t k = 0; k < dim_; ++k) {
      out[k] = xi_[k] - mean_[k];
      out[dim_ + k] = v_[k] - product_[k];
      square = square + v_[k] * v_[k];
    }
    out.back() = square;
    return out;
  }

  // [I - J, 0, -J xi / beta; -M, I - J, -(J v + M xi) / beta; 0, 2 v', 0], and what offsets add to
  // the last column.
  Intervals derivative() const {
    const size_t m = order();
    Intervals out(m * m, point(0));
    for (size_t i = 0; i < dim_; ++i) {
      for (size_t j = 0; j < dim_; ++j) {
        const Interval entry = point(i == j ? 1 : 0) - jacobian_[i * dim_ + j];
        out[i * m + j] = entry;
        out[(dim_ + i) * m + dim_ + j] = entry;
        out[(dim_ + i) * m + j] = -curvature_[i * dim_ + j];
      }
      const Interval push = dot(&jacobian_[i * dim_], xi_, dim_) + offset_push_[i];
      const Interval turn = product_[i] + dot(&curvature_[i * dim_], xi_, dim_) + offset_turn_[i];
      out[i * m + 2 * dim_] = -(push / beta_);
      out[(dim_ + i) * m + 2 * dim_] = -(turn / beta_);
      out[2 * dim_ * m + dim_ + i] = point(2) * v_[i];
    }
    return out;
  }

 private:
  const double* pattern(size_t i) const { return network_.patterns().data() + i * dim_; }
  double log_weight(size_t i) const {
    return terms_.log_weights.empty() ? 0 : terms_.log_weights[i];
  }
  double offset(size_t i) const { return terms_.offsets.empty() ? 0 : terms_.offsets[i]; }

  // p = softmax, from logits less that of the pattern which is ahead at the middle of the box.
  void weigh() {
    size_t top = 0;
    double highest = -HUGE_VAL;
    for (size_t i = 0; i < n_; ++i) {
      double logit = log_weight(i) + beta_.lo * offset(i);
      for (size_t k = 0; k < dim_; ++k) logit += beta_.lo * pattern(i)[k] * xi_[k].lo;
      if (logit > highest) {
        highest = logit;
        top = i;
      }
    }
    weights_.resize(n_);
    Interval sum = point(0);
    for (size_t i = 0; i < n_; ++i) {
      Interval gap = point(offset(i)) - point(offset(top));
      for (size_t k = 0; k < dim_; ++k)
        gap = gap + (point(pattern(i)[k]) - point(pattern(top)[k])) * xi_[k];
      weights_[i] = exp(beta_ * gap + (point(log_weight(i)) - point(log_weight(top))));
      sum = sum + weights_[i];
    }
    for (Interval& weight : weights_) weight = weight / sum;
  }

  void average() {
    mean_.assign(dim_, point(0));
    for (size_t i = 0; i < n_; ++i)
      for (size_t k = 0; k < dim_; ++k) mean_[k] = mean_[k] + weights_[i] * point(pattern(i)[k]);
    jacobian_.assign(dim_ * dim_, point(0));
    curvature_.assign(dim_ * dim_, point(0));
    product_.assign(dim_, point(0));
    offset_push_.assign(dim_, point(0));
    offset_turn_.assign(dim_, point(0));
    Interval mean_offset = point(0);
    for (size_t i = 0; i < n_; ++i) mean_offset = mean_offset + weights_[i] * point(offset(i));
    Intervals centred(dim_);
    for (size_t i = 0; i < n_; ++i) {
      for (size_t k = 0; k < dim_; ++k) centred[k] = point(pattern(i)[k]) - mean_[k];
      const Interval along = dot(centred.data(), v_, dim_);
      const Interval first = beta_ * weights_[i], second = beta_ * first * along;
      const Interval spread = point(offset(i)) - mean_offset;
      for (size_t j = 0; j < dim_; ++j) {
        if (!terms_.offsets.empty()) {
          offset_push_[j] = offset_push_[j] + first * spread * centred[j];
          offset_turn_[j] = offset_turn_[j] + second * spread * centred[j];
        }
        product_[j] = product_[j] + first * along * centred[j];
        for (size_t k = 0; k < dim_; ++k) {
          const Interval square = centred[j] * centred[k];
          jacobian_[j * dim_ + k] = jacobian_[j * dim_ + k] + first * square;
          curvature_[j * dim_ + k] = curvature_[j * dim_ + k] + second * square;
        }
      }
    }
  }

  const Network<double>& network_;
  const LogitTerms& terms_;
  size_t n_, dim_;
  const Interval *xi_ = nullptr, *v_ = nullptr;
  Interval beta_ = point(1);
  Intervals weights_, mean_, jacobian_, curvature_, product_;
  Intervals offset_push_, offset_turn_;
};

// An approximate inverse, by Gauss-Jordan elimination with row pivoting; empty where there is none.
std::vector<double> inverse_of(std::vector<double> a, size_t m) {
  std::vector<double> inverse(m * m);
  for (size_t i = 0; i < m; ++i) inverse[i * m + i] = 1;
  for (size_t column = 0; column < m; ++column) {
    size_t pivot = column;
    for (size_t i = column + 1; i < m; ++i)
      if (std::fabs(a[i * m + column]) > std::fabs(a[pivot * m + column])) pivot = i;
    const double divisor = a[pivot * m + column];
    if (!(std::fabs(divisor) > 0)) return {};
    for (size_t j = 0; j < m; ++j) {
      std::swap(a[pivot * m + j], a[column * m + j]);
      std::swap(inverse[pivot * m + j], inverse[column * m + j]);
      a[column * m + j] /= divisor;
      inverse[column * m + j] /= divisor;
    }
    for (size_t i = 0; i < m; ++i) {
      const double factor = a[i * m + column];
      if (i == column || factor == 0) continue;
      for (size_t j = 0; j < m; ++j) {
        a[i * m + j] -= factor * a[column * m + j];
        inverse[i * m + j] -= factor * inverse[column * m + j];
      }
    }
  }
  return inverse;
}

// Sum_k y_k a_k over a column of a.
Interval row_times_column(const double* y, const Interval* column, size_t m, size_t stride) {
  Interval sum = point(0);
  for (size_t k = 0; k < m; ++k)
    if (y[k] != 0) sum = sum + point(y[k]) * column[k * stride];
  return sum;
}

double magnitude(Interval x) { return std::max(std::fabs(x.lo), std::fabs(x.hi)); }

}  // namespace

FoldCertificate certify_fold(const Network<double>& network, const LogitTerms& terms,
                             const std::vector<double>& state, const std::vector<double>& v,
                             double beta) {
  if (network.dim() > kMostFoldDimensions || !arithmetic_is_sound()) return {};
  const auto dim = static_cast<size_t>(network.dim());
  FoldSystem system(network, terms);
  const size_t m = system.order();
  Intervals centre;
  for (const double x : state) centre.push_back(point(x));
  for (const double x : v) centre.push_back(point(x));
  centre.push_back(point(beta));
  system.evaluate(centre);
  std::vector<double> middle;
  for (const Interval& entry : system.derivative())
    middle.push_back(entry.lo + (entry.hi - entry.lo) / 2);
  const std::vector<double> y = inverse_of(std::move(middle), m);
  if (y.empty()) return {};
  const Intervals value = system.value();
  std::vector<double> step(m);  // bounds of |Y F(centre)|
  for (size_t i = 0; i < m; ++i)
    step[i] = magnitude(row_times_column(y.data() + i * m, value.data(), m, 1));

  // Rounding of the unknowns: a residual that happens to vanish is no reason for a flat box.
  double largest = 0;
  for (const double x : state) largest = std::max(largest, std::fabs(x));
  std::vector<double> unit(dim, 0x1p-53 * largest);
  unit.resize(2 * dim, 0x1p-53);
  unit.push_back(0x1p-53 * beta);

  // A box a few times as large as the first step; a larger one where that does not do.
  for (const double inflation : {4.0, 64.0, 1024.0}) {
    Intervals box(m), offset(m);
    std::vector<double> radius(m);
    for (size_t i = 0; i < m; ++i) {
      radius[i] = inflation * (step[i] + unit[i]);
      box[i] = centre[i] + Interval{-radius[i], radius[i]};
      offset[i] = box[i] - centre[i];
    }
    if (!(box.back().lo > 0)) return {};
    system.evaluate(box);
    const Intervals derivative = system.derivative();
    bool inside = true;
    double beta_reach = 0;
    UpperBound square(0);
    for (size_t i = 0; i < m && inside; ++i) {
      // |K - centre| <= |Y F| + |I - Y DF| |box - centre|
      Interval reach{-step[i], step[i]};
      for (size_t j = 0; j < m; ++j) {
        const Interval entry =
            point(i == j ? 1 : 0) - row_times_column(y.data() + i * m, derivative.data() + j, m, m);
        reach = reach + entry * offset[j];
      }
      // The box holds centre +- radius: strictly inside that is strictly inside the box.
      const double most = magnitude(reach);
      inside = most < radius[i];
      if (i < dim) square = square + UpperBound(most) * UpperBound(most);
      if (i == m - 1) beta_reach = most;
    }
    if (inside) return {true, sqrt(square).value(), beta_reach};
  }
  return {};
}

}  // namespace hopfix
