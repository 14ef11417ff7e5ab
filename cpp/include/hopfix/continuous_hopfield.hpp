// The continuous Hopfield network (Hopfield 1984) with Hebbian weights:
//
//   f(xi) = tanh(g (W xi - b)),  W = Sum_i x_i x_i^T, with zero_diagonal without its diagonal
//   E(xi) = -xi^T W xi / 2 + b^T xi + Sum_k S(xi_k) / g,  S(s) = artanh integrated from 0 to s
//   J(xi) = D W,  D = diag(g sech^2(g (W xi - b)))
//
// or, where a sparsity rule sets components to zero in the query and in the inner copy of the
// patterns, f(xi) = tanh(g (X Xs^T xi_s - b)) (Eq. 20 of "Looking at the Performer from a Hopfield
// point of view"), which has no energy.
//
// Arrays are row-major: patterns n x dim, states count x dim. T is float or double. W is formed,
// once, where n >= dim / 2; fields are then sums over W's rows, else over overlaps x_i . xi, both
// in T in an order fixed by n and dim: a state's result is the same, to the bit, alone, in any
// batch and on any number of threads. O(min(2 n, dim) dim) a state. Accuracy of a field, u the unit
// roundoff of T: (2 dim + n) u Sum_i |x_ik| |x_i| |xi|; tanh to 4 ulp.
#pragma once

#include <limits>
#include <memory>
#include <vector>

#include "hopfix/certificate.hpp"
#include "hopfix/network.hpp"
#include "hopfix/retrieval.hpp"

namespace hopfix {

// Which components of a row become zero: those above a threshold, or the `top` largest (of equal
// ones, those that come first).
struct Sparsity {
  double above = std::numeric_limits<double>::infinity();
  std::ptrdiff_t top = 0;

  bool any() const { return above < std::numeric_limits<double>::infinity() || top > 0; }
  // Per component of the row whether it becomes zero; O(dim).
  template <class T>
  std::vector<std::uint8_t> removed(const T* row, std::ptrdiff_t dim) const;
  template <class T>
  void apply(T* row, std::ptrdiff_t dim) const;
};

template <class T>
class ContinuousNetwork {
 public:
  // Copies its arguments; bias may be nullptr (all zero). n, dim >= 1, gain > 0, all finite.
  ContinuousNetwork(const T* patterns, std::ptrdiff_t n, std::ptrdiff_t dim, double gain,
                    const T* bias, bool zero_diagonal, const Sparsity& sparsity);

  std::ptrdiff_t size() const { return n_; }
  std::ptrdiff_t dim() const { return dim_; }
  double gain() const { return gain_; }
  bool zero_diagonal() const { return zero_diagonal_; }
  const std::vector<T>& bias() const { return bias_; }  // dim, zeros where none was given
  // n x dim, in double precision.
  const std::vector<double>& patterns() const { return patterns_; }
  // W or X Xs^T (dim x dim), and the diagonal that W has or had. O(n dim^2).
  std::vector<double> weights() const;
  const std::vector<double>& diagonal() const { return diagonal_; }

  // out (count x dim) = f(states).
  void update(const T* states, std::ptrdiff_t count, T* out, const Execution& execution) const;

  // out (count) = E(states), in double precision inside, for |states| <= 1 and no sparsity.
  void energy(const T* states, std::ptrdiff_t count, T* out, const Execution& execution) const;

  // out (count x dim x dim) = J(states), in double precision inside, without cancellation where
  // tanh is saturated. Sparse: of the components that stay. O(dim^2) a state, O(n dim^2) once.
  void jacobian(const T* states, std::ptrdiff_t count, T* out, const Execution& execution) const;

 private:
  struct Workspace;
  void set_fields(Workspace& work) const;
  void update_tile(const T* states, std::ptrdiff_t count, T* out, Workspace& work) const;

  std::ptrdiff_t n_, dim_, stride_;
  double gain_;
  bool zero_diagonal_;
  Sparsity sparsity_;
  std::vector<T> bias_;
  std::vector<double> patterns_, diagonal_;
  std::vector<T> values_, keys_;  // n rows of stride_; no keys: the values
  std::vector<T> weights_;        // dim rows of stride_, where W is formed
};

// As for Hopfield networks (hopfix/retrieval.hpp), by plain updates.
template <class T>
Retrieval<T> retrieve(const ContinuousNetwork<T>& network, const T* states, std::ptrdiff_t count,
                      std::int64_t max_steps, double tol, const Execution& execution);

// The same by Newton's method: the step is (I - J)^-1 (f - xi), halved up to three times until the
// residual falls; where no part of it helps, plain updates are taken, twice as many every time. Not
// for sparse networks. Systems
// are of order min(n, dim), O(n^2 dim + n^3) a step for n < dim.
Retrieval<double> solve_by_newton(const ContinuousNetwork<double>& network, const double* states,
                                  std::ptrdiff_t count, std::int64_t max_steps, double tol,
                                  const Execution& execution);

// Certificates of states, for W with its diagonal and no sparsity: the map meant is the exact one
// for the stored numbers.
//
// In overlaps m = X xi a fixed point is one of F(m) = X tanh(g (X^T m - b)), and xi = tanh(g (X^T m
// - b)) leads back. Its derivative H = X D X^T is symmetric and, as |d log sech^2(u) / du| <= 2,
//   exp(-rate |d|) H(m) <= H(m + d) <= exp(rate |d|) H(m),  rate = 2 g max_k |(x_ik)_i|:
// what src/newton_ball.hpp asks for. H has the non-zero eigenvalues of J. All rounding is bounded:
// of overlaps, fields, exp, H and its eigenvalues. Radii are distances of states. O(n^2 dim + n^3).
std::vector<Certificate> certify(const ContinuousNetwork<double>& network, const double* states,
                                 std::ptrdiff_t count, const Execution& execution);

extern template class ContinuousNetwork<float>;
extern template class ContinuousNetwork<double>;

}  // namespace hopfix
