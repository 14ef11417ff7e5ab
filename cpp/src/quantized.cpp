#include "quantized.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sums.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;

constexpr double kRoundOff = 0.51;  // half a unit, and the rounding of the scaled number

// An upper bound of the norm: exceeds the rounding of the sum for any dim < 1e12.
template <class T>
double norm_above(const T* x, ptrdiff_t dim) {
  return norm(x, dim) * (1 + 1e-10 + 2e-16 * static_cast<double>(dim));
}

// The scale at which vectors of at most that norm become integers of norm below 2^15 - 1; zero
// where there is none.
double scale_for(double largest_norm, ptrdiff_t dim) {
  const double room = 32766 - kRoundOff * std::sqrt(static_cast<double>(dim));
  const double scale = room / largest_norm;
  if (largest_norm == 0) return 1e100;  // where squares underflow, this still rounds to zero
  return room > 0 && std::isnormal(largest_norm) && std::isnormal(scale) ? scale : 0;
}

template <class T>
void round_to_integers(const T* x, ptrdiff_t dim, double scale, std::int16_t* row) {
  for (ptrdiff_t k = 0; k < dim; ++k) {
    const double scaled = static_cast<double>(x[k]) * scale;
    row[k] =
        static_cast<std::int16_t>(static_cast<std::int32_t>(scaled + std::copysign(0.5, scaled)));
  }
}

}  // namespace

template <class T>
QuantizedPatterns::QuantizedPatterns(const Network<T>& network)
    : size_(network.size()),
      dim_(network.dim()),
      stride_((network.dim() + kernels::kQuantizedPad - 1) / kernels::kQuantizedPad *
              kernels::kQuantizedPad),
      beta_(network.beta()),
      largest_norm_(0),
      largest_log_weight_(0) {
  const T* patterns = network.patterns().data();
  for (ptrdiff_t i = 0; i < network.size(); ++i)
    largest_norm_ = std::max(largest_norm_, norm_above(patterns + i * dim_, dim_));
  constexpr double kMost = std::numeric_limits<float>::max();
  for (const T log_weight : network.log_weights()) {
    const auto b = static_cast<double>(log_weight);
    largest_log_weight_ = std::max(largest_log_weight_, std::fabs(b));
    log_weights_.push_back(static_cast<float>(std::clamp(b, -kMost, kMost)));
  }
  scale_ = scale_for(largest_norm_, dim_);
  rows_.reserve(network.size() * stride_);
  std::fill_n(rows_.data(), network.size() * stride_, std::int16_t{0});
  for (ptrdiff_t i = 0; i < network.size(); ++i)
    round_to_integers(patterns + i * dim_, dim_, scale_, rows_.data() + i * stride_);
}

kernels::QuantizedBlock QuantizedPatterns::block(ptrdiff_t first, ptrdiff_t count) const {
  const float* log_weights = log_weights_.empty() ? nullptr : log_weights_.data() + first;
  return {rows_.data() + first * stride_, stride_, count, dim_, log_weights};
}

template <class T>
QuantizedPatterns::Scaling QuantizedPatterns::quantize(const T* state, std::int16_t* row) const {
  const double size = norm_above(state, dim_), scale = scale_for(size, dim_);
  round_to_integers(state, dim_, scale, row);
  std::fill(row + dim_, row + stride_, std::int16_t{0});
  const double rounding = kRoundOff * std::sqrt(static_cast<double>(dim_));
  const double of_patterns = rounding / scale_, of_state = rounding / scale;
  const double of_products = of_patterns * size + of_state * (largest_norm_ + of_patterns);
  const double largest = beta_ * largest_norm_ * size + largest_log_weight_;
  // Conversion, scale, product, sum and log-weight are rounded in float, a part 2^-24 each; a
  // factor that is subnormal there stands for logits below 1e-20.
  constexpr double kFloat = std::numeric_limits<float>::epsilon();
  const double error = 1.001 * (beta_ * of_products + 4 * kFloat * largest) + 1e-20;
  const double factor = beta_ / scale_ / scale;
  const bool in_range = scale_ > 0 && scale > 0 && largest < 1e30;
  if (!in_range) return {0, std::numeric_limits<float>::infinity()};
  return {static_cast<float>(factor), static_cast<float>(error)};
}

template QuantizedPatterns::QuantizedPatterns(const Network<float>&);
template QuantizedPatterns::QuantizedPatterns(const Network<double>&);
template QuantizedPatterns::Scaling QuantizedPatterns::quantize(const float*, std::int16_t*) const;
template QuantizedPatterns::Scaling QuantizedPatterns::quantize(const double*, std::int16_t*) const;

}  // namespace hopfix
