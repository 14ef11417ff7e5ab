// Proofs that a state lies near a fixed point, that it is the only one there, and of its index.
//
// Let R be the diameter of the patterns, lambda the eigenvalues of J at the state. Since
// exp(-beta R |d|) J(xi) <= J(xi + d) <= exp(beta R |d|) J(xi) in the Loewner order
// (generalised self-concordance of log-sum-exp; Bach 2010),
//   uniqueness: at most one fixed point strictly within ln(1 + min |1 - lambda| / lambda) / (beta
//   R), existence:  one within rho if q(rho) = (exp(beta R rho) - 1) sqrt(lambda_max)
//               max sqrt(lambda) / |1 - lambda| < 1 and |(I - J)^-1 (xi - f(xi))| <= (1 - q) rho
//               (the Newton map then contracts that ball into itself),
// and the Morse index is constant on the uniqueness ball. All rounding is bounded: the logits,
// exp, averages, J and its eigenvalues (src/spectrum.hpp: one Cholesky factorisation of large J).
#pragma once

#include <limits>
#include <memory>
#include <vector>

#include "hopfix/network.hpp"

namespace hopfix {

enum class CertificateFailure {
  none,
  degenerate,      // an eigenvalue enclosure of J contains 1
  residual,        // the state is too far from a fixed point, or the problem too badly conditioned
  logit_rounding,  // beta |x| |xi| is so large that double precision loses the weights
  field_rounding,  // the same of fields and slopes (hopfix/continuous_hopfield.hpp)
  eigenvalues,     // the eigenvalue iteration did not converge
};

// One sentence for people; empty for none.
const char* describe(CertificateFailure failure);

struct Certificate {
  static constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

  CertificateFailure failure = CertificateFailure::none;
  double radius = kNaN;             // a fixed point lies within this distance; NaN unless certified
  double uniqueness_radius = kNaN;  // at most one lies strictly within; NaN unless certified
  // Where all dim eigenvalues of J are above 1, at most one lies strictly within this distance;
  // else 0. It does not shrink as beta grows. For fixed points xi, xi + v and q = beta R |v|, |v|^2
  // = v . (f(xi + v) - f(xi)) >= |v|^2 lambda_min (1 - exp(-q)) / q.
  double concave_radius = 0;
  int morse_index = 0;  // eigenvalues of J above 1; an estimate unless certified
  // Largest eigenvalue of J and smallest |1 - eigenvalue|, to rounding; NaN where none was found.
  double spectral_radius = kNaN;
  double min_gap = kNaN;
  // Bounds of the largest eigenvalue of J at the state itself, which hold whether or not the state
  // is certified; NaN where none were found.
  double spectral_low = kNaN;
  double spectral_high = kNaN;

  bool certified() const { return failure == CertificateFailure::none; }
};

// Certifies states of one network; the map meant is the exact one for the given doubles.
class Certifier {
 public:
  // Keeps a reference. For the diameter a Gram matrix, O(n^2 dim), up to 1024 patterns; O(n dim)
  // above, where twice the largest distance from the mean stands for it.
  explicit Certifier(const Network<double>& network);
  ~Certifier();

  // Memory that certify() reuses; one per thread.
  struct Workspace;
  struct DeleteWorkspace {
    void operator()(Workspace* workspace) const;
  };
  std::unique_ptr<Workspace, DeleteWorkspace> workspace() const;

  // O(n dim + m dim min(m, dim) + min(m, dim)^3) with m the number of patterns whose weights are
  // not lost in the rounding of the others: few at a sharp memory or saddle. Throws
  // std::runtime_error in a thread that does not round to nearest with gradual underflow.
  Certificate certify(const double* state, Workspace& workspace) const;

  // count states (count x dim) at once, in parallel.
  std::vector<Certificate> certify(const double* states, std::ptrdiff_t count,
                                   const Execution& execution) const;

 private:
  const Network<double>& network_;
  double diameter_;      // upper bound
  double largest_norm_;  // upper bound of |x_i|
};

}  // namespace hopfix
