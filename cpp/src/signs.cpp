// Between numbers -1 and 1 and bits.
#include <algorithm>
#include <atomic>

#include "hopfix/binary_hopfield.hpp"
#include "kernels/binary_table.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;

// The low bits of 64 bytes, of which eight at a time are gathered by a product.
std::uint64_t gather_bits(const std::uint8_t* bytes) {
  std::uint64_t bits = 0;
  for (int k = 0; k < 64; k += 8) {
    std::uint64_t eight = 0;
    for (int j = 0; j < 8; ++j) eight |= static_cast<std::uint64_t>(bytes[k + j]) << (8 * j);
    bits |= (eight * 0x0102040810204080u) >> 56 << k;
  }
  return bits;
}

// The bits of up to 64 numbers; `wrong` becomes true where one is not a sign.
template <class T>
std::uint64_t pack_word(const T* numbers, ptrdiff_t count, bool& wrong) {
  std::uint8_t positive[64] = {};
  std::uint8_t bad = 0;
  for (ptrdiff_t k = 0; k < count; ++k) {
    positive[k] = numbers[k] > 0;
    bad |= !(numbers[k] * numbers[k] == 1);
  }
  wrong |= bad != 0;
  return gather_bits(positive);
}

template <class T>
void unpack_word(std::uint64_t bits, ptrdiff_t count, T* numbers) {
  std::uint8_t spread[64];
  for (int k = 0; k < 64; k += 8) {
    const std::uint64_t eight = (bits >> k & 0xff) * 0x0101010101010101u & 0x8040201008040201u;
    for (int j = 0; j < 8; ++j) spread[k + j] = static_cast<std::uint8_t>(eight >> (8 * j));
  }
  for (ptrdiff_t k = 0; k < count; ++k) numbers[k] = spread[k] != 0 ? T(1) : T(-1);
}

// Rows worth a thread of their own.
Execution within_reason(ptrdiff_t numbers, const Execution& execution) {
  constexpr ptrdiff_t kWorthSharing = 1 << 17;
  Execution reasonable = execution;
  if (numbers < kWorthSharing) reasonable.threads = 1;
  return reasonable;
}

}  // namespace

ptrdiff_t sign_words(ptrdiff_t dim) {
  return (dim + kernels::kFieldLanes - 1) / kernels::kFieldLanes * kernels::kChunkWords;
}

template <class T>
ptrdiff_t pack_signs(const T* rows, ptrdiff_t count, ptrdiff_t dim, std::uint64_t* words,
                     const Execution& execution) {
  const ptrdiff_t length = sign_words(dim);
  std::atomic<ptrdiff_t> first_wrong{count};
  parallel_for(count, within_reason(count * dim, execution), [&](ptrdiff_t r, int) {
    bool wrong = false;
    for (ptrdiff_t w = 0; w < length; ++w)
      words[r * length + w] =
          pack_word(rows + r * dim + 64 * w, std::clamp<ptrdiff_t>(dim - 64 * w, 0, 64), wrong);
    ptrdiff_t least = first_wrong.load();
    while (wrong && r < least && !first_wrong.compare_exchange_weak(least, r)) continue;
  });
  if (first_wrong == count) return -1;
  const T* row = rows + first_wrong * dim;
  return first_wrong * dim +
         (std::find_if(row, row + dim, [](T x) { return !(x * x == 1); }) - row);
}

template <class T>
void unpack_signs(const std::uint64_t* words, ptrdiff_t count, ptrdiff_t dim, T* rows,
                  const Execution& execution) {
  const ptrdiff_t length = sign_words(dim);
  parallel_for(count, within_reason(count * dim, execution), [&](ptrdiff_t r, int) {
    for (ptrdiff_t k = 0; k < dim; k += 64)
      unpack_word(words[r * length + k / 64], std::min<ptrdiff_t>(dim - k, 64), rows + r * dim + k);
  });
}

template ptrdiff_t pack_signs(const float*, ptrdiff_t, ptrdiff_t, std::uint64_t*, const Execution&);
template ptrdiff_t pack_signs(const double*, ptrdiff_t, ptrdiff_t, std::uint64_t*,
                              const Execution&);
template void unpack_signs(const std::uint64_t*, ptrdiff_t, ptrdiff_t, float*, const Execution&);
template void unpack_signs(const std::uint64_t*, ptrdiff_t, ptrdiff_t, double*, const Execution&);

}  // namespace hopfix
