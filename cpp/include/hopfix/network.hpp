// The modern Hopfield network with softmax separation (Ramsauer et al. 2020, Eq. 3):
//
//   z_i = beta x_i . xi + b_i     p = softmax(z)     f(xi) = sum_i p_i x_i
//   E(xi) = |xi|^2 / 2 - log(sum_i exp(z_i)) / beta  J(xi) = beta Cov_p(x)
//
// Arrays are row-major: patterns n x dim, states count x dim. T is float or double; sums of
// logits and averages run in T, in blocks, in an order fixed by n and dim alone, so that a
// state's result is the same alone, in any batch and on any number of threads.
// Accuracy: logits to (dim + 2) u beta |x_i| |xi|, averages to about (96 + n / 96) u max|x|, with
// u the unit roundoff of T and exp good to 1.5 ulp.
//
// What computes may throw Interrupted (parallel.hpp) and std::bad_alloc, as everywhere in this
// library, and std::invalid_argument for a wrong HOPFIX_ISA (isa.hpp); arguments are trusted, see
// checks.hpp.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "hopfix/large_pages.hpp"
#include "hopfix/parallel.hpp"

namespace hopfix {

// A grow-only, 64-byte aligned array without initialisation.
template <class T>
class AlignedArray {
 public:
  AlignedArray() = default;
  explicit AlignedArray(std::ptrdiff_t size) { reserve(size); }
  void reserve(std::ptrdiff_t size);
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  T& operator[](std::ptrdiff_t i) { return data_.get()[i]; }
  const T& operator[](std::ptrdiff_t i) const { return data_.get()[i]; }

 private:
  struct Free {
    void operator()(T* p) const;
  };
  std::unique_ptr<T[], Free> data_;
  std::ptrdiff_t size_ = 0;
};

// Where derivatives go; nullptr: not wanted. `patterns` (n x dim), `beta` (1) and `log_weights` (n)
// are summed over the states, `states` is count x dim.
template <class T>
struct Gradients {
  T* states = nullptr;
  T* patterns = nullptr;
  T* beta = nullptr;
  T* log_weights = nullptr;
};

class QuantizedPatterns;
template <class T>
class Attractors;

template <class T>
class Network {
 public:
  using Patterns = std::vector<T, PageAllocator<T>>;

  // Copies its arguments; log_weights may be nullptr (all zero). n, dim >= 1, beta > 0, all finite.
  Network(const T* patterns, std::ptrdiff_t n, std::ptrdiff_t dim, double beta,
          const T* log_weights);

  std::ptrdiff_t size() const { return n_; }
  std::ptrdiff_t dim() const { return dim_; }
  double beta() const { return beta_; }
  const Patterns& patterns() const { return patterns_; }
  const std::vector<T>& log_weights() const { return log_weights_; }  // empty: all zero

  // The patterns for kernels, row i at data + i * stride: where rows are a multiple of 2 KiB apart,
  // a copy with gaps between them, since they would evict each other from the L1 cache. Once.
  struct Rows {
    const T* data;
    std::ptrdiff_t stride;
  };
  Rows rows() const;

  // The mean of the patterns, the largest distance from it and all squared distances, rounded up.
  // O(n dim), once.
  struct Extent {
    std::vector<double> mean;
    double radius = 0;
    std::vector<T> squares;
  };
  const Extent& extent() const;

  // The largest eigenvalue of J where all weights are those of the log-weights (see
  // spectral_radius). Once.
  double spread() const;

  // The patterns in 16-bit fixed point, for screening (src/quantized.hpp). O(n dim), once.
  const QuantizedPatterns& quantized() const;

  // Stable fixed points (src/attractors.hpp): the one that an iteration reaches from the mean of
  // the patterns, and those it reaches from seven patterns. Each at the cost of a few retrievals of
  // one query, once.
  const Attractors<T>& central_attractor(const Execution& execution) const;
  const Attractors<T>& common_attractors(const Execution& execution) const;

  // out (count x dim) = f(states). O(n dim) a state.
  void update(const T* states, std::ptrdiff_t count, T* out, const Execution& execution) const;

  // The same, and log_sums (count) = log sum_i exp(beta x_i . xi + b_i) beside it: what updates of
  // a network of more patterns are merged from.
  void partial_update(const T* states, std::ptrdiff_t count, T* out, double* log_sums,
                      const Execution& execution) const;

  // out (count x n) = softmax weights.
  void weights(const T* states, std::ptrdiff_t count, T* out, const Execution& execution) const;

  // out (count) = E(states), without the constant that makes E >= 0.
  void energy(const T* states, std::ptrdiff_t count, T* out, const Execution& execution) const;

  // out (count x dim) = J(states) tangents, which is also the adjoint product: J is symmetric.
  // No dim x dim matrix is formed: O(n dim) a state.
  void jvp(const T* states, const T* tangents, std::ptrdiff_t count, T* out,
           const Execution& execution) const;

  // The derivatives of sum_s c_s . f(xi_s) for cotangents c (count x dim), see Gradients. O(n dim)
  // a state; beyond the results, memory for p and p (x . c - f . c) of a slice of the states. Sums
  // over states run in their order, whatever the number of threads.
  void vjp(const T* states, const T* cotangents, std::ptrdiff_t count,
           const Gradients<T>& gradients, const Execution& execution) const;

  // out (count x dim x dim) = J(states), exactly symmetric, from patterns centred at f(state).
  // Patterns with p_i <= u^2 q / n are left out, q = 1 - max p: an error below
  // beta u^2 q max|x_i - f|^2 in norm. O(n dim^2 / 2) a state.
  void jacobian(const T* states, std::ptrdiff_t count, T* out, const Execution& execution) const;

  // out (count) = the largest eigenvalue of J(states), in double precision: for min(n, dim) <= 64
  // by a dense solver, else by Lanczos, O(steps n dim), with an estimated relative error of 1e-10
  // (1e-8 for float), from below: a step reads the patterns once. Throws std::runtime_error where
  // the eigenvalue iteration does not converge.
  void spectral_radius(const T* states, std::ptrdiff_t count, T* out,
                       const Execution& execution) const;

 private:
  std::ptrdiff_t n_, dim_;
  double beta_;
  Patterns patterns_;
  std::vector<T> log_weights_;
  // What is computed once, when first asked for; shared by copies, which have the same patterns.
  struct Derived;
  std::shared_ptr<Derived> derived_;
};

extern template class Network<float>;
extern template class Network<double>;

}  // namespace hopfix
