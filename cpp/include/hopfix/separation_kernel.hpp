// Separation losses of linear features phi_i = W x_i, and kernels learned by making them small.
//
//   average   L = log mean over i < j of exp(-t |phi_i - phi_j|^2)
//   maximum   L = max over i < j of -t |phi_i - phi_j|^2
//   layer     L = log mean over i < j of exp(2 t ((phi_i . phi_j)^2 - 1))
//
// with the features scaled to unit length first, if asked for. The gradient is dL/dW = (A W X)^T X
// for the M patterns x_i in the rows of X, with a symmetric A (M x M) made from the Gram matrix of
// the features (src/pair_loss.hpp): never M^2 d numbers. The maximum has the subgradient of the
// first pair, in lexicographic order, that attains it.
//
// Descent on all patterns never forms dL/dW. Every step stays in W = W_0 + C^T X, so coefficients
// C (M x D) and features are what moves: with H = A Phi, a step of length eta is C -= eta H and
// Phi -= eta (X X^T) H. That costs 5 M^2 D flops a step (Gram matrix M^2 D, A Phi and (X X^T) H
// 2 M^2 D each), against M^2 D + 2 M^2 D + 4 M D d by way of W; for M > 2 d, (X X^T) H is formed as
// X (X^T H). The loss depends on the Gram matrix alone: where D is well above M, features are kept
// in an orthonormal basis of the span of the first ones, with D = M.
//
// Arithmetic in T, sums over pairs and inner products of whole matrices in double precision.
// Results are bitwise the same for every number of threads. Extra memory: twice
// D d + D M + M^2 numbers, measured at M = 500, d = D = 784 (2.7 times resident in float32, 2.2 in
// float64).
//
// Source: Wu, Hu, Hsiao and Liu, "Uniform Memory Retrieval with Larger Capacity for Modern Hopfield
// Models" (2024), Algorithm 1 and Definition 3.1; average loss: Wang and Isola (2020).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "hopfix/parallel.hpp"

namespace hopfix {

struct SeparationLoss {
  enum class Kind { average, maximum, layer };
  Kind kind = Kind::average;
  double t = 2;
  bool normalize = true;
};

// X (count x dim), row-major, count >= 2.
template <class T>
struct PatternRows {
  const T* data;
  std::ptrdiff_t count, dim;
};

struct LossValue {
  double value = 0;
  std::ptrdiff_t fault = -1;  // a pattern whose feature is zero (normalised) or overflows
};

// L at the matrix (features x dim); its gradient (features x dim) too, unless that is nullptr.
template <class T>
LossValue separation_loss(const PatternRows<T>& patterns, const T* matrix, std::ptrdiff_t features,
                          const SeparationLoss& loss, T* gradient, const Execution& execution);

// out (count x features) = X W^T.
template <class T>
void linear_features(const PatternRows<T>& patterns, const T* matrix, std::ptrdiff_t features,
                     T* out, const Execution& execution);

struct DescentOptions {
  SeparationLoss loss;
  std::int64_t steps = 100;
  // Lengths of the steps along the negative gradient, one per step: plain (sub)gradient descent.
  // Empty: a line search along it from the spectral step length (Barzilai and Borwein 1988), down
  // to the nonmonotone condition of Armijo (Zhang and Hager 2004); the maximum loss is then
  // approached from above by soft maxima of growing sharpness.
  std::vector<double> rates;
  // steps x batch rows that each step looks at; empty: all of them at every step.
  std::vector<std::int64_t> batches;
  double tolerance = 0;  // ends where |dL/dW| |W| is at most this (Frobenius norms)
  double time_limit = HUGE_VAL;
  std::function<void(std::int64_t done, std::int64_t total)> progress;  // called by the caller
};

enum class DescentEnd { gradient, steps, stalled, diverged, time_limit, interrupted };
const char* describe(DescentEnd end);

struct Descent {
  std::vector<double> losses;  // before the first step and after every step; of batches, before it
  DescentEnd end = DescentEnd::steps;
  std::ptrdiff_t fault = -1;  // as in LossValue, at the start: nothing was done
};

// matrix (features x dim), the start, is overwritten by the last matrix with a finite loss (of
// batches: by the last that is finite). Where that leaves the range of T the end is "diverged", and
// the matrix as it was, of batches as before the step.
template <class T>
Descent descend(const PatternRows<T>& patterns, T* matrix, std::ptrdiff_t features,
                const DescentOptions& options, const Execution& execution);

}  // namespace hopfix
