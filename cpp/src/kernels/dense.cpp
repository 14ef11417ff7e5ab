// Small dense linear algebra on raw row-major arrays, by Eigen at this level.
//
// Eigen is renamed Eigen_<level> on the command line of every kernel translation unit: its inline
// functions would otherwise be merged across levels by the linker.
#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/LU>

#include "level.hpp"
#include "matrix_vector.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using In = Eigen::Map<const Matrix>;
using Out = Eigen::Map<Matrix>;
using Vector = Eigen::Map<Eigen::VectorXd>;

template <class Factor>
void symmetric_product(const Factor& factor, Out out) {
  Matrix result = Matrix::Zero(out.rows(), out.cols());
  result.selfadjointView<Eigen::Lower>().rankUpdate(factor);
  out = result.selfadjointView<Eigen::Lower>();
}

void gram_columns(const double* a, std::ptrdiff_t n, std::ptrdiff_t k, double* c) {
  const Matrix columns = In(a, n, k);
  symmetric_product(columns.transpose(), Out(c, k, k));
}

void gram_rows(const double* a, std::ptrdiff_t n, std::ptrdiff_t k, double* c) {
  const Matrix rows = In(a, n, k);
  symmetric_product(rows, Out(c, n, n));
}

// Eigen peels loops over mapped memory up to its alignment, which would let the address of an
// array decide the order of a sum; its own matrices are always aligned.
void product(const double* a, const double* b, std::ptrdiff_t m, std::ptrdiff_t k, std::ptrdiff_t n,
             double* c) {
  const Matrix left = In(a, m, k), right = In(b, k, n);
  const Matrix result = left * right;
  Out(c, m, n) = result;
}

bool symmetric_eigen(const double* a, std::ptrdiff_t n, double* values, double* vectors) {
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(
      In(a, n, n), vectors == nullptr ? Eigen::EigenvaluesOnly : Eigen::ComputeEigenvectors);
  if (solver.info() != Eigen::Success) return false;
  Vector(values, n) = solver.eigenvalues();
  if (vectors != nullptr) Out(vectors, n, n) = solver.eigenvectors();
  return true;
}

bool cholesky(double* a, std::ptrdiff_t n) {
  const Eigen::LLT<Matrix> factors(In(a, n, n));
  if (factors.info() != Eigen::Success) return false;
  Out(a, n, n) = factors.matrixL();
  return true;
}

using Factors = Eigen::PartialPivLU<Matrix>;

void solve_with(const Factors& factors, double* b) {
  Vector x(b, factors.rows());
  x = factors.solve(x).eval();
}

void solve(const double* a, std::ptrdiff_t n, double* b) { solve_with(Factors(In(a, n, n)), b); }

double solve_estimating(const double* a, std::ptrdiff_t n, double* b) {
  const Matrix matrix = In(a, n, n);
  const Factors factors(matrix);
  solve_with(factors, b);
  return factors.rcond() * matrix.cwiseAbs().colwise().sum().maxCoeff();
}

}  // namespace

const DenseKernels dense = {matrix_vector,   vector_matrix, product, gram_columns,    gram_rows,
                            symmetric_eigen, cholesky,      solve,   solve_estimating};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
