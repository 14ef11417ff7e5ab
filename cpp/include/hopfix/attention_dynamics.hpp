// The mean field of a network of self-attention that generates its own tokens, exact as the number
// of units N grows ("Dynamical Mean-Field Theory of Self-Attention Neural Networks", Eq. 15 with
// positions):
//
//   t_c = tanh(beta sum_b P_cb A_b,t-1)                    one number for each class of columns
//   m^x_a,t = (1 - eps) sum_c R^x_ac t_c + eps p^x_a       x = o, v, q, k; p: the position units
//   A_a,t = sum_tau m^v_a,tau softmax_tau(gamma / sqrt(M) sum_b m^q_b,t m^k_b,tau)
//
// over the last L tokens tau. A = (value average) / N. A class is a set of units with equal rows of
// all four weight matrices, or with rows of opposite sign (tanh is odd); P are its output weights
// and R the weights times its share of the units. Time is discrete; all numbers are double.
//
// A state of the map is the window (A_t, ..., A_t-L+1), newest first, and the position, t mod L, of
// the next token. While fewer than L tokens have been generated the first of them, which no
// attention gave, belongs to it: its t_c.
//
// Many trajectories run in the lanes of vectors. Each is bitwise the same alone, in any batch, for
// every number of threads, and continued from a saved state. A step costs 4MK + 2LM fused
// multiply-adds, K hyperbolic tangents and L exponentials; linearised O(L M^2 (K + M n)) for n
// tangents and O(L M n^2) for their orthonormalisation. Accuracy: tanh 4 ulp, exp 1.5 ulp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "hopfix/parallel.hpp"

namespace hopfix {

struct AttentionSystem {
  // projection: K x M; readouts: 4 x M x K, for o, v, q, k; positions: L x 4 x M.
  AttentionSystem(std::ptrdiff_t features, std::ptrdiff_t context, std::ptrdiff_t classes,
                  std::vector<double> projection, std::vector<double> readouts,
                  std::vector<double> positions);

  std::ptrdiff_t features, context, classes;
  std::vector<double> projection, readouts, positions;
  std::vector<double> slopes;  // 3 x M x M x K: readouts of v, q, k times projection
};

// Of `count` trajectories: count numbers each.
struct AttentionParameters {
  std::ptrdiff_t count;
  const double *beta, *gamma, *position_weight;
};

// The states of `count` trajectories in the same phase.
struct AttentionWindow {
  std::ptrdiff_t filled = 0;      // attentions known, at most L
  std::ptrdiff_t position = 0;    // of the next token
  std::vector<double> attention;  // count x filled x M, newest first
  std::vector<double> token;      // count x K, t_c of the first token; needed if filled < L
};

using AttentionProgress = std::function<void(std::int64_t done, std::int64_t total)>;

enum class AttentionOutput { nothing, semantic_output, everything };

// `steps` steps from the window, which becomes the last one. All steps but the first `discard`
// write to out, count x (steps - discard) x numbers: the semantic part of m^o (M numbers), or A,
// m^o, m^v, m^q, m^k and that part (6 M numbers).
void simulate_attention(const AttentionSystem& system, const AttentionParameters& parameters,
                        AttentionWindow& window, std::int64_t steps, std::int64_t discard,
                        AttentionOutput what, double* out, const AttentionProgress& progress,
                        const Execution& execution);

// out (count x L x M x M) = dA_t / dA_t-1-j of the next step from full windows, j = 0, ..., L-1:
// the first rows of the Jacobian of the map on the window, whose others shift it.
void attention_jacobian(const AttentionSystem& system, const AttentionParameters& parameters,
                        const AttentionWindow& window, double* out, const Execution& execution);

struct LyapunovOptions {
  std::int64_t warmup = 0;   // steps of the tangents before they count
  std::int64_t steps = 0;    // that count, at least `batches`
  std::int64_t batches = 1;  // for the errors
  std::ptrdiff_t count = 0;  // exponents wanted, at most L M
};

// Exponents of the map on the window, by QR of its Jacobians at every step (Benettin et al. 1980),
// from full windows, which become the last ones. means (count x batches x n): natural logarithm per
// step, averaged over each of the batches, in the order of the columns; -infinity where the
// Jacobian is singular.
void attention_exponents(const AttentionSystem& system, const AttentionParameters& parameters,
                         AttentionWindow& window, const LyapunovOptions& options, double* means,
                         const AttentionProgress& progress, const Execution& execution);

}  // namespace hopfix
