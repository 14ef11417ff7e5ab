// Between numbers -1 and 1 and bits.
#include <algorithm>
#include <atomic>

#include "hopfix/binary_hopfield.hpp"
#include "kernels/binary_table.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;

// The bits of up to 64 numbers; `wrong` becomes true where one is not a sign.
template <class T>
std::uint64_t pack_word(const T* numbers, ptrdiff_t count, bool& wrong) {
  std::uint64_t bits = 0;
  bool bad = false;
  for (ptrdiff_t k = 0; k < count; ++k) {
    bits |= static_cast<std::uint64_t>(numbers[k] > 0) << k;
    bad |= !(numbers[k] * numbers[k] == 1);
  }
  wrong |= bad;
  return bits;
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
    for (ptrdiff_t k = 0; k < dim; ++k)
      rows[r * dim + k] =
          static_cast<T>(static_cast<int>(words[r * length + k / 64] >> (k % 64) & 1) * 2 - 1);
  });
}

template ptrdiff_t pack_signs(const float*, ptrdiff_t, ptrdiff_t, std::uint64_t*, const Execution&);
template ptrdiff_t pack_signs(const double*, ptrdiff_t, ptrdiff_t, std::uint64_t*,
                              const Execution&);
template void unpack_signs(const std::uint64_t*, ptrdiff_t, ptrdiff_t, float*, const Execution&);
template void unpack_signs(const std::uint64_t*, ptrdiff_t, ptrdiff_t, double*, const Execution&);

}  // namespace hopfix
