// The derivative kernels of one instruction-set level.
#include <Eigen/Dense>

#include "adjoint.hpp"
#include "covariance.hpp"
#include "level.hpp"
#include "matrix_vector.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

namespace {

// y += t_0 a_0 + ... + t_{R-1} a_{R-1} for R rows of a.
template <int R>
void add_rows(const double* a, const double (&t)[R], std::ptrdiff_t k, double* y) {
  constexpr std::ptrdiff_t W = kLanes<double>;
  std::ptrdiff_t j = 0;
  for (; j + W <= k; j += W) {
    Vec<double> sum = load(y + j);
    for (int r = 0; r < R; ++r) sum = fma(broadcast(t[r]), load(a + r * k + j), sum);
    store(y + j, sum);
  }
  for (; j < k; ++j)
    for (int r = 0; r < R; ++r) y[j] += t[r] * a[r * k + j];
}

template <int R>
void add_normal(const double* a, const double* x, std::ptrdiff_t k, double* y) {
  double t[R];
  for (int r = 0; r < R; ++r) t[r] = dot(a + r * k, x, k);
  add_rows<R>(a, t, k, y);
}

void normal_product(const double* a, const double* x, std::ptrdiff_t m, std::ptrdiff_t k,
                    double* y) {
  std::ptrdiff_t i = 0;
  for (; i + 4 <= m; i += 4) add_normal<4>(a + i * k, x, k, y);
  for (; i < m; ++i) add_normal<1>(a + i * k, x, k, y);
}

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

const DerivativeTable derivatives = {&covariance32, &covariance64,  adjoint32,
                                     adjoint64,     normal_product, solve_estimating};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
