// The softmax of a single state, and sums over the patterns under it, by fixed blocks of patterns.
//
// The blocks depend on N and d only and are merged in order: a result is the same whether the
// blocks of one state are shared out to threads or whole states are.
#pragma once

#include <algorithm>
#include <vector>

#include "normal_matrix.hpp"
#include "tile_pass.hpp"

namespace hopfix {

inline const kernels::CovarianceKernels<float>& covariance_kernels(float) {
  return *isa::table().derivatives->covariance32;
}
inline const kernels::CovarianceKernels<double>& covariance_kernels(double) {
  return *isa::table().derivatives->covariance64;
}

template <class T>
class StateSoftmax {
 public:
  explicit StateSoftmax(const Network<T>& network);

  // Weights and mean at a state. Patterns are then `live` if they are not dropped: a weight is
  // dropped when p_i <= u^2 q / N, with q = 1 - max p and u the unit roundoff of T. All of those
  // together weigh at most u^2 q and add at most beta u^2 q max|x_i - f|^2 to J in norm, which
  // is u^2 times what J can measure at all, since tr J <= beta q diam(x)^2.
  void compute(const T* state, const Execution& execution);

  // out (dim x dim) = beta Cov_p(x) over the live patterns.
  void covariance(const Execution& execution, T* out);

  // Patterns that are not dropped.
  std::ptrdiff_t live() const;

  // J over the live patterns, in double precision and without a copy of them; valid until the next
  // state is computed.
  SymmetricMap map(const Execution& execution);

  // The live rows sqrt(beta p_i) (x_i - mean), so that J = A^T A; valid until the next state is
  // computed.
  NormalMatrix normal_matrix();

 private:
  kernels::PatternBlock<T> block(std::ptrdiff_t index) const;
  kernels::WeightedRows<T> weights(std::ptrdiff_t index) const;
  bool is_live(std::ptrdiff_t i) const { return !(weights_.data()[i] <= threshold_); }

  const Network<T>& network_;
  const kernels::CovarianceKernels<T>& kernels_;
  std::ptrdiff_t rows_, blocks_;
  AlignedArray<T> query_, weights_, mean_, partial_, packed_;
  AlignedArray<double> products_, live_rows_;
  std::vector<AlignedArray<T>> scratch_;
  T threshold_ = 0;
  double scale_ = 0;
};

// visit(state, its StateSoftmax, execution) for every state: in parallel when there are enough of
// them, and one by one, each with all threads, when there are not.
template <class T, class Visit>
void for_each_state(const Network<T>& network, const T* states, std::ptrdiff_t count,
                    const Execution& execution, const Visit& visit) {
  const bool apart = count >= 4 * execution.threads || execution.threads == 1;
  std::vector<StateSoftmax<T>> softmax;
  for (int worker = 0; worker < (apart ? std::max(1, execution.threads) : 1); ++worker)
    softmax.emplace_back(network);
  const auto visit_one = [&](std::ptrdiff_t s, int worker, const Execution& inner) {
    auto& here = softmax[static_cast<std::size_t>(worker)];
    here.compute(states + s * network.dim(), inner);
    visit(s, here, inner);
  };
  if (apart)
    parallel_for(count, execution,
                 [&](std::ptrdiff_t s, int worker) { visit_one(s, worker, Execution()); });
  else
    for (std::ptrdiff_t s = 0; s < count; ++s) visit_one(s, 0, execution);
}

extern template class StateSoftmax<float>;
extern template class StateSoftmax<double>;

}  // namespace hopfix
