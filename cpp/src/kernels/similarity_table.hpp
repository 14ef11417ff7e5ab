// The similarity kernels of one instruction-set level, as the core sees them.
//
// Queries come in tiles (see table.hpp) of whole vectors: kSimilarityShapes shapes, of one and two
// vectors. Every sum runs over ascending indices, whatever its place in a tile or block.
#pragma once

#include <cstddef>

namespace hopfix::kernels {

inline constexpr int kSimilarityShapes = 2;

// Rows x_i of keys and how their similarities s become scores: scale s + offset_i (nullptr: 0).
template <class T>
struct ScoreBlock {
  const T* keys;
  std::ptrdiff_t stride, count, dim;
  T scale;
  const T* offsets;
};

// scores[i * lanes + b] = scale s(x_i, q_b) + offset_i.
template <class T>
using ScoreFunction = void (*)(const ScoreBlock<T>& block, const T* queries, T* scores);

// The functions of one tile shape.
template <class T>
struct SimilarityKernels {
  std::ptrdiff_t lanes;

  // s = x . q (one fused multiply-add per component), -|x - q|_2^2 and -|x - q|_2 (a difference
  // and a multiply-add), -|x - q|_1 (a difference, a magnitude and a sum). Distances are formed
  // from differences: nothing cancels, and that of equal vectors is exactly 0.
  ScoreFunction<T> dot, neg_sq_l2, neg_l2, neg_l1;
  // means[k * lanes + b] += sum_i p[i * lanes + b] values[i * stride + k], k < dim. The sum of
  // the block is formed first; rows without weight leave it as it is.
  void (*mix)(const T* values, std::ptrdiff_t stride, std::ptrdiff_t rows, std::ptrdiff_t dim,
              const T* p, T* means);
  // out[i * stride + b] = factor exp(tile[i * lanes + b] - shifts[i]) for b < width, of any
  // exponent.
  void (*exponentials)(const T* tile, std::ptrdiff_t rows, const T* shifts, T factor, T* out,
                       std::ptrdiff_t stride, std::ptrdiff_t width);
  // out[i * stride + b] = factor (max(tile[i * lanes + b], 0) + offset) for b < width.
  void (*rectified)(const T* tile, std::ptrdiff_t rows, T offset, T factor, T* out,
                    std::ptrdiff_t stride, std::ptrdiff_t width);
  // rows[b * stride + i] = tile[i * lanes + b] for b < count, i < length.
  void (*to_rows)(const T* tile, std::ptrdiff_t count, std::ptrdiff_t length, std::ptrdiff_t stride,
                  T* rows);
  // The inverse; lanes b >= count become zero.
  void (*to_tile)(const T* rows, std::ptrdiff_t stride, std::ptrdiff_t count, std::ptrdiff_t length,
                  T* tile);
};

struct SimilarityTable {
  SimilarityKernels<float> f32[kSimilarityShapes];
  SimilarityKernels<double> f64[kSimilarityShapes];
};

}  // namespace hopfix::kernels
