// The general associative memory: projection, separation and similarity apart (Millidge et al.
// 2022), for all that is not the network of hopfix/network.hpp.
//
//   key_i = phi(x_i)    s_i = similarity(key_i, phi(xi))    z = beta s + b    p = separation(z)
//   f(xi) = sum_i p_i v_i
//
// phi sets components above a threshold to zero (Eq. 22 of "Looking at the Performer from a
// Hopfield point of view"), multiplies by a matrix W (U-Hop, "Uniform Memory Retrieval with Larger
// Capacity"), and scales to unit norm, each if asked for and in that order; the zero vector stays
// zero.
//
// Arrays are row-major: patterns n x dim, W features x dim, values n x value_dim, states count x
// dim. T is float or double. No n x count array is formed: queries are taken in tiles, for which
// rows of scores are kept: at most kRowBytes in all (one row a thread where a single one is
// larger), and about 40 n bytes of scratch a thread. Sums run in an order fixed by n and the
// dimensions alone: a state's result is the same, to the bit, alone, in any batch and on any number
// of threads. O(n (features + value_dim)) a state.
//
// Accuracy, u the unit roundoff of T, D = features: a dot product to (D + 2) u |key| |phi(xi)|; a
// distance to a relative (D + 3) u, since it is formed from differences, and so exactly 0 where the
// vectors are equal (squares below the range of T vanish). Averages to about (96 + n / 96) u
// max|v|.
#pragma once

#include <cstdint>
#include <vector>

#include "hopfix/network.hpp"
#include "hopfix/retrieval.hpp"
#include "hopfix/separation.hpp"

namespace hopfix {

enum class Similarity { dot, neg_sq_l2, neg_l2, neg_l1 };

struct MemoryOptions {
  Similarity similarity = Similarity::dot;
  Separation separation;
  std::ptrdiff_t features = 0;  // rows of W; 0: no W
  bool normalize = false;
  double sparsify_above = 0;  // infinite: nothing is set to zero
};

template <class T>
class Memory {
 public:
  static constexpr std::ptrdiff_t kRowBytes = std::ptrdiff_t{16} << 20;

  // Copies its arguments. values nullptr: the patterns (then value_dim = dim); log_weights nullptr:
  // zero; matrix nullptr if there are no features.
  Memory(const T* patterns, std::ptrdiff_t n, std::ptrdiff_t dim, double beta, const T* log_weights,
         const T* values, std::ptrdiff_t value_dim, const T* matrix, const MemoryOptions& options);

  std::ptrdiff_t size() const { return n_; }
  std::ptrdiff_t dim() const { return dim_; }
  std::ptrdiff_t value_dim() const { return value_dim_; }
  std::ptrdiff_t key_dim() const { return key_dim_; }
  const std::vector<T>& keys() const { return keys_; }  // n x key_dim

  // out (count x key_dim) = phi(states).
  void map(const T* states, std::ptrdiff_t count, T* out, const Execution& execution) const;

  // out (count x value_dim) = f(states). Like all that follow: the first state without an answer.
  SeparationStatus update(const T* states, std::ptrdiff_t count, T* out,
                          const Execution& execution) const;

  // out (count x n) = p.
  SeparationStatus weights(const T* states, std::ptrdiff_t count, T* out,
                           const Execution& execution) const;

  // out (count) = |phi(xi)|^2 / 2 - Psi*(z) / beta for dot, -Psi*(z) / (2 beta) for neg_sq_l2, with
  // Psi* the conjugate, of which p is the gradient. For neither `values`, `normalize` nor
  // `sparsify_above`, else updates need not lower it; not for polynomial separation.
  SeparationStatus energy(const T* states, std::ptrdiff_t count, T* out,
                          const Execution& execution) const;

  // out (count x value_dim) = J tangents (count x dim), and out (count x dim) = J^T cotangents
  // (count x value_dim). For dot and neg_sq_l2: std::invalid_argument otherwise. With `normalize`
  // no state may be zero.
  SeparationStatus jvp(const T* states, const T* tangents, std::ptrdiff_t count, T* out,
                       const Execution& execution) const;
  SeparationStatus vjp(const T* states, const T* cotangents, std::ptrdiff_t count, T* out,
                       const Execution& execution) const;

 private:
  struct Workspace;

  void map_tile(const T* states, Workspace& w) const;
  void map_tangents(const T* states, const T* tangents, Workspace& w) const;
  void map_back(const T* states, Workspace& w) const;
  void project_from_sphere(Workspace& w) const;
  void score(const T* states, Workspace& w) const;
  void multiply(const std::vector<T>& rows, std::ptrdiff_t row_dim, const AlignedArray<T>& tile,
                T scale, Workspace& w) const;
  void mix(const std::vector<T>& rows, std::ptrdiff_t row_dim, Workspace& w) const;
  template <class Work>
  SeparationStatus for_tiles(std::ptrdiff_t count, int rows_of_state, const Execution& execution,
                             const Work& work) const;

  std::ptrdiff_t n_, dim_, value_dim_, key_dim_;
  double beta_;
  MemoryOptions options_;
  std::vector<T> patterns_, log_weights_, values_, matrix_, keys_;
};

// Iterates every query by plain updates; the contract is that of `retrieve` in retrieval.hpp.
// value_dim = dim. `status` tells the first query without an answer.
template <class T>
Retrieval<T> retrieve(const Memory<T>& memory, const T* states, std::ptrdiff_t count,
                      std::int64_t max_steps, double tol, const Execution& execution,
                      SeparationStatus& status);

extern template class Memory<float>;
extern template class Memory<double>;

}  // namespace hopfix
