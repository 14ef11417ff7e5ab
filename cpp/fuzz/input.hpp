// What fuzz targets share: arguments read off bytes, and claims that end the process if they fail.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>
#include <optional>
#include <stdexcept>
#include <vector>

#include "hopfix/checks.hpp"
#include "hopfix/face_search.hpp"
#include "hopfix/network.hpp"

#define CLAIM(condition)                                                   \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

namespace hopfix::fuzz {

// Zeros when the bytes have come to their end.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}

  std::uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  bool flag() { return (byte() & 1) != 0; }
  std::ptrdiff_t between(std::ptrdiff_t low, std::ptrdiff_t high) {
    return low + byte() % (high - low + 1);
  }

  // Mostly of ordinary size; else what is awkward, or any bits.
  template <class T>
  T number() {
    constexpr T kNone = std::numeric_limits<T>::infinity();
    constexpr T awkward[] = {T{0},
                             -T{0},
                             T{1},
                             std::numeric_limits<T>::denorm_min(),
                             -std::numeric_limits<T>::min(),
                             std::numeric_limits<T>::epsilon(),
                             std::numeric_limits<T>::max(),
                             -std::numeric_limits<T>::max(),
                             T(1e8),
                             T(1e-8),
                             kNone,
                             std::numeric_limits<T>::quiet_NaN()};
    const std::uint8_t kind = byte();
    if (kind < 250) return static_cast<T>(static_cast<std::int8_t>(kind - 125)) / 50;
    if (kind < 253) return awkward[byte() % std::size(awkward)];
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) bits |= std::uint64_t{byte()} << 8 * i;
    T value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }

  template <class T>
  std::vector<T> numbers(std::ptrdiff_t count) {
    std::vector<T> values;
    for (std::ptrdiff_t i = 0; i < count; ++i) values.push_back(number<T>());
    return values;
  }

  // Often a power of two, over 40 orders of magnitude.
  double scale() {
    const std::uint8_t kind = byte();
    if (kind < 200) return (1 + kind) / 16.0;
    const int exponent = static_cast<std::int8_t>(byte());
    return std::ldexp(1.0, exponent);
  }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

// Nothing if the arguments are refused, which is as good an answer.
template <class T>
std::optional<Network<T>> network(Input& input, std::ptrdiff_t most_patterns,
                                  std::ptrdiff_t most_dim) {
  const std::ptrdiff_t n = input.between(1, most_patterns), dim = input.between(1, most_dim);
  const double beta = input.scale();
  const auto patterns = input.numbers<T>(n * dim);
  const auto log_weights = input.flag() ? input.numbers<T>(n) : std::vector<T>();
  try {
    return checked_network<T>(patterns.data(), n, dim, beta,
                              log_weights.empty() ? nullptr : log_weights.data());
  } catch (const std::invalid_argument&) {
    return std::nullopt;
  }
}

// Calls run with a float or a double.
template <class Run>
void in_either_precision(Input& input, const Run& run) {
  if (input.flag())
    run(0.0f);
  else
    run(0.0);
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// A face for each, without its critical supersets.
inline FaceSeeds every_pattern(std::ptrdiff_t n) {
  FaceSeeds seeds;
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    seeds.indices.push_back(i);
    seeds.weights.push_back(1);
    seeds.first.push_back(i + 1);
  }
  return seeds;
}

}  // namespace hopfix::fuzz
