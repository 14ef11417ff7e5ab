// Networks of signs, of one instruction-set level: overlaps by counting bits, fields by tables.
#include "level.hpp"
#include "simd.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

namespace {

using Words = Bits<double>;
constexpr int kWordLanes = kLanes<double>;

typedef std::int32_t Ints __attribute__((vector_size(HOPFIX_VECTOR_BYTES)));
typedef std::int16_t Shorts __attribute__((vector_size(HOPFIX_VECTOR_BYTES)));
constexpr int kIntLanes = HOPFIX_VECTOR_BYTES / 4;
[[maybe_unused]] constexpr int kShortLanes = HOPFIX_VECTOR_BYTES / 2;

template <class V, class T>
V load_as(const T* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// ------------------------------------------------------------------------------- counting bits

// A full adder of bits: a + b + c = 2 carry + sum.
struct Sum {
  Words sum, carry;
};

inline Sum add_bits(Words a, Words b, Words c) {
#if defined(__AVX512F__)
  const auto x = reinterpret_cast<__m512i>(a), y = reinterpret_cast<__m512i>(b),
             z = reinterpret_cast<__m512i>(c);
  return {reinterpret_cast<Words>(_mm512_ternarylogic_epi64(x, y, z, 0x96)),
          reinterpret_cast<Words>(_mm512_ternarylogic_epi64(x, y, z, 0xe8))};
#else
  const Words either = a ^ b;
  return {either ^ c, (a & b) | (either & c)};
#endif
}

inline Words count_bits(Words v) {
  v -= (v >> 1) & 0x5555555555555555u;
  v = (v & 0x3333333333333333u) + ((v >> 2) & 0x3333333333333333u);
  v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu;
  v += v >> 8;
  v += v >> 16;
  v += v >> 32;
  return v & 0x7fu;
}

// Bits in which columns of words differ from the state: sixteen words at a time through a tree of
// adders, of which only the carries into the fifth binary digit are counted (Harley and Seal, in
// Warren, "Hacker's Delight").
class BitCounter {
 public:
  BitCounter(const std::uint64_t* block, const std::uint64_t* state)
      : block_(block), state_(state) {}

  Words run(std::ptrdiff_t words) {
    Words sixteens = {};
    std::ptrdiff_t w = 0;
    for (; w + 16 <= words; w += 16) sixteens += count_bits(add<16>(w));
    Words count = 16 * sixteens;
    for (int level = 0; level < 4; ++level) count += count_bits(digit_[level]) << level;
    for (; w < words; ++w) count += count_bits(differing(w));
    return count;
  }

 private:
  Words differing(std::ptrdiff_t w) const {
    return load_as<Words>(block_ + w * kSignRows) ^ (state_[w] - Words{});
  }

  // Adds N words from w on to the digits; returns the carry, of weight N.
  template <int N>
  Words add(std::ptrdiff_t w) {
    constexpr int level = N == 2 ? 0 : N == 4 ? 1 : N == 8 ? 2 : 3;
    Words first, second;
    if constexpr (N == 2) {
      first = differing(w);
      second = differing(w + 1);
    } else {
      first = add<N / 2>(w);
      second = add<N / 2>(w + N / 2);
    }
    const Sum result = add_bits(digit_[level], first, second);
    digit_[level] = result.sum;
    return result.carry;
  }

  const std::uint64_t *block_, *state_;
  Words digit_[4] = {};  // of weights 1, 2, 4, 8
};

void differences(const std::uint64_t* block, std::ptrdiff_t words, const std::uint64_t* state,
                 std::int32_t* differing) {
  for (std::ptrdiff_t r = 0; r < kSignRows; r += kWordLanes) {
    const Words count = BitCounter(block + r, state).run(words);
    for (int l = 0; l < kWordLanes; ++l) differing[r + l] = static_cast<std::int32_t>(count[l]);
  }
}

// -------------------------------------------------------------------------------------- fields

#if defined(__AVX512F__)
// Tables of 32 sums in one vector, looked up by its permutation; the sixteenth bit is not used.
constexpr int kGroup = 5, kGroups = 3;
constexpr bool kSplitBytes = false;
#elif defined(HOPFIX_X86_64)
// Tables of 16 sums, their low bytes and then their high ones, looked up by byte shuffles.
constexpr int kGroup = 4, kGroups = 4;
constexpr bool kSplitBytes = true;
#else
constexpr int kGroup = 4, kGroups = 4;
constexpr bool kSplitBytes = false;
#endif
constexpr int kTableSize = 1 << kGroup;

// sums[p] = the sum of the numbers with the sign + where p has a bit.
inline void tabulate(const std::int16_t* numbers, std::int16_t* sums) {
  sums[0] = 0;
  for (int j = 0; j < kGroup; ++j) sums[0] = static_cast<std::int16_t>(sums[0] - numbers[j]);
  for (int j = 0; j < kGroup; ++j)
    for (int p = 0; p < 1 << j; ++p)
      sums[p + (1 << j)] = static_cast<std::int16_t>(sums[p] + 2 * numbers[j]);
}

void make_tables(const std::int16_t* numbers, std::ptrdiff_t count, std::int16_t* tables) {
  for (std::ptrdiff_t g = 0; g < count; ++g, numbers += kGroup, tables += kTableSize) {
    if constexpr (!kSplitBytes) {
      tabulate(numbers, tables);
    } else {
      std::int16_t sums[kTableSize];
      tabulate(numbers, sums);
      auto* bytes = reinterpret_cast<unsigned char*>(tables);
      for (int p = 0; p < kTableSize; ++p) {
        const auto value = static_cast<std::uint16_t>(sums[p]);
        bytes[p] = static_cast<unsigned char>(value & 0xff);
        bytes[kTableSize + p] = static_cast<unsigned char>(value >> 8);
      }
    }
  }
}

void widen_and_add(const std::int16_t* sums, int shift, std::int32_t* fields) {
  // Shifted without sign, where the whole sum may pass the range of its parts on its way.
  for (std::ptrdiff_t k = 0; k < kFieldLanes; ++k)
    fields[k] = static_cast<std::int32_t>(
        static_cast<std::uint32_t>(fields[k]) +
        (static_cast<std::uint32_t>(static_cast<std::int32_t>(sums[k])) << shift));
}

#if defined(__AVX512F__)

void add_fields(const std::uint16_t* planes, const std::int16_t* tables, std::ptrdiff_t words,
                int shift, std::int32_t* fields) {
  constexpr int vectors = kFieldLanes / 32;
  __m512i sum[vectors] = {};
  for (std::ptrdiff_t w = 0; w < words; ++w) {
    __m512i index[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v)
      index[v] = _mm512_loadu_si512(planes + w * kFieldLanes + v * 32);
#pragma GCC unroll 3
    for (int g = 0; g < kGroups; ++g) {
      const __m512i table = _mm512_loadu_si512(tables + (w * kGroups + g) * kTableSize);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        sum[v] = _mm512_add_epi16(sum[v], _mm512_permutexvar_epi16(index[v], table));
        if (g + 1 < kGroups) index[v] = _mm512_srli_epi16(index[v], kGroup);
      }
    }
  }
  std::int16_t sums[kFieldLanes];
  for (int v = 0; v < vectors; ++v) _mm512_storeu_si512(sums + v * 32, sum[v]);
  widen_and_add(sums, shift, fields);
}

#elif defined(HOPFIX_X86_64)

#if defined(__AVX2__)
using Bytes = __m256i;
inline Bytes table_at(const unsigned char* p) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline Bytes low_nibbles(Bytes x) { return _mm256_and_si256(x, _mm256_set1_epi8(15)); }
inline Bytes high_nibbles(Bytes x) { return low_nibbles(_mm256_srli_epi16(x, 4)); }
inline Bytes look_up(Bytes table, Bytes index) { return _mm256_shuffle_epi8(table, index); }
inline Bytes unpack_low(Bytes a, Bytes b) { return _mm256_unpacklo_epi8(a, b); }
inline Bytes unpack_high(Bytes a, Bytes b) { return _mm256_unpackhi_epi8(a, b); }
inline Bytes add_shorts(Bytes a, Bytes b) { return _mm256_add_epi16(a, b); }
#else
using Bytes = __m128i;
inline Bytes table_at(const unsigned char* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
inline Bytes low_nibbles(Bytes x) { return _mm_and_si128(x, _mm_set1_epi8(15)); }
inline Bytes high_nibbles(Bytes x) { return low_nibbles(_mm_srli_epi16(x, 4)); }
inline Bytes look_up(Bytes table, Bytes index) { return _mm_shuffle_epi8(table, index); }
inline Bytes unpack_low(Bytes a, Bytes b) { return _mm_unpacklo_epi8(a, b); }
inline Bytes unpack_high(Bytes a, Bytes b) { return _mm_unpackhi_epi8(a, b); }
inline Bytes add_shorts(Bytes a, Bytes b) { return _mm_add_epi16(a, b); }
#endif

constexpr int kByteLanes = static_cast<int>(sizeof(Bytes));

// Unpacking interleaves within 16 bytes: of every 16 components `low` has the first eight, `high`
// the others.
struct ByteSums {
  Bytes low = {}, high = {};

  void add(Bytes index, const unsigned char* table) {
    const Bytes least = look_up(table_at(table), index);
    const Bytes most = look_up(table_at(table + kTableSize), index);
    low = add_shorts(low, unpack_low(least, most));
    high = add_shorts(high, unpack_high(least, most));
  }
  void put(std::int16_t* sums) const {
    for (int part = 0; part < kByteLanes / 16; ++part) {
      std::memcpy(sums + part * 16, reinterpret_cast<const char*>(&low) + part * 16, 16);
      std::memcpy(sums + part * 16 + 8, reinterpret_cast<const char*>(&high) + part * 16, 16);
    }
  }
};

void add_fields(const std::uint16_t* planes, const std::int16_t* tables, std::ptrdiff_t words,
                int shift, std::int32_t* fields) {
  constexpr int kSides = 2;  // vectors side by side hide the latency of the sums
  std::int16_t sums[kFieldLanes];
  for (std::ptrdiff_t first = 0; first < kFieldLanes; first += kSides * kByteLanes) {
    ByteSums side[kSides];
    for (std::ptrdiff_t half = 0; half < 2 * words; ++half) {
      const auto* index = reinterpret_cast<const unsigned char*>(planes) + half * kFieldLanes;
      const auto* table =
          reinterpret_cast<const unsigned char*>(tables) + half * 2 * (2 * kTableSize);
#pragma GCC unroll 2
      for (int s = 0; s < kSides; ++s) {
        const auto both = load_as<Bytes>(index + first + s * kByteLanes);
        side[s].add(low_nibbles(both), table);
        side[s].add(high_nibbles(both), table + 2 * kTableSize);
      }
    }
    for (int s = 0; s < kSides; ++s) side[s].put(sums + first + s * kByteLanes);
  }
  widen_and_add(sums, shift, fields);
}

#else

void add_fields(const std::uint16_t* planes, const std::int16_t* tables, std::ptrdiff_t words,
                int shift, std::int32_t* fields) {
  std::int16_t sums[kFieldLanes] = {};
  for (std::ptrdiff_t w = 0; w < words; ++w)
    for (std::ptrdiff_t k = 0; k < kFieldLanes; ++k)
      for (int g = 0; g < kGroups; ++g) {
        const int index = planes[w * kFieldLanes + k] >> (g * kGroup) & (kTableSize - 1);
        sums[k] =
            static_cast<std::int16_t>(sums[k] + tables[(w * kGroups + g) * kTableSize + index]);
      }
  widen_and_add(sums, shift, fields);
}

#endif

// ------------------------------------------------------------------------------------- updates

// The bits of 64 comparisons.
struct Less {
  template <class V>
  auto operator()(V a, V b) const {
    return a <= b;
  }
};
struct More {
  template <class V>
  auto operator()(V a, V b) const {
    return a >= b;
  }
};

template <class Compare>
inline std::uint64_t compare_64(const std::int32_t* a, const std::int32_t* b, Compare compare) {
  std::uint64_t bits = 0;
  for (int first = 0; first < 64; first += kIntLanes) {
    const Ints result = compare(load_as<Ints>(a + first), load_as<Ints>(b + first));
#if defined(__AVX512F__)
    const std::uint64_t here = _mm512_movepi32_mask(reinterpret_cast<__m512i>(result));
#elif defined(__AVX2__)
    const auto here =
        static_cast<std::uint64_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(result)));
#elif defined(HOPFIX_X86_64)
    const auto here = static_cast<std::uint64_t>(_mm_movemask_ps(reinterpret_cast<__m128>(result)));
#else
    std::uint64_t here = 0;
    for (int l = 0; l < kIntLanes; ++l) here |= static_cast<std::uint64_t>(result[l] & 1) << l;
#endif
    bits |= here << first;
  }
  return bits;
}

void decide(const std::int32_t* fields, const std::int32_t* rise, const std::int32_t* fall,
            const std::uint64_t* state, std::uint64_t* next) {
  for (std::ptrdiff_t w = 0; w < kChunkWords; ++w) {
    const std::uint64_t rises = compare_64(fields + 64 * w, rise + 64 * w, More());
    const std::uint64_t falls = compare_64(fields + 64 * w, fall + 64 * w, Less());
    next[w] = (state[w] & ~falls) | (~state[w] & rises);
  }
}

// work(first, chosen) for groups of lanes: all bits set in the lanes whose bit is set.
template <class Work>
inline void for_lanes(const std::uint64_t* bits, std::ptrdiff_t words, const Work& work) {
#if !defined(__AVX512F__)
  Ints own = {};
  for (int l = 0; l < kIntLanes; ++l) own[l] = 1 << l;
#endif
  for (std::ptrdiff_t w = 0; w < words; ++w) {
    const std::uint64_t word = bits[w];
#pragma GCC unroll 16
    for (int first = 0; first < 64; first += kIntLanes) {
#if defined(__AVX512F__)
      work(64 * w + first, static_cast<__mmask16>(word >> first));
#else
      const auto here = static_cast<std::int32_t>(word >> first & ((1u << kIntLanes) - 1));
      work(64 * w + first, ((here - Ints{}) & own) != 0);
#endif
    }
  }
}

// The sum of the numbers whose bit is set, modulo 2^32.
inline std::uint32_t chosen_sum(const std::uint64_t* bits, const std::int32_t* numbers,
                                std::ptrdiff_t words) {
#if defined(__AVX512F__)
  __m512i sum[4] = {};
  for_lanes(bits, words, [&](std::ptrdiff_t first, __mmask16 chosen) {
    __m512i& part = sum[first / kIntLanes % 4];
    part = _mm512_mask_add_epi32(part, chosen, part, _mm512_loadu_si512(numbers + first));
  });
  return static_cast<std::uint32_t>(_mm512_reduce_add_epi32(
      _mm512_add_epi32(_mm512_add_epi32(sum[0], sum[1]), _mm512_add_epi32(sum[2], sum[3]))));
#else
  typedef std::uint32_t Unsigned __attribute__((vector_size(HOPFIX_VECTOR_BYTES)));
  Unsigned sum[2] = {};
  for_lanes(bits, words, [&](std::ptrdiff_t first, Ints chosen) {
    sum[first / kIntLanes % 2] +=
        reinterpret_cast<Unsigned>(load_as<Ints>(numbers + first) & chosen);
  });
  const Unsigned both = sum[0] + sum[1];
  std::uint32_t total = 0;
  for (int l = 0; l < kIntLanes; ++l) total += both[l];
  return total;
#endif
}

// Adds `step` where the bit is set and subtracts it elsewhere.
inline void add_signs(const std::uint64_t* bits, std::int32_t step, std::int32_t* numbers,
                      std::ptrdiff_t words) {
#if defined(__AVX512F__)
  const __m512i up = _mm512_set1_epi32(step), twice = _mm512_set1_epi32(2 * step);
  for_lanes(bits, words, [&](std::ptrdiff_t first, __mmask16 chosen) {
    const __m512i low = _mm512_sub_epi32(_mm512_loadu_si512(numbers + first), up);
    _mm512_storeu_si512(numbers + first, _mm512_mask_add_epi32(low, chosen, low, twice));
  });
#else
  for_lanes(bits, words, [&](std::ptrdiff_t first, Ints chosen) {
    const Ints moved = load_as<Ints>(numbers + first) + ((2 * step & chosen) - step);
    std::memcpy(numbers + first, &moved, sizeof moved);
  });
#endif
}

std::ptrdiff_t sweep(const SignSweep& s) {
  std::ptrdiff_t changed = 0;
  for (std::ptrdiff_t a = 0; a < s.count; ++a) {
    const std::int32_t k = s.order[a];
    const std::uint64_t* column = s.columns + k * s.column_words;
    // Plus the chosen ones, minus the others; the field itself is within 32 bits.
    const auto field = static_cast<std::int32_t>(
        2 * chosen_sum(column, s.overlaps, s.column_words) - static_cast<std::uint32_t>(*s.total));
    std::uint64_t& word = s.state[k / 64];
    const std::uint64_t bit = std::uint64_t{1} << (k % 64);
    const bool positive = (word & bit) != 0;
    if (positive ? field > s.fall[k] : field < s.rise[k]) continue;
    word ^= bit;
    const std::int32_t step = positive ? -2 : 2;
    add_signs(column, step, s.overlaps, s.column_words);
    *s.total += step * s.column_sums[k];
    ++changed;
  }
  return changed;
}

}  // namespace

const BinaryKernels binary = {kGroup,      kGroups,    kTableSize, kSplitBytes, differences,
                              make_tables, add_fields, decide,     sweep};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
