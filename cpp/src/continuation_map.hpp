// The fixed-point equation in scaled coordinates of the affine hull, with log beta as a variable.
//
// With patterns y_i (n x rank) and the state eta both divided by R, the largest distance of a
// pattern from their mean, and s = log(beta R^2),
//   F(eta, s) = eta - sum_i p_i y_i,   p = softmax(e^s g_i + b_i),   g_i = y_i . eta + a_i,
//   dF/deta = I - J,   dF/ds = -e^s Cov_p(y, g),   J = e^s Cov_p(y).
// The scores g hold the offsets, divided by R^2, if there are any.
// A point z of the (rank + 1)-dimensional space is eta followed by s.
#pragma once

#include <cstddef>
#include <vector>

#include "hopfix/affine_hull.hpp"
#include "hopfix/continuation.hpp"
#include "hopfix/network.hpp"

namespace hopfix {

using Coordinates = std::vector<double>;  // rank + 1, or rank where said so

class ContinuationMap {
 public:
  // O(n dim rank). Of the network it takes the patterns alone.
  ContinuationMap(const Network<double>& network, const LogitTerms& terms);

  std::ptrdiff_t rank() const { return rank_; }  // at least 1
  std::ptrdiff_t size() const { return n_; }
  double scale() const { return scale_; }
  const double* patterns() const { return patterns_.data(); }              // n x rank
  const std::vector<double>& log_weights() const { return log_weights_; }  // b, n or empty
  const std::vector<double>& offsets() const { return offsets_; }          // a, n or empty

  Coordinates from_state(const double* state, double beta) const;
  std::vector<double> to_state(const Coordinates& z) const;
  // The vector of the state space that belongs to a difference of eta's.
  std::vector<double> to_direction(const Coordinates& difference) const;
  double to_beta(double s) const;
  double to_s(double beta) const;
  // E of the network at a fixed point or any other state, from that of the scaled patterns.
  double to_energy(double scaled) const;

 private:
  std::ptrdiff_t n_, rank_;
  AffineHull hull_;
  double scale_ = 1;
  void move_to(const std::vector<double>& mean);

  std::vector<double> patterns_, log_weights_, offsets_, shift_;
};

// F and its derivatives at a point; memory is reused.
class MapPoint {
 public:
  explicit MapPoint(const ContinuationMap& map) : map_(map) {}

  // O(n rank), and O(n rank^2) with the Jacobian.
  void evaluate(const Coordinates& z, bool with_jacobian = true);

  const std::vector<double>& residual() const { return residual_; }    // F
  const std::vector<double>& jacobian() const { return jacobian_; }    // J
  const std::vector<double>& push() const { return push_; }            // -dF/ds
  const std::vector<double>& weights() const { return weights_; }      // p
  double inverse_temperature() const { return inverse_temperature_; }  // e^s
  double energy() const { return energy_; }                            // of the scaled patterns

  // With u_i = y_i - f and w = (v, t): u_i . v + t (g_i - its mean), which e^s makes the change of
  // the i-th logit, less the mean of all, along w. n numbers.
  std::vector<double> along(const Coordinates& w) const;
  // e^2s sum_i p_i a_i b_i c_i for such a, b, c; where they belong to (v, 0), w and w' this is the
  // part of the second derivative of v . f along w and w' that is due to the third cumulant.
  double third(const std::vector<double>& a, const std::vector<double>& b,
               const std::vector<double>& c) const;
  // The same of a, a, a with absolute values: the unit for the one above.
  double third_magnitude(const std::vector<double>& a) const;
  // M_v = e^2s sum_i p_i (u_i . v) u_i u_i', the derivative of J v (rank x rank).
  std::vector<double> derivative_along(const double* v) const;
  // sum_i c_i p_i u_i.
  std::vector<double> moment(const std::vector<double>& c) const;

 private:
  const ContinuationMap& map_;
  double inverse_temperature_ = 0;
  std::vector<double> scores_, spread_;  // g, and g less its mean
  std::vector<double> weights_, centred_, rows_, mean_, residual_, jacobian_, push_;
  double energy_ = 0;
};

// Eigenvalues of J, ascending, with eigenvectors as the rows of `vectors`.
struct Eigenpairs {
  std::vector<double> values, vectors;

  const double* vector(std::ptrdiff_t i) const {
    return vectors.data() + i * static_cast<std::ptrdiff_t>(values.size());
  }
  // Eigenvalues above 1 + tolerance: the last ones.
  std::ptrdiff_t above(double tolerance = 0) const;
};

Eigenpairs spectrum_of(const std::vector<double>& jacobian, std::ptrdiff_t rank);

double dot(const Coordinates& a, const Coordinates& b);
double norm(const Coordinates& a);

// x := A^-1 x, A of order x.size(), row-major. False where the result is not finite.
bool solve_system(const std::vector<double>& matrix, std::vector<double>& x);

}  // namespace hopfix
