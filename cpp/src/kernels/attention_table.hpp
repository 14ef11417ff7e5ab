// The kernels of the mean-field dynamics of attention (hopfix/attention_dynamics.hpp), as the core
// sees them.
//
// Independent trajectories share vectors: number k of trajectory b sits at array[k * lanes + b].
// All sums run in one order, so a trajectory never depends on its neighbours.
#pragma once

#include <cstddef>

namespace hopfix::kernels {

// The system: M features, a window of L tokens, K classes of columns.
struct AttentionModel {
  std::ptrdiff_t features, context, classes;
  const double* projection;  // K x M: the output weights of each class
  const double* readouts;    // 4M x K: weighted averages over the classes, of o, v, q, k
  const double* positions;   // L x 4M: what position units add to the fields, for weight 1
  const double* slopes;      // 3 x M x M x K: readout of v, q, k times projection
};

// One block of trajectories in the same phase. The attention of slot s and the fields of the token
// that gave it lie in slot s of rings of L; slot `head` is the newest.
struct AttentionBlock {
  const double *beta, *coupling, *weight;  // of the trajectories: beta, gamma / sqrt(M), epsilon
  double* attention;                       // L x M
  double *values, *keys;                   // L x M
  double *value_slopes, *key_slopes;       // L x M x M, by the attention one slot before
  double* scratch;                         // attention_scratch() numbers
  double* tangents;                        // L x M x n
  // n each: the product of the diagonals of the triangular factors so far is mantissa 2^exponent.
  double *mantissas, *exponents;
  std::ptrdiff_t head, filled, position;  // slots in use; the position of the next token
};

// For a block of `lanes` trajectories and n tangents.
constexpr std::ptrdiff_t attention_scratch(std::ptrdiff_t features, std::ptrdiff_t context,
                                           std::ptrdiff_t classes, std::ptrdiff_t n,
                                           std::ptrdiff_t lanes) {
  const std::ptrdiff_t m = features;
  return lanes * (classes + 6 * m + context + 2 * m * m + m + context * m * m + m * n);
}

// What is written down of a step: nothing, the semantic part of the output fields (M numbers), or
// attention, fields o, v, q, k, and that part (6M).
enum class AttentionRecord { nothing, semantic_output, everything };

struct AttentionKernels {
  std::ptrdiff_t lanes;
  // Fields of the token that follows the attention in slot `from` into slot `to`, at a position;
  // and their slopes, if there is memory for them. With `tanhs` (K) instead of an attention, those
  // of a given token, without slopes.
  void (*fields)(const AttentionModel& model, const AttentionBlock& block, const double* tanhs,
                 std::ptrdiff_t from, std::ptrdiff_t to, std::ptrdiff_t position);
  // `record` (or nullptr) takes steps x numbers. The first step takes the given token, if any.
  void (*simulate)(const AttentionModel& model, AttentionBlock& block, const double* tanhs,
                   std::ptrdiff_t steps, AttentionRecord what, double* record);
  // The same with the Jacobian of every step on the window, L x M x M, newest slot first, written
  // to `jacobians` (or nullptr), and applied to the n tangents, which are orthonormalised again.
  void (*linearise)(const AttentionModel& model, AttentionBlock& block, std::ptrdiff_t steps,
                    std::ptrdiff_t n, double* jacobians);
};

// For one and for several vectors of trajectories.
inline constexpr int kAttentionShapes = 2;

}  // namespace hopfix::kernels
