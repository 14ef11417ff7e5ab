// The kernels of batched associations (hopfix/association.hpp), as the core sees them: a tile of
// queries against the patterns and values of one head. For the layout of tiles see table.hpp.
#pragma once

#include <cstddef>

namespace hopfix::kernels {

template <class T>
struct SoftmaxSums;

// Rows of patterns and as many of values. log_weights (count) and bias (count * lanes, a tile of
// its own) are added to the logits where they are not nullptr; -inf there excludes a pattern.
template <class T>
struct AssociationBlock {
  const T* patterns;
  std::ptrdiff_t pattern_stride, dim;
  const T* values;
  std::ptrdiff_t value_stride, value_dim;
  std::ptrdiff_t count;
  const T* log_weights;
  const T* bias;
};

// Rows of a matrix cut into panels of so many columns, one or two vectors of them, and filled up by
// zeros: element (i, k) at data[(k / columns * stride + i) * columns + k % columns].
template <class T>
struct Panels {
  T* data;
  std::ptrdiff_t stride, count, columns;
};

// What the adjoint of one tile reads beside the block. Numbers per lane are `width` long.
template <class T>
struct AssociationCotangents {
  const T *queries, *cotangents;     // tiles; queries are multiplied by beta
  const T *log_sums, *mean_product;  // per lane: log sum exp(logit), and f . c
  std::ptrdiff_t lanes_used;
  Panels<const T> query_rows, cotangent_rows;  // the same numbers as in the tiles
};

// The softmax weights of a tile as a pass over the patterns leaves them: exp(logit - top), count *
// lanes, with the running maxima `tops` of every group of patterns (`width` numbers each, at most
// count / kGroupRows + 1 groups); p = exp(top - max) / sum times that.
template <class T>
struct KeptWeights {
  T *weights, *tops, *max, *sum;
};

// Arrays of dim * lanes or rows * lanes may be read and written up to kTileSlack beyond their end.
template <class T>
struct AssociationKernels {
  std::ptrdiff_t lanes, width;
  std::ptrdiff_t vector;  // numbers in one
  // to (rows x dim) = factor * from, and out (rows) = the products of rows of a and b.
  void (*copy)(const T* from, std::ptrdiff_t from_stride, std::ptrdiff_t rows, std::ptrdiff_t dim,
               T factor, T* to, std::ptrdiff_t to_stride);
  void (*dots)(const T* a, std::ptrdiff_t a_stride, const T* b, std::ptrdiff_t b_stride,
               std::ptrdiff_t rows, std::ptrdiff_t dim, T* out);
  // y (rows x dim) = (x - mean) / sqrt(variance + eps), row by row.
  void (*normalize)(const T* x, std::ptrdiff_t rows, std::ptrdiff_t dim, T eps, T* y, T* means,
                    T* inverses);
  // The softmax average of the values; a lane without any pattern has the sum zero.
  void (*average)(const AssociationBlock<T>& block, const T* queries, const SoftmaxSums<T>& sums,
                  T* scratch);
  // p (count * lanes) = softmax weights, all zero for a lane without any pattern.
  void (*probabilities)(const AssociationBlock<T>& block, const T* queries, T* p, T* max, T* sum);
  // sum * mean of the softmax average of the block's patterns, with the weights kept.
  void (*update)(const AssociationBlock<T>& block, const T* queries, const KeptWeights<T>& kept,
                 T* mean);
  // squares (width) = |p - before|^2, or parts of these as soon as all exceed `enough` (width).
  void (*change)(const KeptWeights<T>& now, const KeptWeights<T>& before, std::ptrdiff_t count,
                 const T* enough, T* squares);
  // out = sum_i p_i x_i for the block's patterns x.
  void (*mix)(const AssociationBlock<T>& block, const T* p, T* out);
  // out = Cov_p(x) t for the block's patterns x; scratch holds count * lanes.
  void (*covariance)(const AssociationBlock<T>& block, const T* p, const T* tangents, T* scratch,
                     T* out);
  // With y = v . c and g = p (y - f . c): state_gradient = sum_i g_i x_i, pattern_gradient +=
  // g queries, value_gradient += p c; scratch holds 2 kGroupRows * width.
  void (*adjoint)(const AssociationBlock<T>& block, const AssociationCotangents<T>& given,
                  T* state_gradient, const Panels<T>& pattern_gradient,
                  const Panels<T>& value_gradient, T* scratch);
};

// One per tile shape.
struct AssociationTable {
  const AssociationKernels<float>* f32;
  const AssociationKernels<double>* f64;
};

}  // namespace hopfix::kernels
