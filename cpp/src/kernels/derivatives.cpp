// The derivative kernels of one instruction-set level.
#include <Eigen/Dense>

#include "adjoint.hpp"
#include "covariance.hpp"
#include "level.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

namespace {

double solve_estimating(const double* a, std::ptrdiff_t n, double* b) {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Matrix matrix = Eigen::Map<const Matrix>(a, n, n);
  const Eigen::PartialPivLU<Matrix> factors(matrix);
  Eigen::Map<Eigen::VectorXd> x(b, n);
  const Eigen::VectorXd right = x;
  x = factors.solve(right);
  return factors.rcond() * matrix.cwiseAbs().colwise().sum().maxCoeff();
}

constexpr CovarianceKernels<float> covariance32 = Covariance<float>::kernels();
constexpr CovarianceKernels<double> covariance64 = Covariance<double>::kernels();
constexpr AdjointKernels<float> adjoint32[kTileShapes] = {
    AdjointTile<Few<float, 1>>::kernels(), AdjointTile<Few<float, 4>>::kernels(),
    AdjointTile<Wide<float, 1>>::kernels(), AdjointTile<Wide<float, 2>>::kernels()};
constexpr AdjointKernels<double> adjoint64[kTileShapes] = {
    AdjointTile<Few<double, 1>>::kernels(), AdjointTile<Few<double, 4>>::kernels(),
    AdjointTile<Wide<double, 1>>::kernels(), AdjointTile<Wide<double, 2>>::kernels()};

}  // namespace

const DerivativeTable derivatives = {&covariance32, &covariance64, adjoint32, adjoint64,
                                     solve_estimating};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
