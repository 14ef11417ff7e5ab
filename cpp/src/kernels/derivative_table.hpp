// The derivative kernels of one instruction-set level, see table.hpp for the rules.
#pragma once

#include <cstddef>

namespace hopfix::kernels {

template <class T>
struct PatternBlock;

// Patterns per group of a covariance: a panel of 32 columns of them takes 16 KiB in float.
inline constexpr std::ptrdiff_t kPanelRows = 64;

// Sums of exponentials of which the largest is 1: all of them, and all but the largest.
struct SoftmaxTotals {
  double sum;
  double others;
};

// Weights scale * e of rows; those with e <= threshold are left out.
template <class T>
struct WeightedRows {
  const T* e;
  T threshold;
  double scale;
};

// One state: its softmax and the covariance of the patterns under it. Arrays of dim numbers may
// be read and written up to kTileSlack beyond their end, as in table.hpp.
template <class T>
struct CovarianceKernels {
  // z_i = x_i . query + b_i; the query is already multiplied by beta and
  // followed by zeros.
  void (*logits)(const PatternBlock<T>& block, const T* query, T* z);
  // z := exp(z - max), with room for kTileSlack more numbers.
  SoftmaxTotals (*exponentiate)(T* z, std::ptrdiff_t count);
  // sum (dim) += sum_i weights_i x_i.
  void (*weighted_sum)(const PatternBlock<T>& block, const T* weights, T* sum);
  // Lengths of the packed lower triangle and of the scratch for it.
  std::ptrdiff_t (*packed_size)(std::ptrdiff_t dim);
  std::ptrdiff_t (*scratch_size)(std::ptrdiff_t dim);
  // packed += sum_i scale e_i (x_i - mean)(x_i - mean)^T.
  void (*accumulate)(const PatternBlock<T>& block, const T* mean, const WeightedRows<T>& weights,
                     T* scratch, T* packed);
  // y += sum_i scale e_i (x_i - mean) (x_i - mean) . v, in double precision; reads rows once.
  void (*apply)(const PatternBlock<T>& block, const T* mean, const WeightedRows<T>& weights,
                const double* v, double* y);
  // out (dim x dim), both triangles.
  void (*unpack)(const T* packed, std::ptrdiff_t dim, T* out);
};

// A tile of states, see adjoint.hpp. Per-lane numbers are `lanes` long.
template <class T>
struct AdjointKernels {
  std::ptrdiff_t lanes;
  // Columns per panel of what add_outer takes and gives.
  std::ptrdiff_t columns;
  void (*pack)(const T* rows, std::ptrdiff_t count, std::ptrdiff_t dim, T factor, T* tile);
  void (*forward)(const PatternBlock<T>& block, const T* queries, const T* cotangents, T* e, T* y,
                  T* max, T* sum, T* product);
  void (*backward)(const PatternBlock<T>& block, const T* factor, const T* mean_product, T* e, T* y,
                   T* state_gradient, T* log_weight_gradient);
  void (*add_outer)(const T* p, const T* g, std::ptrdiff_t rows, std::ptrdiff_t count,
                    const T* cotangents, const T* queries, std::ptrdiff_t panels,
                    std::ptrdiff_t panel_stride, T* gradient);
};

struct DerivativeTable {
  const CovarianceKernels<float>* covariance32;
  const CovarianceKernels<double>* covariance64;
  // One per tile shape.
  const AdjointKernels<float>* adjoint32;
  const AdjointKernels<double>* adjoint64;
};

}  // namespace hopfix::kernels
