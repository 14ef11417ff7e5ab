#include "state_softmax.hpp"

#include <cmath>
#include <limits>

namespace hopfix {

namespace {

// About 50 us of work on a covariance, and not too many rows for the cache.
std::ptrdiff_t block_rows(std::ptrdiff_t dim) {
  constexpr std::ptrdiff_t kProducts = 1 << 21, kLeast = 128, kMost = 4096;
  return std::clamp(kProducts / (dim * dim), kLeast, kMost);
}

template <class T>
void add(const T* x, std::ptrdiff_t count, T* sum) {
  for (std::ptrdiff_t k = 0; k < count; ++k) sum[k] += x[k];
}

// Whole cache lines, so that parts of an array stay aligned.
std::ptrdiff_t padded(std::ptrdiff_t size) {
  return divide_up(size + kernels::kTileSlack, 16) * 16;
}

}  // namespace

template <class T>
StateSoftmax<T>::StateSoftmax(const Network<T>& network)
    : network_(network),
      kernels_(covariance_kernels(T())),
      rows_(block_rows(std::min<std::ptrdiff_t>(network.dim(), 1 << 16))),
      blocks_(divide_up(network.size(), rows_)) {}

template <class T>
kernels::PatternBlock<T> StateSoftmax<T>::block(std::ptrdiff_t index) const {
  const std::ptrdiff_t first = index * rows_, dim = network_.dim();
  const auto& shifts = network_.log_weights();
  const auto rows = network_.rows();
  return {rows.data + first * rows.stride, rows.stride, std::min(rows_, network_.size() - first),
          dim, shifts.empty() ? nullptr : shifts.data() + first};
}

template <class T>
kernels::WeightedRows<T> StateSoftmax<T>::weights(std::ptrdiff_t index) const {
  return {weights_.data() + index * rows_, threshold_, scale_};
}

template <class T>
void StateSoftmax<T>::compute(const T* state, const Execution& execution) {
  const std::ptrdiff_t n = network_.size(), dim = network_.dim(), size = padded(dim);
  const T beta = static_cast<T>(network_.beta());
  query_.reserve(size);
  std::fill_n(query_.data(), size, T(0));
  for (std::ptrdiff_t k = 0; k < dim; ++k) query_[k] = beta * state[k];
  weights_.reserve(padded(n));
  parallel_for(blocks_, execution, [&](std::ptrdiff_t b, int) {
    kernels_.logits(block(b), query_.data(), weights_.data() + b * rows_);
  });
  const kernels::SoftmaxTotals totals = kernels_.exponentiate(weights_.data(), n);
  const double u = static_cast<double>(std::numeric_limits<T>::epsilon()) / 2;
  threshold_ = static_cast<T>(u * u * totals.others / static_cast<double>(n));
  scale_ = network_.beta() / totals.sum;

  partial_.reserve(blocks_ * size);
  std::fill_n(partial_.data(), blocks_ * size, T(0));
  parallel_for(blocks_, execution, [&](std::ptrdiff_t b, int) {
    kernels_.weighted_sum(block(b), weights_.data() + b * rows_, partial_.data() + b * size);
  });
  mean_.reserve(size);
  std::fill_n(mean_.data(), size, T(0));
  for (std::ptrdiff_t b = 0; b < blocks_; ++b) add(partial_.data() + b * size, dim, mean_.data());
  for (std::ptrdiff_t k = 0; k < dim; ++k) mean_[k] /= static_cast<T>(totals.sum);
}

template <class T>
void StateSoftmax<T>::covariance(const Execution& execution, T* out) {
  const std::ptrdiff_t dim = network_.dim(), size = kernels_.packed_size(dim);
  const std::ptrdiff_t wave = std::max(1, execution.threads);
  packed_.reserve(size);
  partial_.reserve(wave * size);
  scratch_.resize(static_cast<std::size_t>(wave));
  std::fill_n(packed_.data(), size, T(0));
  for (std::ptrdiff_t first = 0; first < blocks_; first += wave) {
    const std::ptrdiff_t here = std::min(wave, blocks_ - first);
    parallel_for(here, execution, [&](std::ptrdiff_t b, int worker) {
      AlignedArray<T>& scratch = scratch_[static_cast<std::size_t>(worker)];
      scratch.reserve(kernels_.scratch_size(dim));
      std::fill_n(partial_.data() + b * size, size, T(0));
      kernels_.accumulate(block(first + b), mean_.data(), weights(first + b), scratch.data(),
                          partial_.data() + b * size);
    });
    for (std::ptrdiff_t b = 0; b < here; ++b) add(partial_.data() + b * size, size, packed_.data());
  }
  kernels_.unpack(packed_.data(), dim, out);
}

template <class T>
std::ptrdiff_t StateSoftmax<T>::live() const {
  std::ptrdiff_t count = 0;
  for (std::ptrdiff_t i = 0; i < network_.size(); ++i) count += is_live(i);
  return count;
}

template <class T>
SymmetricMap StateSoftmax<T>::map(const Execution& execution) {
  const std::ptrdiff_t dim = network_.dim(), size = padded(dim);
  products_.reserve(blocks_ * size);
  return {dim, [this, dim, size, &execution](const double* x, double* y) {
            parallel_for(blocks_, execution, [&](std::ptrdiff_t b, int) {
              double* product = products_.data() + b * size;
              std::fill_n(product, dim, 0.0);
              kernels_.apply(block(b), mean_.data(), weights(b), x, product);
            });
            std::fill_n(y, dim, 0.0);
            for (std::ptrdiff_t b = 0; b < blocks_; ++b) add(products_.data() + b * size, dim, y);
          }};
}

template <class T>
NormalMatrix StateSoftmax<T>::normal_matrix() {
  const std::ptrdiff_t dim = network_.dim(), count = live();
  live_rows_.reserve(count * dim);
  double* row = live_rows_.data();
  for (std::ptrdiff_t i = 0; i < network_.size(); ++i) {
    if (!is_live(i)) continue;
    const double root = std::sqrt(scale_ * static_cast<double>(weights_.data()[i]));
    const T* x = network_.patterns().data() + i * dim;
    for (std::ptrdiff_t k = 0; k < dim; ++k)
      row[k] = root * (static_cast<double>(x[k]) - static_cast<double>(mean_.data()[k]));
    row += dim;
  }
  return NormalMatrix(live_rows_.data(), count, dim);
}

template class StateSoftmax<float>;
template class StateSoftmax<double>;

}  // namespace hopfix
