// Sums in double precision whose order is fixed and leaves the compiler room for vectors.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace hopfix {

// The sum of term(k) for 0 <= k < count, by eight running sums.
template <class Term>
double sum_of(std::ptrdiff_t count, const Term& term) {
  constexpr std::ptrdiff_t kParts = 8;
  double part[kParts] = {};
  std::ptrdiff_t k = 0;
  for (; k + kParts <= count; k += kParts)
    for (std::ptrdiff_t j = 0; j < kParts; ++j) part[j] += term(k + j);
  for (std::ptrdiff_t j = 0; k < count; ++k, ++j) part[j] += term(k);
  return ((part[0] + part[4]) + (part[1] + part[5])) + ((part[2] + part[6]) + (part[3] + part[7]));
}

template <class T>
double dot(const T* a, const T* b, std::ptrdiff_t dim) {
  return sum_of(
      dim, [&](std::ptrdiff_t k) { return static_cast<double>(a[k]) * static_cast<double>(b[k]); });
}

// sqrt(sum of term(k)^2), scaled where squares leave the range of numbers.
template <class Term>
double norm_of(std::ptrdiff_t count, const Term& term) {
  const double square = sum_of(count, [&](std::ptrdiff_t k) { return term(k) * term(k); });
  if (square > 1e-280 && square < 1e300) return std::sqrt(square);
  if (std::isnan(square)) return square;
  double largest = 0;
  for (std::ptrdiff_t k = 0; k < count; ++k) largest = std::max(largest, std::fabs(term(k)));
  if (!(largest > 0) || !std::isfinite(largest)) return largest;
  return largest * std::sqrt(sum_of(count, [&](std::ptrdiff_t k) {
           return term(k) / largest * (term(k) / largest);
         }));
}

template <class T>
double norm(const T* a, std::ptrdiff_t dim) {
  return norm_of(dim, [&](std::ptrdiff_t k) { return static_cast<double>(a[k]); });
}

template <class T>
double distance(const T* a, const T* b, std::ptrdiff_t dim) {
  return norm_of(
      dim, [&](std::ptrdiff_t k) { return static_cast<double>(a[k]) - static_cast<double>(b[k]); });
}

}  // namespace hopfix
