// The update near a state, from a short list of patterns and the sums of all others at that state.
//
// Let the weights of the others, the tail, be a part m of all at the state y. When the state moves
// by delta, the logits of the tail change by beta y . delta, which is accounted for, and by
// beta (x_i - y) . delta, at most 2 beta R |delta| with R the radius of the patterns. So the tail's
// part of the update is wrong by at most m (exp(2 beta R |delta|) - 1) in weight: below rounding
// near y however many patterns carry weight.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "query.hpp"
#include "short_list.hpp"

namespace hopfix {

template <class T>
class FrozenTail {
 public:
  // The sums of all patterns at a state: one lane of SoftmaxSums and the update they give.
  struct Sums {
    T max, sum, extra;
    const T* moved;
  };

  // list: chosen, and used by the updates.
  void freeze(const Rules<T>& rules, const T* state, const Sums& all, ShortList<T>& list) {
    const std::ptrdiff_t dim = rules.network.dim();
    list_ = &list;
    state_.assign(state, state + dim);
    mean_.resize(static_cast<std::size_t>(dim));
    scratch_.resize(static_cast<std::size_t>(dim));
    const SoftmaxSums<T> listed = list.update(state, scratch_.data());
    const double share =
        std::exp(static_cast<double>(listed.max[0]) - static_cast<double>(all.max));
    max_ = static_cast<double>(all.max);
    const auto total = static_cast<double>(all.sum);
    sum_ = total - share * static_cast<double>(listed.sum[0]);
    square_ = static_cast<double>(all.extra) - share * static_cast<double>(listed.extra[0]);
    for (std::ptrdiff_t k = 0; k < dim; ++k)
      mean_[at(k)] =
          total * static_cast<double>(all.moved[k]) - share * static_cast<double>(listed.mean[k]);
    // Sums are rounded.
    constexpr double kRoundOff = 16 * static_cast<double>(std::numeric_limits<T>::epsilon());
    mass_ = std::max(0.0, sum_ / total) + kRoundOff;
  }

  // How much weight may be wrong at a state.
  double error(const Rules<T>& rules, const T* state) const {
    return mass_ * std::expm1(rules.sharpness * distance(state, state_.data(), dim()));
  }

  Moments update(const Rules<T>& rules, const T* state, T* moved) {
    const SoftmaxSums<T> listed = list_->update(state, scratch_.data());
    const double along = sum_of(dim(), [&](std::ptrdiff_t k) {
      const auto y = static_cast<double>(state_[at(k)]);
      return y * (static_cast<double>(state[k]) - y);
    });
    const double share = std::exp(max_ + rules.beta * along - static_cast<double>(listed.max[0]));
    const double sum = static_cast<double>(listed.sum[0]) + share * sum_;
    for (std::ptrdiff_t k = 0; k < dim(); ++k)
      moved[k] = static_cast<T>((static_cast<double>(listed.mean[k]) + share * mean_[at(k)]) / sum);
    return {(static_cast<double>(listed.extra[0]) + share * square_) / sum, 1 / sum};
  }

 private:
  std::ptrdiff_t dim() const { return static_cast<std::ptrdiff_t>(state_.size()); }
  static std::size_t at(std::ptrdiff_t k) { return static_cast<std::size_t>(k); }

  ShortList<T>* list_ = nullptr;
  std::vector<T> state_, scratch_;
  // Sums of the tail.
  double max_ = 0, sum_ = 0, square_ = 0, mass_ = 0;
  std::vector<double> mean_;
};

}  // namespace hopfix
