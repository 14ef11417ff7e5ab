// Small dense linear algebra on raw row-major arrays, by Eigen at this level.
//
// Eigen is renamed Eigen_<level> on the command line of every kernel translation unit: its inline
// functions would otherwise be merged across levels by the linker.
#include <Eigen/Dense>

#include "level.hpp"
#include "matrix_vector.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

namespace {

template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using In = Eigen::Map<const Matrix<T>>;
template <class T>
using Out = Eigen::Map<Matrix<T>>;
using Vector = Eigen::Map<Eigen::VectorXd>;

template <class T, class Factor>
void symmetric_product(const Factor& factor, Out<T> out) {
  Matrix<T> result = Matrix<T>::Zero(out.rows(), out.cols());
  result.template selfadjointView<Eigen::Lower>().rankUpdate(factor);
  out = result.template selfadjointView<Eigen::Lower>();
}

template <class T>
void gram_columns(const T* a, std::ptrdiff_t n, std::ptrdiff_t k, T* c) {
  const Matrix<T> columns = In<T>(a, n, k);
  symmetric_product<T>(columns.transpose(), Out<T>(c, k, k));
}

template <class T>
void gram_rows(const T* a, std::ptrdiff_t n, std::ptrdiff_t k, T* c) {
  const Matrix<T> rows = In<T>(a, n, k);
  symmetric_product<T>(rows, Out<T>(c, n, n));
}

// Eigen peels loops over mapped memory up to its alignment, which would let the address of an
// array decide the order of a sum; its own matrices are always aligned.
void product(const double* a, const double* b, std::ptrdiff_t m, std::ptrdiff_t k, std::ptrdiff_t n,
             double* c) {
  const Matrix<double> left = In<double>(a, m, k), right = In<double>(b, k, n);
  const Matrix<double> result = left * right;
  Out<double>(c, m, n) = result;
}

bool symmetric_eigen(const double* a, std::ptrdiff_t n, double* values, double* vectors) {
  const Eigen::SelfAdjointEigenSolver<Matrix<double>> solver(
      In<double>(a, n, n),
      vectors == nullptr ? Eigen::EigenvaluesOnly : Eigen::ComputeEigenvectors);
  if (solver.info() != Eigen::Success) return false;
  Vector(values, n) = solver.eigenvalues();
  if (vectors != nullptr) Out<double>(vectors, n, n) = solver.eigenvectors();
  return true;
}

void solve(const double* a, std::ptrdiff_t n, double* b) {
  Vector x(b, n);
  x = Eigen::PartialPivLU<Matrix<double>>(In<double>(a, n, n)).solve(x).eval();
}

}  // namespace

const GramKernels<float> gram32 = {gram_columns<float>, gram_rows<float>};
const GramKernels<double> gram64 = {gram_columns<double>, gram_rows<double>};
const DenseKernels dense = {matrix_vector, vector_matrix, product, symmetric_eigen, solve};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
