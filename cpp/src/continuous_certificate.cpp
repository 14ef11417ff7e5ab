// Certificates of continuous Hopfield networks; the theorem stands in the header.
#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>

#include "hopfix/continuous_hopfield.hpp"
#include "hopfix/interval.hpp"
#include "hopfix/isa.hpp"
#include "hopfix/rounding.hpp"
#include "kernels/table.hpp"
#include "newton_ball.hpp"
#include "spectrum.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

size_t at(ptrdiff_t i) { return static_cast<size_t>(i); }

// Upper bounds of norms of the patterns X (n x dim).
struct Norms {
  double frobenius, spectral;
  double column;  // the largest of a column
};

// |X|_2^2 <= |X X^T|_inf, and the Frobenius norm.
double spectral_norm(const ContinuousNetwork<double>& network, UpperBound frobenius) {
  constexpr ptrdiff_t kGramUpTo = 2048;
  const ptrdiff_t n = network.size(), dim = network.dim();
  if (n > kGramUpTo || !(frobenius.value() < 1e150)) return frobenius.value();
  std::vector<double> gram(at(n * n));
  isa::table().dense->gram_rows(network.patterns().data(), n, dim, gram.data());
  double largest = 0;
  for (ptrdiff_t i = 0; i < n; ++i) {
    double sum = 0;
    for (ptrdiff_t j = 0; j < n; ++j) sum += std::fabs(gram[at(i * n + j)]);
    largest = std::max(largest, sum);
  }
  // An entry is off by gamma |x_i| |x_j|, a sum over j of these is at most sqrt(n) |X|_F |x_i|.
  const UpperBound row =
      UpperBound(largest) * (UpperBound(1) + gamma_bound(n)) +
      gamma_bound(dim + 2) * sqrt(UpperBound(static_cast<double>(n))) * frobenius * frobenius +
      UpperBound(static_cast<double>(n * dim)) * UpperBound(kUnderflow);
  return std::min(frobenius.value(), sqrt(row).value());
}

Norms norms_of(const ContinuousNetwork<double>& network) {
  const ptrdiff_t n = network.size(), dim = network.dim();
  const std::vector<double>& x = network.patterns();
  const UpperBound frobenius = norm_bound(x.data(), n * dim);
  double column = 0;
  std::vector<double> entries(at(n));
  for (ptrdiff_t k = 0; k < dim; ++k) {
    for (ptrdiff_t i = 0; i < n; ++i) entries[at(i)] = x[at(i * dim + k)];
    column = std::max(column, norm_bound(entries.data(), n).value());
  }
  return {frobenius.value(), spectral_norm(network, frobenius), column};
}

// The certificate of one state, bound by bound.
class Proof {
 public:
  Proof(const ContinuousNetwork<double>& network, const Norms& norms, const double* state,
        SpectrumWorkspace& spectrum)
      : network_(network),
        n_(network.size()),
        dim_(network.dim()),
        x_(network.patterns().data()),
        norms_(norms),
        state_(state),
        w_(spectrum),
        overlaps_(at(n_)),
        values_(at(dim_)),
        slopes_(at(dim_)) {}

  Certificate run() {
    Certificate result;
    result.failure = prove(result);
    return result;
  }

 private:
  // Slopes below 5 g exp(-698) are set to zero.
  static constexpr double kDropped = 1e-302;

  CertificateFailure prove(Certificate& result) {
    if (!evaluate()) return CertificateFailure::field_rounding;
    bound_residual();
    form_derivative();
    Spectrum spectrum;
    if (!enclose_spectrum(n_, matrix_error_, false, w_, spectrum))
      return CertificateFailure::eigenvalues;
    result.morse_index = spectrum.above_one;
    result.spectral_radius = spectrum.radius;
    result.min_gap = spectrum.min_gap;
    // J at the state itself has the non-zero eigenvalues of H at X xi.
    const UpperBound factor = UpperBound(1) + growth(rate() * overlap_error_);
    result.spectral_low = lower_bound(spectrum.largest_low / factor.value());
    result.spectral_high = (spectrum.largest * factor).value();
    if (spectrum.degenerate) return CertificateFailure::degenerate;
    return find_radii(spectrum, result) ? CertificateFailure::none : CertificateFailure::residual;
  }

  UpperBound rate() const { return 2.0 * UpperBound(network_.gain()) * UpperBound(norms_.column); }

  // Overlaps m, taken as exact from here on, and u_k = g (x_k . m - b_k) with x_k the columns of X:
  // the sum in any order, and two roundings of what is at most |u| + g |b| in size each.
  // field_error_ bounds the error of every u.
  bool find_fields() {
    const auto& dense = *isa::table().dense;
    dense.matrix_vector(x_, state_, n_, dim_, overlaps_.data());
    dense.vector_matrix(overlaps_.data(), x_, n_, dim_, values_.data());
    const double gain = network_.gain();
    double largest = 0;
    for (size_t k = 0; k < values_.size(); ++k) {
      double& u = values_[k];
      u = gain * (u - network_.bias()[k]);
      if (!std::isfinite(u)) return false;
      largest = std::max(largest, std::fabs(u) + gain * std::fabs(network_.bias()[k]));
    }
    field_error_ = UpperBound(gain) * gamma_bound(n_ + 2) * UpperBound(norms_.column) *
                       norm_bound(overlaps_.data(), n_) +
                   UpperBound(4 * kUnitRoundoff) * UpperBound(largest) +
                   (UpperBound(gain) * UpperBound(static_cast<double>(n_)) + UpperBound(1)) *
                       UpperBound(kUnderflow);
    return true;
  }

  // t = (1 - e) / (1 + e) with the sign of u and D = 4 g e / (1 + e)^2, e = exp(-2 |u|). D at the
  // exact u is off by a factor within 1 +- slope_error_, as |d log D / du| <= 2 and |d log D / d
  // log e| <= 1, and the vector t by value_error_: |dt| <= (D / g) (error of u and of log e), and
  // the rounding of a quotient of at most 1.
  bool evaluate() {
    if (!find_fields()) return false;
    const double gain = network_.gain();
    slope_error_ = expm1_bound(2.0 * field_error_ + UpperBound(3 * kExpError) + gamma_bound(16));
    if (!(slope_error_.value() < 0.1)) return false;
    for (size_t k = 0; k < values_.size(); ++k) {
      const double u = values_[k], size = 2 * std::fabs(u);
      const double e = size > 699 ? 0 : exp_nonpositive(-size);
      values_[k] = std::copysign((1 - e) / (1 + e), u);
      slopes_[k] = gain * (4 * e / ((1 + e) * (1 + e)));
    }
    const UpperBound slope_norm = norm_bound(slopes_.data(), dim_) / gain;
    value_error_ =
        (field_error_ + UpperBound(2 * kExpError)) * (UpperBound(1) + slope_error_) * slope_norm +
        sqrt(UpperBound(static_cast<double>(dim_))) * gamma_bound(8);
    return true;
  }

  // |m - X t|, and how far m is from X xi.
  void bound_residual() {
    std::vector<double> difference(at(n_));
    isa::table().dense->matrix_vector(x_, values_.data(), n_, dim_, difference.data());
    for (size_t i = 0; i < difference.size(); ++i) difference[i] = overlaps_[i] - difference[i];
    const UpperBound x(norms_.frobenius), underflow(static_cast<double>(n_ * dim_) * kUnderflow);
    residual_ = norm_bound(difference.data(), n_) * (UpperBound(1) + gamma_bound(1)) +
                gamma_bound(dim_ + 2) * x * norm_bound(values_.data(), dim_) +
                UpperBound(norms_.spectral) * value_error_ + underflow;
    overlap_error_ = gamma_bound(dim_ + 2) * x * norm_bound(state_, dim_) + underflow;
  }

  // A A^T with A the rows x_i D^1/2, whose entries are within a factor 1 +- eta of the exact ones:
  // that moves it by (2 eta + eta^2) |A|_F^2.
  void form_derivative() {
    std::vector<double> rows(at(n_ * dim_));
    for (ptrdiff_t k = 0; k < dim_; ++k) {
      const double root = std::sqrt(slopes_[at(k)]);
      for (ptrdiff_t i = 0; i < n_; ++i) rows[at(i * dim_ + k)] = x_[i * dim_ + k] * root;
    }
    w_.matrix.resize(at(n_ * n_));
    isa::table().dense->gram_rows(rows.data(), n_, dim_, w_.matrix.data());
    const UpperBound norm = norm_bound(rows.data(), n_ * dim_);
    const UpperBound eta = 1.2 * slope_error_ + gamma_bound(8);
    const UpperBound x(norms_.frobenius), gain(network_.gain());
    matrix_error_ = (2.0 * eta + eta * eta + gamma_bound(dim_ + 2)) * norm * norm +
                    gain * UpperBound(kDropped) * x * x +
                    UpperBound(static_cast<double>(n_ * dim_) * kUnderflow) *
                        (UpperBound(1) + x * x) * (UpperBound(1) + gain);
  }

  // Within rho of m slopes grow by exp(rate rho) at most, so that the fixed point, tanh(g (X^T m*
  // - b)), is within sqrt(max D |H|) exp(rate rho) rho of t. And two fixed points within r of the
  // state have distinct overlaps within |X| r of X xi.
  bool find_radii(const Spectrum& spectrum, Certificate& result) const {
    const std::optional<NewtonBall> ball = find_newton_ball(spectrum, rate(), residual_);
    if (!ball) return false;
    const double steepest = *std::max_element(slopes_.begin(), slopes_.end());
    const UpperBound slope = UpperBound(steepest) * (UpperBound(1) + slope_error_) +
                             UpperBound(network_.gain()) * UpperBound(kDropped);
    const UpperBound rho(ball->radius);
    const UpperBound moved =
        sqrt(slope * spectrum.largest) * (UpperBound(1) + growth(rate() * rho)) * rho;
    std::vector<double> difference;
    const UpperBound radius =
        moved + distance_bound(values_.data(), state_, dim_, difference) + value_error_;
    const double room = lower_bound(ball->uniqueness_radius - overlap_error_.value());
    const double unique = lower_bound(room / norms_.spectral);
    if (!(radius.value() < unique)) return false;
    result.radius = radius.value();
    result.uniqueness_radius = unique;
    return true;
  }

  const ContinuousNetwork<double>& network_;
  const ptrdiff_t n_, dim_;
  const double* x_;
  const Norms& norms_;
  const double* state_;
  SpectrumWorkspace& w_;
  std::vector<double> overlaps_, values_, slopes_;
  UpperBound field_error_{0}, slope_error_{0}, value_error_{0}, residual_{0}, overlap_error_{0},
      matrix_error_{0};
};

}  // namespace

std::vector<Certificate> certify(const ContinuousNetwork<double>& network, const double* states,
                                 ptrdiff_t count, const Execution& execution) {
  std::vector<Certificate> certificates(at(count));
  const Norms norms = norms_of(network);
  std::vector<SpectrumWorkspace> workspaces(at(std::max(1, execution.threads)));
  parallel_for(count, execution, [&](ptrdiff_t s, int worker) {
    if (!arithmetic_is_sound())
      throw std::runtime_error("this thread does not round to nearest with gradual underflow");
    certificates[at(s)] =
        Proof(network, norms, states + s * network.dim(), workspaces[at(worker)]).run();
  });
  return certificates;
}

}  // namespace hopfix
