// The fixed-point equation in scaled coordinates of the affine hull, with log beta as a variable.
//
// With patterns y_i (n x rank) and the state eta both divided by R, the largest distance of a
// pattern from their mean, and s = log(beta R^2),
//   F(eta, s) = eta - sum_i p_i y_i,   p = softmax(e^s y_i . eta + b_i),
//   dF/deta = I - J,   dF/ds = -J eta,   J = e^s Cov_p(y).
// A point z of the (rank + 1)-dimensional space is eta followed by s.
#pragma once

#include <cstddef>
#include <vector>

#include "hopfix/affine_hull.hpp"
#include "hopfix/network.hpp"

namespace hopfix {

using Coordinates = std::vector<double>;  // rank + 1, or rank where said so

class ContinuationMap {
 public:
  // O(n dim rank).
  explicit ContinuationMap(const Network<double>& network);

  std::ptrdiff_t rank() const { return rank_; }  // at least 1
  std::ptrdiff_t size() const { return n_; }
  double scale() const { return scale_; }
  const double* patterns() const { return patterns_.data(); }  // n x rank
  const std::vector<double>& log_weights() const { return log_weights_; }

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
  std::vector<double> patterns_, log_weights_;
};

// F and its derivatives at a point; memory is reused.
class MapPoint {
 public:
  explicit MapPoint(const ContinuationMap& map) : map_(map) {}

  // O(n rank), and O(n rank^2) with the Jacobian.
  void evaluate(const Coordinates& z, bool with_jacobian = true);

  const std::vector<double>& residual() const { return residual_; }  // F
  const std::vector<double>& jacobian() const { return jacobian_; }  // J
  const std::vector<double>& push() const { return push_; }          // J eta
  double energy() const { return energy_; }                          // of the scaled patterns

  // a . kappa(b, c) = e^2s sum_i p_i (u_i . a)(u_i . b)(u_i . c), u_i = y_i - f: the second
  // derivative of a . f along b and c.
  double third(const double* a, const double* b, const double* c) const;
  // The same with absolute values: the unit for the one above.
  double third_magnitude(const double* a) const;
  // M_v = e^2s sum_i p_i (u_i . v) u_i u_i', the derivative of J v (rank x rank).
  std::vector<double> derivative_along(const double* v) const;

 private:
  const ContinuationMap& map_;
  double inverse_temperature_ = 0;
  std::vector<double> weights_, centred_, rows_, mean_, residual_, jacobian_, push_;
  double energy_ = 0;
};

// Eigenvalues of J, ascending, with eigenvectors as the rows of `vectors`.
struct Spectrum {
  std::vector<double> values, vectors;

  const double* vector(std::ptrdiff_t i) const {
    return vectors.data() + i * static_cast<std::ptrdiff_t>(values.size());
  }
  // Eigenvalues above 1 + tolerance: the last ones.
  std::ptrdiff_t above(double tolerance = 0) const;
};

Spectrum spectrum_of(const std::vector<double>& jacobian, std::ptrdiff_t rank);

double dot(const Coordinates& a, const Coordinates& b);
double norm(const Coordinates& a);

// x := A^-1 x, A of order x.size(), row-major. False where the result is not finite.
bool solve_system(const std::vector<double>& matrix, std::vector<double>& x);

}  // namespace hopfix
