// The separation losses of feature vectors and their gradients, by the Gram matrix of the features.
//
// With s_ij = phi_i . phi_j (of unit vectors u_i = phi_i / |phi_i| where normalised), weights w_ij
// = exp(exponent_ij) of the pairs and W = sum over i < j of w_ij, every loss here has
//
//   dL/du_i = sum_j c_ij u_j - own_i u_i,   c_ij = 2 t w_ij / W  or  4 t s_ij w_ij / W,
//
// where own_i = sum_j c_ij for distances that are not normalised (a graph Laplacian), 0 for their
// squares, and sum_j c_ij s_ij for unit features: there the chain rule through the normalisation,
// dL/dphi_i = (I - u_i u_i^T) dL/du_i / |phi_i|, takes the component along u_i away. Hence
// dL/dPhi = A Phi with a symmetric A that overwrites the Gram matrix: the diagonal
// -own_i / |phi_i|^2, elsewhere c_ij / (|phi_i| |phi_j|).
#pragma once

#include <vector>

#include "hopfix/separation_kernel.hpp"
#include "panels.hpp"

namespace hopfix {

template <class T>
class PairLoss {
 public:
  struct Value {
    double objective = 0;
    double loss = 0;            // the maximum loss itself, where the objective is a soft maximum
    std::ptrdiff_t fault = -1;  // a feature that is zero (normalised), or not finite
    bool valid() const { return fault < 0; }
  };

  // For `count` features of `dim` numbers.
  PairLoss(const SeparationLoss& loss, std::ptrdiff_t count, std::ptrdiff_t dim);

  // The maximum of -t r_ij from now on as (t / sharpness) log sum exp(-sharpness r_ij), which lies
  // above it by at most (t / sharpness) log(number of pairs).
  void soften(double sharpness) { sharpness_ = sharpness; }

  // features (count x dim). Afterwards `gradient` may be asked for the same features.
  Value evaluate(const Panels<T>& features, const Execution& execution);

  // h (count x dim) = dL/dPhi.
  void gradient(const Panels<T>& features, Panels<T>& h, const Execution& execution) const;

  // The only pair of rows where the gradient is not zero, if there is but one.
  const std::vector<std::int64_t>& active() const { return active_; }

 private:
  bool hard() const { return loss_.kind == SeparationLoss::Kind::maximum && sharpness_ == 0; }
  std::ptrdiff_t set_scales();
  void weigh(T top, const Execution& execution, Value& value);
  void choose_pair(T top, const std::vector<T>& tops);
  T exponent(std::ptrdiff_t i, std::ptrdiff_t j) const;

  SeparationLoss loss_;
  std::ptrdiff_t count_;
  double sharpness_ = 0;
  kernels::PairRule rule_;
  Panels<T> transposed_, gram_;
  std::vector<T> inverse_, squares_;
  double factor_ = 0;
  std::vector<std::int64_t> active_;
  double coupling_ = 0, own_[2] = {};  // of the only pair
};

}  // namespace hopfix
