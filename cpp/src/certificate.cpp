#include "hopfix/certificate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>
#include <vector>

#include "hopfix/interval.hpp"
#include "hopfix/isa.hpp"
#include "hopfix/rounding.hpp"
#include "kernels/table.hpp"
#include "newton_ball.hpp"
#include "spectrum.hpp"

namespace hopfix {

const char* describe(CertificateFailure failure) {
  switch (failure) {
    case CertificateFailure::none:
      return "";
    case CertificateFailure::degenerate:
      return "degenerate: an eigenvalue enclosure of the Jacobian contains 1";
    case CertificateFailure::residual:
      return "the residual is too large for the existence test";
    case CertificateFailure::logit_rounding:
      return "beta |x| |state| is too large: rounding of the logits loses the weights";
    case CertificateFailure::field_rounding:
      return "gain |x| |overlaps| is too large: rounding of the fields loses the slopes";
    case CertificateFailure::eigenvalues:
      return "the eigenvalue iteration did not converge";
  }
  return "";
}

struct Certifier::Workspace {
  std::vector<double> logits, exponentials, rows, residual;
  std::vector<std::ptrdiff_t> live;  // patterns with a row
  SpectrumWorkspace spectrum;
};

void Certifier::DeleteWorkspace::operator()(Workspace* workspace) const { delete workspace; }

std::unique_ptr<Certifier::Workspace, Certifier::DeleteWorkspace> Certifier::workspace() const {
  return std::unique_ptr<Workspace, DeleteWorkspace>(new Workspace);
}

namespace {

using std::ptrdiff_t;
using std::size_t;

// The rows x_i - m around their mean m, each within (1 + u) of the exact ones, and a bound of their
// norms.
UpperBound centre_rows(const Network<double>& network, std::vector<double>& rows) {
  const ptrdiff_t n = network.size(), dim = network.dim();
  const double* x = network.patterns().data();
  std::vector<double> mean(static_cast<size_t>(dim));
  for (ptrdiff_t i = 0; i < n; ++i)
    for (ptrdiff_t k = 0; k < dim; ++k)
      mean[static_cast<size_t>(k)] += x[i * dim + k] / static_cast<double>(n);
  rows.resize(static_cast<size_t>(n * dim));
  UpperBound radius(0);
  for (ptrdiff_t i = 0; i < n; ++i) {
    double* row = rows.data() + i * dim;
    for (ptrdiff_t k = 0; k < dim; ++k) row[k] = x[i * dim + k] - mean[static_cast<size_t>(k)];
    const UpperBound here = norm_bound(row, dim);
    if (!(here.value() <= radius.value())) radius = here;
  }
  return radius * (UpperBound(1) + gamma_bound(1));
}

// From the Gram matrix of the centred rows y: |y_i - y_j|^2 = G_ii + G_jj - 2 G_ij, off by
// gamma (|y_i| + |y_j|)^2 at most. The diameter is at least the radius, so little is lost.
UpperBound diameter_by_gram(const Network<double>& network) {
  const ptrdiff_t n = network.size(), dim = network.dim();
  std::vector<double> rows, gram(static_cast<size_t>(n * n));
  const UpperBound radius = centre_rows(network, rows);
  if (!(radius.value() < 1e150)) return UpperBound(HUGE_VAL);  // its square may overflow
  isa::table().dense->gram_rows(rows.data(), n, dim, gram.data());
  double largest = 0;
  for (ptrdiff_t i = 0; i < n; ++i)
    for (ptrdiff_t j = 0; j < i; ++j) {
      const double square =
          (gram[static_cast<size_t>(i * (n + 1))] + gram[static_cast<size_t>(j * (n + 1))]) -
          2 * gram[static_cast<size_t>(i * n + j)];
      if (!(square <= largest)) largest = square;
    }
  const UpperBound error = 4.0 * gamma_bound(dim + 8) * radius * radius +
                           UpperBound(static_cast<double>(4 * dim)) * UpperBound(kUnderflow);
  return sqrt(UpperBound(largest) + error) + 2.0 * gamma_bound(1) * radius;
}

UpperBound diameter_by_mean(const Network<double>& network) {
  std::vector<double> rows;
  return 2.0 * centre_rows(network, rows);
}

}  // namespace

Certifier::Certifier(const Network<double>& network) : network_(network) {
  constexpr ptrdiff_t kGramUpTo = 1024;
  diameter_ =
      (network.size() <= kGramUpTo ? diameter_by_gram(network) : diameter_by_mean(network)).value();
  double largest = 0;
  for (ptrdiff_t i = 0; i < network.size(); ++i)
    largest = std::max(
        largest, norm_bound(network.patterns().data() + i * network.dim(), network.dim()).value());
  largest_norm_ = largest;
}

Certifier::~Certifier() = default;

namespace {

// The certificate of one state, bound by bound. Every member named ..._error or ..._bound is an
// upper bound that includes its own rounding.
class Proof {
 public:
  Proof(const Network<double>& network, const double* state, double diameter, double largest_norm,
        Certifier::Workspace& workspace)
      : n_(network.size()),
        dim_(network.dim()),
        network_(network),
        state_(state),
        diameter_(diameter),
        largest_norm_(largest_norm),
        state_norm_(norm_bound(state, network.dim())),
        w_(workspace) {}

  Certificate run() {
    Certificate result;
    result.failure = prove(result);
    return result;
  }

 private:
  // Exponentials below exp(-700) are set to zero.
  static constexpr double kDropBelow = -700;

  CertificateFailure prove(Certificate& result) {
    weigh();
    if (!(weight_error_.value() < 0.1)) return CertificateFailure::logit_rounding;
    centre();
    form_jacobian();
    Spectrum spectrum;
    // The eigenvalues of J that the smaller matrix leaves out are zero up to matrix_error_.
    if (!enclose_spectrum(order_, matrix_error_, order_ < dim_, w_.spectrum, spectrum))
      return CertificateFailure::eigenvalues;
    result.morse_index = spectrum.above_one;
    result.spectral_radius = spectrum.radius;
    result.spectral_low = spectrum.largest_low;
    result.spectral_high = spectrum.largest.value();
    result.min_gap = spectrum.min_gap;
    if (spectrum.degenerate) return CertificateFailure::degenerate;
    return find_radii(spectrum, result) ? CertificateFailure::none : CertificateFailure::residual;
  }

  // Logits z_i = beta x_i . xi + b_i and e_i = exp(z_i - max z) up to a common factor. With
  // x . xi summed in any order, z_i is off by at most beta gamma(dim) |x| |xi| + 3 u (|z| + |b|),
  // so e_i by a factor within 1 +- weight_error_.
  void weigh() {
    w_.logits.resize(static_cast<size_t>(n_));
    isa::table().dense->matrix_vector(network_.patterns().data(), state_, n_, dim_,
                                      w_.logits.data());
    const auto& log_weights = network_.log_weights();
    double largest = 0;
    top_ = -HUGE_VAL;
    for (size_t i = 0; i < w_.logits.size(); ++i) {
      const double b = log_weights.empty() ? 0 : log_weights[i];
      double& z = w_.logits[i];
      z = network_.beta() * z + b;
      top_ = std::max(top_, z);
      largest = std::max(largest, std::fabs(z) + std::fabs(b));
    }
    const UpperBound beta(network_.beta());
    const UpperBound logit_error =
        beta * gamma_bound(dim_ + 2) * UpperBound(largest_norm_) * state_norm_ +
        UpperBound(4 * kUnitRoundoff) * UpperBound(largest) + beta * UpperBound(kUnderflow);
    weight_error_ =
        expm1_bound(logit_error + UpperBound(701 * kUnitRoundoff) + UpperBound(1.01 * kExpError));
    largest_row_ = UpperBound(largest_norm_) + state_norm_;
  }

  // The e_i, and which patterns are live: those above a share of all but the largest e_i that is
  // lost in rounding. What the others weigh in all is a bound of its own, so that at a sharp
  // memory or saddle the work is that of the patterns around it.
  void choose_live() {
    w_.exponentials.resize(static_cast<size_t>(n_));
    double others = 0, largest = 0;
    for (size_t i = 0; i < w_.logits.size(); ++i) {
      const double shifted = w_.logits[i] - top_;
      const double e = shifted < kDropBelow ? 0 : exp_nonpositive(shifted);
      w_.exponentials[i] = e;
      others += std::min(e, largest);
      largest = std::max(e, largest);
    }
    const double threshold = kUnitRoundoff / 16 * others / static_cast<double>(n_);
    double dropped = 0;
    w_.live.clear();
    for (ptrdiff_t i = 0; i < n_; ++i)
      if (w_.exponentials[static_cast<size_t>(i)] > threshold)
        w_.live.push_back(i);
      else
        dropped += w_.exponentials[static_cast<size_t>(i)];
    live_ = static_cast<ptrdiff_t>(w_.live.size());
    // What is set to zero is at most n exp(-699) in all.
    const UpperBound count(static_cast<double>(n_));
    dropped_ =
        UpperBound(dropped) * (UpperBound(1) + weight_error_) * (UpperBound(1) + gamma_bound(n_)) +
        count * UpperBound(1e-303);
  }

  // Rows y_i = x_i - xi of the live patterns, S = sum e_i, and |xi - f(xi)| = |sum e_i y_i| / S:
  // the computed sum, its rounding and the error of the e_i (both times sum e_i |y_i|), and what
  // was dropped.
  void centre() {
    choose_live();
    w_.rows.resize(static_cast<size_t>(live_ * dim_));
    w_.residual.assign(static_cast<size_t>(dim_), 0.0);
    double spread = 0;
    sum_ = 0;
    for (ptrdiff_t a = 0; a < live_; ++a) {
      const ptrdiff_t i = w_.live[static_cast<size_t>(a)];
      const double e = w_.exponentials[static_cast<size_t>(i)];
      const double* x = network_.patterns().data() + i * dim_;
      double* y = w_.rows.data() + a * dim_;
      for (ptrdiff_t k = 0; k < dim_; ++k) {
        y[k] = x[k] - state_[k];
        w_.residual[static_cast<size_t>(k)] += e * y[k];
      }
      sum_ += e;
      spread += e * norm_bound(y, dim_).value();
    }
    const UpperBound summation = gamma_bound(live_ + 8);
    const double sum_low = lower_bound(lower_bound(sum_ * lower_bound(1 - weight_error_.value())) *
                                       lower_bound(1 - summation.value()));
    const UpperBound spread_bound = UpperBound(spread) * (UpperBound(1) + summation);
    residual_bound_ = (norm_bound(w_.residual.data(), dim_) +
                       (summation + weight_error_) * spread_bound + dropped_ * largest_row_) /
                      sum_low;
    dropped_share_ = dropped_ / sum_low;
  }

  // With A the rows sqrt(beta e_i / S) y_i, J = A^T A - beta (f - xi)(f - xi)^T; the smaller of
  // A^T A and A A^T, which has the same non-zero eigenvalues, is formed. Each entry of A is
  // within a factor 1 +- eta of the true one, which moves A^T A by (2 eta + eta^2) |A|_F^2.
  void form_jacobian() {
    const double beta = network_.beta();
    for (ptrdiff_t i = 0; i < live_; ++i) {
      const double e = w_.exponentials[static_cast<size_t>(w_.live[static_cast<size_t>(i)])];
      const double root = std::sqrt(beta * (e / sum_));
      for (ptrdiff_t k = 0; k < dim_; ++k) w_.rows[static_cast<size_t>(i * dim_ + k)] *= root;
    }
    const bool by_rows = live_ < dim_;
    order_ = by_rows ? live_ : dim_;
    const ptrdiff_t depth = by_rows ? dim_ : live_;
    w_.spectrum.matrix.resize(static_cast<size_t>(order_ * order_));
    const auto& dense = *isa::table().dense;
    (by_rows ? dense.gram_rows : dense.gram_columns)(w_.rows.data(), live_, dim_,
                                                     w_.spectrum.matrix.data());

    const UpperBound norm = norm_bound(w_.rows.data(), live_ * dim_);
    const UpperBound eta = 1.2 * weight_error_ + dropped_share_ + gamma_bound(live_ + 16);
    const UpperBound row_square = largest_row_ * largest_row_;
    matrix_error_ =
        (2.0 * eta + eta * eta + gamma_bound(depth + 2)) * norm * norm +
        UpperBound(beta) * (residual_bound_ * residual_bound_ + dropped_share_ * row_square) +
        UpperBound(kUnderflow) * UpperBound(static_cast<double>(order_ * depth)) *
            (UpperBound(1) + row_square);
  }

  bool find_radii(const Spectrum& spectrum, Certificate& result) const {
    const UpperBound rate = UpperBound(network_.beta()) * UpperBound(diameter_);
    const std::optional<NewtonBall> ball = find_newton_ball(spectrum, rate, residual_bound_);
    if (!ball) return false;
    result.radius = ball->radius;
    result.uniqueness_radius = ball->uniqueness_radius;
    if (spectrum.above_one == dim_)
      result.concave_radius = find_concave_radius(spectrum, rate, UpperBound(ball->radius));
    return true;
  }

  // The fixed point is within `radius` of the state, where J is smaller by exp(-beta R radius) at
  // most; the bound at distance q / (beta R) from it is checked with 0.1 % to spare.
  static double find_concave_radius(const Spectrum& spectrum, UpperBound rate, UpperBound radius) {
    const UpperBound shrinks = rate * radius;
    if (!(spectrum.min_ratio > 0) || !(shrinks.value() < 0.5)) return 0;
    const double ratio = std::min(spectrum.min_ratio, 1 - 1e-12);
    const double least =
        lower_bound(lower_bound(1 / (UpperBound(1 - ratio) * UpperBound(1 + 1e-12)).value()) *
                    lower_bound(1 - shrinks.value()));
    double q = least;
    for (int step = 0; step < 60; ++step) q = least * (1 - exp_up(-q));
    q *= 0.999;
    if (!(lower_bound(least * lower_bound(1 - exp_up(-q))) > q)) return 0;
    return lower_bound(lower_bound(lower_bound(q / rate.value()) * (1 - 1e-9)) - radius.value());
  }

  ptrdiff_t n_, dim_, live_ = 0, order_ = 0;
  const Network<double>& network_;
  const double* state_;
  double diameter_, largest_norm_, top_ = 0, sum_ = 0;
  UpperBound state_norm_, weight_error_{0}, dropped_{0}, dropped_share_{0}, largest_row_{0},
      residual_bound_{0}, matrix_error_{0};
  Certifier::Workspace& w_;
};

}  // namespace

Certificate Certifier::certify(const double* state, Workspace& workspace) const {
  if (!arithmetic_is_sound())
    throw std::runtime_error("this thread does not round to nearest with gradual underflow");
  return Proof(network_, state, diameter_, largest_norm_, workspace).run();
}

std::vector<Certificate> Certifier::certify(const double* states, ptrdiff_t count,
                                            const Execution& execution) const {
  std::vector<Certificate> certificates(static_cast<size_t>(count));
  std::vector<std::unique_ptr<Workspace, DeleteWorkspace>> workspaces;
  for (int t = 0; t < std::max(1, execution.threads); ++t) workspaces.push_back(workspace());
  parallel_for(count, execution, [&](ptrdiff_t i, int worker) {
    certificates[static_cast<size_t>(i)] =
        certify(states + i * network_.dim(), *workspaces[static_cast<size_t>(worker)]);
  });
  return certificates;
}

}  // namespace hopfix
