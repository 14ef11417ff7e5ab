// J = A^T A: its largest eigenvalue, and systems with I - J.
//
// Given by the rows of A, on the smaller side, A^T A or A A^T, which have the same non-zero
// eigenvalues. Given by its products with vectors, by the method of Lanczos (1950) with full
// reorthogonalisation: step k costs one product and k of vectors, and no square matrix is formed
// but the k x k projection.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

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

  // A^T A or A A^T (order x order).
  std::vector<double> gram() const;

 private:
  const double* rows_;
  std::ptrdiff_t count_, dim_;
};

// J through its products: multiply(x, y) sets y = J x.
struct SymmetricMap {
  std::ptrdiff_t dim;
  std::function<void(const double* x, double* y)> multiply;
};

// Numbers in (-1, 1) that no structure of the patterns knows about: a start for Lanczos.
std::vector<double> pseudo_random(std::ptrdiff_t count);

// Lanczos vectors of J from one start, and the projection T = V^T J V, tridiagonal.
class Lanczos {
 public:
  Lanczos(const SymmetricMap& map, const double* start);

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
  const SymmetricMap& map_;
  std::vector<std::vector<double>> basis_;
  std::vector<double> diagonal_, off_diagonal_, next_;
  double start_norm_ = 0, next_norm_ = 0, scale_ = 0;
  bool invariant_ = false;
};

// The smaller sides up to which dense methods are faster, as measured.
inline constexpr std::ptrdiff_t kDenseEigenvalue = 64, kDenseSolve = 768;

// NaN where the matrix is not finite, as for the map below. Its unit eigenvector (dim) goes to
// `vector`, unless that is nullptr: of either sign, 0 where J is 0, NaN where it is not finite.
double largest_eigenvalue(const NormalMatrix& matrix, double* vector = nullptr);

// With an estimated relative error of at most `tolerance`: a value from below, from a start vector
// that is fixed but pseudo-random.
double largest_eigenvalue(const SymmetricMap& map, double tolerance, double* vector = nullptr);

// (I - J) x = c. Returns an estimate of the distance of I - J to singularity, min |1 - lambda|;
// 0 when the solution was not found, in which case x is left as it is.
double solve_identity_minus(const NormalMatrix& matrix, const double* c, double* x);
double solve_identity_minus(const SymmetricMap& map, const double* c, double* x);

}  // namespace hopfix
