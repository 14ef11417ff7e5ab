// J = A^T A given by the rows of A: its largest eigenvalue, and systems with I - J.
//
// Small problems are solved densely on the smaller side, A^T A or A A^T, which have the same
// non-zero eigenvalues. Large ones by the method of Lanczos (1950) with full reorthogonalisation:
// a step costs one pass over A and k products of length dim, and no square matrix is formed but
// the k x k projection.
#pragma once

#include <cstddef>
#include <vector>

#include "hopfix/parallel.hpp"

namespace hopfix {

class NormalMatrix {
 public:
  // rows: count x dim, row-major; kept by reference.
  NormalMatrix(const double* rows, std::ptrdiff_t count, std::ptrdiff_t dim)
      : rows_(rows), count_(count), dim_(dim) {}

  std::ptrdiff_t count() const { return count_; }
  std::ptrdiff_t dim() const { return dim_; }
  const double* rows() const { return rows_; }
  // The smaller side, which bounds the rank.
  std::ptrdiff_t order() const { return count_ < dim_ ? count_ : dim_; }

  // y = J x, in an order of summation fixed by the shape.
  void apply(const double* x, double* y, const Execution& execution) const;

  // A^T A or A A^T (order x order).
  std::vector<double> gram() const;

 private:
  const double* rows_;
  std::ptrdiff_t count_, dim_;
};

// Lanczos vectors of J from one start, and the projection T = V^T J V, tridiagonal.
class Lanczos {
 public:
  Lanczos(const NormalMatrix& matrix, const double* start, const Execution& execution);

  // One more column of T. False, and nothing done, when the space is invariant.
  bool extend();
  std::ptrdiff_t steps() const { return static_cast<std::ptrdiff_t>(diagonal_.size()); }
  double start_norm() const { return start_norm_; }
  // |J v - projection| of the last step: the coupling to what has not been explored.
  double coupling() const { return invariant_ ? 0.0 : next_norm_; }
  // T (steps x steps), dense.
  std::vector<double> projection() const;
  // x = V y.
  void combine(const double* y, double* x) const;

 private:
  void push(const std::vector<double>& vector, double norm);

  const NormalMatrix& matrix_;
  const Execution& execution_;
  std::vector<std::vector<double>> basis_;
  std::vector<double> diagonal_, off_diagonal_, next_;
  double start_norm_ = 0, next_norm_ = 0, scale_ = 0;
  bool invariant_ = false;
};

// The largest eigenvalue; the estimated relative error is at most `tolerance` where Lanczos is
// used. It then comes from below, from a start vector that is fixed but pseudo-random.
double largest_eigenvalue(const NormalMatrix& matrix, double tolerance, const Execution& execution);

// (I - J) x = c. Returns an estimate of the distance of I - J to singularity, min |1 - lambda|;
// 0 when the solution was not found, in which case x is left as it is.
double solve_identity_minus(const NormalMatrix& matrix, const double* c, double* x,
                            const Execution& execution);

}  // namespace hopfix
