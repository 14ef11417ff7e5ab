// The derivative kernels of one instruction-set level.
#include "adjoint.hpp"
#include "covariance.hpp"
#include "level.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

namespace {

constexpr CovarianceKernels<float> covariance32 = Covariance<float>::kernels();
constexpr CovarianceKernels<double> covariance64 = Covariance<double>::kernels();
constexpr AdjointKernels<float> adjoint32[kTileShapes] = {
    AdjointTile<Few<float, 1>>::kernels(), AdjointTile<Few<float, 4>>::kernels(),
    AdjointTile<Wide<float, 1>>::kernels(), AdjointTile<Wide<float, 2>>::kernels()};
constexpr AdjointKernels<double> adjoint64[kTileShapes] = {
    AdjointTile<Few<double, 1>>::kernels(), AdjointTile<Few<double, 4>>::kernels(),
    AdjointTile<Wide<double, 1>>::kernels(), AdjointTile<Wide<double, 2>>::kernels()};

}  // namespace

const DerivativeTable derivatives = {&covariance32, &covariance64, adjoint32, adjoint64};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
