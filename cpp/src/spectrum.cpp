#include "spectrum.hpp"

#include <algorithm>
#include <cmath>

#include "hopfix/isa.hpp"
#include "kernels/table.hpp"
#include "normal_matrix.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

constexpr ptrdiff_t kCholeskyFrom = 192;
constexpr ptrdiff_t kMostAbove = 16, kMostSteps = 160, kLook = 20;

size_t at(ptrdiff_t i) { return static_cast<size_t>(i); }

double norm_of(const std::vector<double>& x) {
  return norm_bound(x.data(), static_cast<ptrdiff_t>(x.size())).value();
}

// By one Cholesky factorisation of theta I - B + W W'.
class Deflation {
 public:
  Deflation(ptrdiff_t order, UpperBound error, SpectrumWorkspace& work)
      : order_(order), error_(error), w_(work) {}

  // False where the proof does not succeed.
  bool run(Spectrum& spectrum) {
    if (!propose() || !bound_others() || !bound_subspace()) return false;
    Spectrum found;
    found.add_between(0, others_, 1);
    if (above_ > 0) found.add_between(subspace_low_, all_, static_cast<int>(above_));
    found.largest_low = top_low_;
    found.radius = ritz_.front();
    for (const double value : ritz_) found.min_gap = std::min(found.min_gap, std::fabs(1 - value));
    if (found.degenerate) return false;
    spectrum = found;
    return true;
  }

 private:
  // The largest Ritz values, one below 1 the last; their vectors but for that one (but never none);
  // theta and s. Nothing here needs rigour.
  bool propose() {
    const SymmetricMap map{order_, [this](const double* x, double* y) {
                             isa::table().dense->matrix_vector(w_.matrix.data(), x, order_, order_,
                                                               y);
                           }};
    Lanczos lanczos(map, pseudo_random(order_).data());
    for (ptrdiff_t look = kLook; look <= kMostSteps; look += kLook) {
      while (lanczos.steps() < look && lanczos.extend()) continue;
      const ptrdiff_t steps = lanczos.steps();
      w_.values.resize(at(steps));
      std::vector<double> y(at(steps * steps)), column(at(steps));
      if (!isa::table().dense->symmetric_eigen(lanczos.projection().data(), steps, w_.values.data(),
                                               y.data()))
        return false;
      const bool converged = select(lanczos, y);
      if (above_ > kMostAbove) return false;
      if (!converged) continue;
      const ptrdiff_t count = vectors();
      w_.vectors.resize(at(order_ * count));
      std::vector<double> x(at(order_));
      for (ptrdiff_t c = 0; c < count; ++c) {
        for (ptrdiff_t s = 0; s < steps; ++s) column[at(s)] = y[at(s * steps + steps - 1 - c)];
        lanczos.combine(column.data(), x.data());
        for (ptrdiff_t i = 0; i < order_; ++i) w_.vectors[at(i * count + c)] = x[at(i)];
      }
      return true;
    }
    return false;
  }

  // Whether the Ritz values that matter have converged.
  bool select(const Lanczos& lanczos, const std::vector<double>& y) {
    const ptrdiff_t steps = lanczos.steps();
    const auto value = [&](ptrdiff_t c) { return w_.values[at(steps - 1 - c)]; };
    const auto residual = [&](ptrdiff_t c) {
      return lanczos.coupling() * std::fabs(y[at((steps - 1) * steps + steps - 1 - c)]);
    };
    above_ = 0;
    while (above_ < steps && value(above_) > 1) ++above_;
    if (above_ == steps) return false;
    const double gap = 1 - value(above_);
    bool converged = residual(above_) <= 3e-3 * gap && residual(0) <= 1e-7 * value(0);
    for (ptrdiff_t c = 0; c < above_; ++c)
      converged = converged && residual(c) <= 1e-4 * std::min(value(c) - 1, gap);
    if (!converged) return false;
    ritz_.clear();
    for (ptrdiff_t c = 0; c <= above_; ++c) ritz_.push_back(value(c));
    // The uniqueness radius of a sharp memory grows with the logarithm of 1 / lambda.
    shift_ = above_ == 0 ? std::min(0.01 * gap, 0.02 * value(0)) : 0.01 * gap;
    theta_ = value(above_) + shift_;
    return true;
  }

  ptrdiff_t vectors() const { return std::max<ptrdiff_t>(above_, 1); }

  // B <= others_ I + W W'.
  bool bound_others() {
    const auto& dense = *isa::table().dense;
    const ptrdiff_t count = vectors();
    std::vector<double>& a = w_.product;
    a.assign(at(order_ * order_), 0.0);
    UpperBound w_square(0);
    if (above_ > 0) {
      std::vector<double> w = w_.vectors;
      for (ptrdiff_t i = 0; i < order_; ++i)
        for (ptrdiff_t c = 0; c < count; ++c)
          w[at(i * count + c)] *= std::sqrt(ritz_[at(c)] - theta_ + shift_);
      dense.gram_rows(w.data(), order_, count, a.data());
      w_square = UpperBound(norm_of(w));
      w_square = w_square * w_square;
    }
    for (size_t i = 0; i < a.size(); ++i) a[i] -= w_.matrix[i];
    for (ptrdiff_t i = 0; i < order_; ++i) a[at(i * (order_ + 1))] += theta_;
    w_.factor = a;
    if (!dense.cholesky(w_.factor.data(), order_)) return false;
    const UpperBound a_norm(norm_of(a)), factor(norm_of(w_.factor));
    // The rounding of W W', of the two additions on the diagonal, and of L L'.
    const UpperBound diagonal = UpperBound(theta_) * sqrt(UpperBound(static_cast<double>(order_)));
    const UpperBound rounding = gamma_bound(count + 8) * w_square +
                                gamma_bound(8) * (a_norm + diagonal) +
                                gamma_bound(order_ + 8) * factor * factor +
                                UpperBound(static_cast<double>(order_)) * UpperBound(kUnderflow);
    std::vector<double>& lower_times_upper = w_.factor_product;
    lower_times_upper.resize(a.size());
    dense.gram_rows(w_.factor.data(), order_, order_, lower_times_upper.data());
    for (size_t i = 0; i < a.size(); ++i) a[i] -= lower_times_upper[i];
    const UpperBound residual = UpperBound(norm_of(a)) * (UpperBound(1) + gamma_bound(2));
    others_ = UpperBound(theta_) + residual + rounding + error_;
    return others_.value() < 1;
  }

  // From V' B V and V' V: by Courant and Fischer, above_ eigenvalues of J are at least
  // subspace_low_. Then all_ bounds |J| <= others_ + |W|^2.
  bool bound_subspace() {
    const auto& dense = *isa::table().dense;
    const ptrdiff_t count = vectors();
    std::vector<double>& bv = w_.factor;
    bv.resize(at(order_ * count));
    dense.product(w_.matrix.data(), w_.vectors.data(), order_, order_, count, bv.data());
    const UpperBound v_norm(norm_of(w_.vectors)), b_norm(norm_of(w_.matrix));
    const UpperBound gamma = gamma_bound(2 * order_ + 16);
    // Of every entry of the computed V' B V.
    const UpperBound form_error = gamma * v_norm * v_norm * b_norm + UpperBound(kUnderflow);
    double least = HUGE_VAL, most = 0;
    UpperBound epsilon_square(0);
    for (ptrdiff_t c = 0; c < count; ++c) {
      UpperBound elsewhere(0);
      double own = 0;
      for (ptrdiff_t e = 0; e < count; ++e) {
        double form = 0, product = 0;
        for (ptrdiff_t i = 0; i < order_; ++i) {
          form += w_.vectors[at(i * count + c)] * bv[at(i * count + e)];
          product += w_.vectors[at(i * count + c)] * w_.vectors[at(i * count + e)];
        }
        if (e == c)
          own = form;
        else
          elsewhere = elsewhere + UpperBound(std::fabs(form));
        const UpperBound deviation =
            UpperBound(std::fabs(product - (e == c ? 1 : 0))) * (UpperBound(1) + gamma_bound(1));
        epsilon_square = epsilon_square + deviation * deviation;
      }
      // Gershgorin's circles of V' B V.
      const UpperBound radius = elsewhere + static_cast<double>(count) * form_error;
      most = std::max(most, lower_bound(own - form_error.value()));
      least = std::min(least, lower_bound(own - radius.value()));
    }
    const UpperBound epsilon = sqrt(epsilon_square) + gamma * v_norm * v_norm;
    if (!(epsilon.value() < 0.5)) return false;
    const auto from_below = [&](double form) {
      const double quotient = form / (UpperBound(1) + epsilon).value();
      return lower_bound(lower_bound(quotient) - error_.value());
    };
    top_low_ = from_below(most);
    if (above_ == 0) return true;
    subspace_low_ = from_below(least);
    // Entries of W are rounded twice, which counts as much as the root of their number.
    const UpperBound scale = UpperBound(ritz_.front() - theta_ + shift_) *
                             (UpperBound(1) + gamma_bound(64)) * (UpperBound(1) + epsilon);
    all_ = others_ + scale;
    return subspace_low_ > 1;
  }

  const ptrdiff_t order_;
  const UpperBound error_;
  SpectrumWorkspace& w_;
  ptrdiff_t above_ = 0;
  double theta_ = 0, shift_ = 0, subspace_low_ = 0, top_low_ = 0;
  std::vector<double> ritz_;
  UpperBound others_{0}, all_{0};
};

bool by_eigensystem(ptrdiff_t order, UpperBound error, bool with_zero, SpectrumWorkspace& w,
                    Spectrum& spectrum) {
  const auto& dense = *isa::table().dense;
  const size_t square = w.matrix.size();
  w.values.resize(at(order));
  w.vectors.resize(square);
  w.product.resize(square);
  if (!dense.symmetric_eigen(w.matrix.data(), order, w.values.data(), w.vectors.data()))
    return false;
  const UpperBound rounding = gamma_bound(order + 3);
  const UpperBound v_norm(norm_of(w.vectors));
  double d_max = 0;
  for (const double value : w.values) d_max = std::max(d_max, std::fabs(value));
  const UpperBound norms = UpperBound(norm_of(w.matrix)) + UpperBound(d_max);

  dense.product(w.matrix.data(), w.vectors.data(), order, order, order, w.product.data());
  for (size_t i = 0; i < square; ++i) w.product[i] -= w.vectors[i] * w.values[i % at(order)];
  const UpperBound residual =
      UpperBound(norm_of(w.product)) * (UpperBound(1) + rounding) + rounding * v_norm * norms;

  dense.gram_columns(w.vectors.data(), order, order, w.product.data());
  for (ptrdiff_t i = 0; i < order; ++i) w.product[at(i * (order + 1))] -= 1;
  const UpperBound epsilon =
      UpperBound(norm_of(w.product)) * (UpperBound(1) + rounding) + rounding * v_norm * v_norm;
  const UpperBound eigenvalue_error = error + residual + epsilon * norms;
  if (!(epsilon.value() < 0.5) || !std::isfinite(eigenvalue_error.value())) return false;
  for (const double value : w.values) spectrum.add(value, eigenvalue_error.value());
  if (with_zero) spectrum.add(0, eigenvalue_error.value());
  spectrum.radius = std::max(0.0, w.values.back());
  return true;
}

}  // namespace

void Spectrum::add(double value, double error) {
  const UpperBound high = UpperBound(std::max(value, 0.0)) + UpperBound(error);
  const double low = value > error ? lower_bound(value - error) : 0;
  largest_low = std::max(largest_low, low);
  min_gap = std::min(min_gap, std::fabs(1 - value));
  add_between(low, high, 1);
}

void Spectrum::add_between(double low, UpperBound high, int count) {
  if (low > 1) above_one += count;
  if (!(high.value() <= largest.value())) largest = high;
  if (high.value() < 1) {
    merge(lower_bound(1 - high.value()), high.value(), high);
  } else if (low > 1) {
    // (lambda - 1) / lambda grows and the two bounds fall with lambda: all worst at its low end.
    merge(lower_bound(low - 1), low, UpperBound(low));
  } else {
    degenerate = true;
  }
}

void Spectrum::merge(double gap, double at_value, UpperBound lambda) {
  if (!(gap > 0)) {
    degenerate = true;
    return;
  }
  min_ratio = std::min(min_ratio, lower_bound(gap / at_value));
  const UpperBound inverse = UpperBound(1) / gap;
  if (inverse.value() > inverse_gap.value()) inverse_gap = inverse;
  const UpperBound ratio = sqrt(lambda) / gap;
  if (ratio.value() > root_over_gap.value()) root_over_gap = ratio;
}

bool enclose_spectrum(ptrdiff_t order, UpperBound error, bool with_zero, SpectrumWorkspace& work,
                      Spectrum& spectrum) {
  if (order >= kCholeskyFrom && Deflation(order, error, work).run(spectrum)) return true;
  return by_eigensystem(order, error, with_zero, work, spectrum);
}

}  // namespace hopfix
