#include "pair_loss.hpp"

#include <cmath>
#include <limits>

namespace hopfix {

using Kind = SeparationLoss::Kind;
using kernels::PairRule;

template <class T>
PairLoss<T>::PairLoss(const SeparationLoss& loss, std::ptrdiff_t count, std::ptrdiff_t dim)
    : loss_(loss),
      count_(count),
      rule_{loss.kind == Kind::layer ? PairRule::Exponent::square : PairRule::Exponent::distance,
            loss.normalize, loss.t},
      transposed_(dim, count),
      gram_(count, count) {
  const auto padded = static_cast<std::size_t>(gram_.panels() * gram_.lanes());
  inverse_.assign(padded, 0);
  squares_.assign(padded, 1);
}

// The scales from the diagonal of the Gram matrix; returns a feature without them, or -1.
template <class T>
std::ptrdiff_t PairLoss<T>::set_scales() {
  constexpr double most = std::numeric_limits<T>::max() / 8;
  constexpr double least = std::numeric_limits<T>::min() * 16;
  for (std::ptrdiff_t i = 0; i < count_; ++i) {
    const double square = static_cast<double>(gram_.at(i, i));
    if (!(square < most) || (loss_.normalize && square < least)) return i;
    const auto place = static_cast<std::size_t>(i);
    inverse_[place] = loss_.normalize ? static_cast<T>(1 / std::sqrt(square)) : T(1);
    squares_[place] = loss_.normalize ? T(1) : static_cast<T>(square);
  }
  return -1;
}

template <class T>
typename PairLoss<T>::Value PairLoss<T>::evaluate(const Panels<T>& features,
                                                  const Execution& execution) {
  const auto& kernels = panel_kernels(T());
  const double work = 4 * static_cast<double>(count_) * static_cast<double>(count_);
  const Execution shared = sharing(execution, work);
  parallel_for(features.panels(), sharing(execution, static_cast<double>(features.size())),
               [&](std::ptrdiff_t p, int) {
                 for (std::ptrdiff_t i = 0; i < features.row_blocks(); ++i)
                   kernels.transpose(features.block(i, p), transposed_.block(p, i));
               });
  gram(transposed_, gram_, execution);
  Value value;
  value.fault = set_scales();
  if (!value.valid()) return value;

  const T none = std::numeric_limits<T>::quiet_NaN();
  const std::ptrdiff_t lanes = gram_.lanes();
  rule_.t = sharpness_ > 0 ? sharpness_ : loss_.t;
  std::vector<T> tops(static_cast<std::size_t>(gram_.panels()));
  parallel_for(gram_.panels(), shared, [&](std::ptrdiff_t p, int) {
    for (std::ptrdiff_t j = p * lanes; j < (p + 1) * lanes; ++j) {
      if (j < count_) gram_.at(j, j) = none;
      for (std::ptrdiff_t i = 0; j >= count_ && i < count_; ++i) gram_.at(i, j) = none;
    }
    tops[static_cast<std::size_t>(p)] = kernels.largest_exponent(
        rule_, {inverse_.data(), squares_.data()}, gram_.panel(p), count_, p * lanes);
  });
  const T top = *std::max_element(tops.begin(), tops.end());
  if (hard()) {
    choose_pair(top, tops);
    value.objective = value.loss = static_cast<double>(top);
  } else {
    weigh(top, execution, value);
  }
  return value;
}

template <class T>
void PairLoss<T>::weigh(T top, const Execution& execution, Value& value) {
  const std::ptrdiff_t lanes = gram_.lanes();
  const auto padded = static_cast<std::size_t>(gram_.panels() * lanes);
  std::vector<double> weight(padded), own(padded);
  const double work = 20 * static_cast<double>(count_) * static_cast<double>(count_);
  parallel_for(gram_.panels(), sharing(execution, work), [&](std::ptrdiff_t p, int) {
    panel_kernels(T()).coefficients(rule_, {inverse_.data(), squares_.data()}, top, gram_.panel(p),
                                    count_, p * lanes, &weight[static_cast<std::size_t>(p * lanes)],
                                    &own[static_cast<std::size_t>(p * lanes)]);
  });
  double total = 0;  // every pair twice
  for (std::ptrdiff_t i = 0; i < count_; ++i) {
    const auto place = static_cast<std::size_t>(i);
    total += weight[place];
    const double inverse = static_cast<double>(inverse_[place]);
    gram_.at(i, i) = static_cast<T>(-own[place] * inverse * inverse);
  }
  const double peak = static_cast<double>(top), n = static_cast<double>(count_);
  active_.clear();
  if (loss_.kind == Kind::maximum) {
    const double ratio = loss_.t / sharpness_;
    value.loss = ratio * peak;
    value.objective = ratio * (peak + std::log(total / 2));
    factor_ = ratio * 2 / total;
  } else {
    value.loss = value.objective = peak + std::log(total / (n * (n - 1)));
    factor_ = 2 / total;
  }
}

// As in the kernels, operation by operation, so that the largest one is found again.
template <class T>
T PairLoss<T>::exponent(std::ptrdiff_t i, std::ptrdiff_t j) const {
  const auto a = static_cast<std::size_t>(i), b = static_cast<std::size_t>(j);
  const T s = gram_.at(i, j) * (inverse_[a] * inverse_[b]);
  return -static_cast<T>(rule_.t) * std::max(squares_[a] + squares_[b] - (s + s), T(0));
}

// The first pair in lexicographic order with the largest exponent: its first member is the first
// column that holds one, its second the first row.
template <class T>
void PairLoss<T>::choose_pair(T top, const std::vector<T>& tops) {
  const auto panel = std::find(tops.begin(), tops.end(), top) - tops.begin();
  active_.clear();
  for (std::ptrdiff_t j = panel * gram_.lanes(); active_.empty() && j < count_; ++j)
    for (std::ptrdiff_t i = j + 1; active_.empty() && i < count_; ++i)
      if (exponent(i, j) == top) active_ = {j, i};
  const auto a = static_cast<std::size_t>(active_[0]), b = static_cast<std::size_t>(active_[1]);
  const double first = static_cast<double>(inverse_[a]), second = static_cast<double>(inverse_[b]);
  const double s = static_cast<double>(gram_.at(active_[1], active_[0])) * first * second;
  const double own = 2 * loss_.t * (loss_.normalize ? s : 1);
  coupling_ = 2 * loss_.t * first * second;
  own_[0] = own * first * first;
  own_[1] = own * second * second;
}

template <class T>
void PairLoss<T>::gradient(const Panels<T>& features, Panels<T>& h,
                           const Execution& execution) const {
  if (active_.empty()) return multiply(gram_, features, h, execution, factor_);
  std::fill(h.data(), h.data() + h.size(), T(0));
  for (std::ptrdiff_t k = 0; k < features.cols(); ++k) {
    const double a = static_cast<double>(features.at(active_[0], k));
    const double b = static_cast<double>(features.at(active_[1], k));
    h.at(active_[0], k) = static_cast<T>(coupling_ * b - own_[0] * a);
    h.at(active_[1], k) = static_cast<T>(coupling_ * a - own_[1] * b);
  }
}

template class PairLoss<float>;
template class PairLoss<double>;

}  // namespace hopfix
