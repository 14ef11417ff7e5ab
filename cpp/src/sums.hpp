// Sums in double precision whose order is fixed and leaves the compiler room for vectors.
#pragma once

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

template <class T>
double norm(const T* a, std::ptrdiff_t dim) {
  return std::sqrt(dot(a, a, dim));
}

template <class T>
double distance(const T* a, const T* b, std::ptrdiff_t dim) {
  return std::sqrt(sum_of(dim, [&](std::ptrdiff_t k) {
    const double difference = static_cast<double>(a[k]) - static_cast<double>(b[k]);
    return difference * difference;
  }));
}

}  // namespace hopfix
