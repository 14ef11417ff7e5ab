// Patterns on their way into the L2 cache while earlier ones are worked on.
//
// Products read a few rows at a time, each from its own place; processors see a dozen streams and
// fetch too little ahead. A product therefore asks for the rows one group ahead, at the pace at
// which it works. Measured on Zen 4, 51 MB of patterns and one query: 7.6 ms without, 2.7 ms with.
#pragma once

#include "table.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

// Far enough for the latency of memory, and what comes next in any case.
inline constexpr std::ptrdiff_t kPrefetchRows = kGroupRows;
inline constexpr std::ptrdiff_t kLineBytes = 64;

template <class T>
inline constexpr std::ptrdiff_t kLine = kLineBytes / static_cast<std::ptrdiff_t>(sizeof(T));

// Asks for the `lines` cache lines from x on.
template <class T>
inline void prefetch_lines(const T* x, std::ptrdiff_t lines) {
  for (std::ptrdiff_t l = 0; l < lines; ++l)
    __builtin_prefetch(reinterpret_cast<const char*>(x) + l * kLineBytes, 0, 1);
}

}  // namespace hopfix::kernels::HOPFIX_LEVEL
