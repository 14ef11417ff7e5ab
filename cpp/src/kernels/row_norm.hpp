// Rows brought to mean 0 and variance 1 (hopfix/row_norm.hpp).
#pragma once

#include <cmath>

#include "wide_queries.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

template <class T>
inline T total(Vec<T> v) {
  T part[kLanes<T>];
  store(part, v);
  for (int half = kLanes<T> / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) part[l] += part[l + half];
  return part[0];
}

template <class T>
void normalize_rows(const T* x, std::ptrdiff_t rows, std::ptrdiff_t dim, T eps, T* y, T* means,
                    T* inverses) {
  constexpr std::ptrdiff_t W = kLanes<T>;
  const std::ptrdiff_t whole = dim / W * W, rest = dim - whole;
  Vec<T> used = {};  // ones where the last, incomplete vector has numbers
  for (std::ptrdiff_t l = 0; l < rest; ++l) used[l] = T(1);
  const T share = T(1) / static_cast<T>(dim);
  for (std::ptrdiff_t i = 0; i < rows; ++i, x += dim, y += dim) {
    Vec<T> sum = {}, squares = {};
    for (std::ptrdiff_t k = 0; k < whole; k += W) sum += load(x + k);
    const Vec<T> last = rest > 0 ? load_some(x + whole, rest) : Vec<T>{};
    const T mean = total<T>(sum + last) * share;
    const Vec<T> centre = broadcast(mean);
    for (std::ptrdiff_t k = 0; k < whole; k += W) {
      const Vec<T> centred = load(x + k) - centre;
      squares = fma(centred, centred, squares);
    }
    const Vec<T> centred_last = last - centre * used;
    squares = fma(centred_last, centred_last, squares);
    const T inverse = T(1) / std::sqrt(total<T>(squares) * share + eps);
    const Vec<T> factor = broadcast(inverse);
    for (std::ptrdiff_t k = 0; k < whole; k += W) store(y + k, (load(x + k) - centre) * factor);
    if (rest > 0) store_some(y + whole, centred_last * factor, rest);
    means[i] = mean;
    inverses[i] = inverse;
  }
}

}  // namespace hopfix::kernels::HOPFIX_LEVEL
