// Patterns and states in 16-bit fixed point, with a rigorous bound on the error of their logits.
//
// x = (X + e) / s with integers X and |e_k| <= 0.51 (the rounding of the scaling included). With
// s_x and s_q the scales of patterns and of a state q,
//
//   |x . q - X . Q / (s_x s_q)| <= |e_x| |q| / s_x + |e_q| (|x| + |e_x| / s_x) / s_q,
//
// and |e| <= 0.51 sqrt(d): about 2.5e-4 |x| |q| for d = 64, times beta in a logit. Scales are such
// that |X| and |Q| stay below 2^15, which keeps their product in 32 bits.
#pragma once

#include <cstdint>
#include <vector>

#include "hopfix/network.hpp"
#include "kernels/table.hpp"

namespace hopfix {

class QuantizedPatterns {
 public:
  template <class T>
  explicit QuantizedPatterns(const Network<T>& network);

  std::ptrdiff_t size() const { return size_; }
  std::ptrdiff_t dim() const { return dim_; }
  std::ptrdiff_t stride() const { return stride_; }
  double largest_norm() const { return largest_norm_; }
  double log_weight_spread() const { return 2 * largest_log_weight_; }
  kernels::QuantizedBlock block(std::ptrdiff_t first, std::ptrdiff_t count) const;

  // The computed logit of pattern i is scale * (row_i . row) + log_weight_i, in float; it is within
  // `error` of the exact one (infinite where numbers are too large or too small to tell).
  struct Scaling {
    float scale, error;
  };
  // Writes `state` to `row`, stride() numbers.
  template <class T>
  Scaling quantize(const T* state, std::int16_t* row) const;

 private:
  std::ptrdiff_t size_, dim_, stride_;
  double beta_, scale_, largest_norm_, largest_log_weight_;
  AlignedArray<std::int16_t> rows_;
  std::vector<float> log_weights_;  // empty: all zero
};

}  // namespace hopfix
