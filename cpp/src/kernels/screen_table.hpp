// Where patterns can carry weight: the largest logits of groups of patterns, in 16-bit fixed
// point, several times cheaper than in floating point. Integer sums are exact, so they do not
// depend on their order. Quantisation and its error bound belong to the caller (quantized.hpp).
#pragma once

#include <cstddef>
#include <cstdint>

namespace hopfix::kernels {

// Rows of 16-bit numbers are zero-padded to a multiple of this.
inline constexpr std::ptrdiff_t kQuantizedPad = 32;
// Rows per group.
inline constexpr std::ptrdiff_t kScreenRows = 12;

// Row i at data + i * stride, `dim` numbers and zeros up to `stride`, a multiple of
// kQuantizedPad; |row| |query| < 2^31 for all rows and queries. Log-weights: nullptr is all zero.
struct QuantizedBlock {
  const std::int16_t* data;
  std::ptrdiff_t stride;
  std::ptrdiff_t count;
  std::ptrdiff_t dim;
  const float* log_weights;
};

// The functions of one tile shape.
struct ScreenKernels {
  std::ptrdiff_t lanes;

  // Lays out `count` <= lanes rows of `stride` numbers as a tile of lanes * stride; the lanes
  // beyond become zero.
  void (*pack)(const std::int16_t* rows, std::ptrdiff_t count, std::ptrdiff_t stride,
               std::int16_t* tile);
  // maxima[g * lanes + b] = the largest of scale[b] * (row . query_b) + log-weight among rows
  // g * kScreenRows, ... of the block; scale[b] >= 0.
  void (*group_maxima)(const QuantizedBlock& block, const std::int16_t* tile, const float* scale,
                       float* maxima);
};

}  // namespace hopfix::kernels
