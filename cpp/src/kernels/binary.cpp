// Networks of signs, of one instruction-set level: overlaps by counting bits, fields by tables.
#include "binary_updates.hpp"
#include "level.hpp"
#include "simd.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

namespace {

using Words = Bits<double>;
constexpr int kWordLanes = kLanes<double>;

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

constexpr int kPerWord = kGroup * kGroups;

std::uint32_t magnitudes(const std::int32_t* numbers, std::ptrdiff_t words, std::int32_t* sums) {
#if defined(__AVX512F__)
  __m512i total = {};
  for (std::ptrdiff_t w = 0; w < words; ++w) {
    const __m512i word = _mm512_maskz_loadu_epi32((1 << kPerWord) - 1, numbers + w * kPerWord);
    total = _mm512_add_epi32(total, word);
    sums[w] = _mm512_reduce_add_epi32(_mm512_abs_epi32(word));
  }
  return static_cast<std::uint32_t>(_mm512_reduce_add_epi32(total));
#else
  std::uint32_t total = 0;
  for (std::ptrdiff_t w = 0; w < words; ++w) {
    sums[w] = 0;
    for (std::ptrdiff_t i = w * kPerWord; i < (w + 1) * kPerWord; ++i) {
      total += static_cast<std::uint32_t>(numbers[i]);
      sums[w] += numbers[i] < 0 ? -numbers[i] : numbers[i];
    }
  }
  return total;
#endif
}

// sums[p] = the sum of the numbers for which p has a bit.
inline void tabulate(const std::int32_t* numbers, std::int16_t* sums) {
#if defined(__AVX512F__)
  constexpr __mmask32 chosen[kGroup] = {0xaaaaaaaa, 0xcccccccc, 0xf0f0f0f0, 0xff00ff00, 0xffff0000};
  __m512i sum = {};
#pragma GCC unroll 5
  for (int j = 0; j < kGroup; ++j)
    sum = _mm512_mask_add_epi16(sum, chosen[j], sum,
                                _mm512_set1_epi16(static_cast<std::int16_t>(numbers[j])));
  _mm512_storeu_si512(sums, sum);
#else
  sums[0] = 0;
  for (int j = 0; j < kGroup; ++j)
    for (int p = 0; p < 1 << j; ++p)
      sums[p + (1 << j)] = static_cast<std::int16_t>(sums[p] + numbers[j]);
#endif
}

// As the look-up of this level reads it.
constexpr void put_table(const std::int16_t* sums, std::int16_t* table) {
  for (int p = 0; p < kTableSize; ++p)
    if constexpr (!kSplitBytes) {
      table[p] = sums[p];
    } else if (p % 2 == 0) {
      const int low = (sums[p] & 0xff) | (sums[p + 1] & 0xff) << 8;
      const int high = (sums[p] >> 8 & 0xff) | (sums[p + 1] & 0xff00);
      table[p / 2] = static_cast<std::int16_t>(low);
      table[(kTableSize + p) / 2] = static_cast<std::int16_t>(high);
    }
}

void make_tables(const std::int32_t* numbers, std::ptrdiff_t count, std::int16_t* tables) {
  for (std::ptrdiff_t g = 0; g < count; ++g, numbers += kGroup, tables += kTableSize) {
    std::int16_t sums[kTableSize];
    tabulate(numbers, sums);
    put_table(sums, tables);
  }
}

// The tables of the numbers of a state.
struct StateTables {
  const std::int16_t* tables;
  const std::int16_t* operator()(std::ptrdiff_t w, int g) const {
    return tables + (w * kGroups + g) * kTableSize;
  }
};

// Table q: the sums of x_i y_i over a group where the signs y are those of q.
struct UnitTables {
  alignas(64) std::int16_t tables[kTableSize][kTableSize] = {};
  constexpr UnitTables() {
    for (int q = 0; q < kTableSize; ++q) {
      std::int16_t sums[kTableSize] = {};
      for (int p = 0; p < kTableSize; ++p) {
        sums[p] = kGroup;
        for (int j = 0; j < kGroup; ++j)
          sums[p] = static_cast<std::int16_t>(sums[p] - 2 * ((p ^ q) >> j & 1));
      }
      put_table(sums, tables[q]);
    }
  }
};
constexpr UnitTables kUnits;

// The unit tables of the signs of one component.
class ComponentTables {
 public:
  ComponentTables(const std::uint16_t* planes, std::ptrdiff_t lane)
      : planes_(planes), lane_(lane) {}
  const std::int16_t* operator()(std::ptrdiff_t w, int g) const {
    return kUnits.tables[index(w) >> (g * kGroup) & (kTableSize - 1)];
  }

 private:
  int index(std::ptrdiff_t w) const {
    const std::uint16_t* words = planes_ + w * kFieldLanes;
    if constexpr (!kSplitBytes) return words[lane_];
    const auto* bytes = reinterpret_cast<const unsigned char*>(words);
    return bytes[lane_] | bytes[kFieldLanes + lane_] << 8;
  }

  const std::uint16_t* planes_;
  std::ptrdiff_t lane_;
};

void widen_and_add(const std::int16_t* sums, int shift, std::uint32_t base, std::int32_t* fields) {
  // Shifted without sign, where the whole sum may pass the range of its parts on its way.
  for (std::ptrdiff_t k = 0; k < kFieldLanes; ++k)
    fields[k] = static_cast<std::int32_t>(
        static_cast<std::uint32_t>(fields[k]) + base +
        (static_cast<std::uint32_t>(static_cast<std::int32_t>(sums[k])) << shift));
}

// sums[k] = what component k finds in the tables of its index words.
#if defined(__AVX512F__)

template <class Tables>
void look_up_sums(const std::uint16_t* planes, const Tables& table_of, std::ptrdiff_t words,
                  std::int16_t* sums) {
  constexpr int vectors = kFieldLanes / 32;
  __m512i sum[vectors] = {};
  for (std::ptrdiff_t w = 0; w < words; ++w) {
    __m512i index[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v)
      index[v] = _mm512_loadu_si512(planes + w * kFieldLanes + v * 32);
#pragma GCC unroll 3
    for (int g = 0; g < kGroups; ++g) {
      const __m512i table = _mm512_loadu_si512(table_of(w, g));
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        sum[v] = _mm512_add_epi16(sum[v], _mm512_permutexvar_epi16(index[v], table));
        if (g + 1 < kGroups) index[v] = _mm512_srli_epi16(index[v], kGroup);
      }
    }
  }
  for (int v = 0; v < vectors; ++v) _mm512_storeu_si512(sums + v * 32, sum[v]);
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

  void add(Bytes index, const std::int16_t* sums) {
    const auto* table = reinterpret_cast<const unsigned char*>(sums);
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

template <class Tables>
void look_up_sums(const std::uint16_t* planes, const Tables& table_of, std::ptrdiff_t words,
                  std::int16_t* sums) {
  constexpr int kSides = 2;  // vectors side by side hide the latency of the sums
  for (std::ptrdiff_t first = 0; first < kFieldLanes; first += kSides * kByteLanes) {
    ByteSums side[kSides];
    for (std::ptrdiff_t half = 0; half < 2 * words; ++half) {
      const auto* index = reinterpret_cast<const unsigned char*>(planes) + half * kFieldLanes;
      const int g = 2 * static_cast<int>(half % 2);
      const std::int16_t *low = table_of(half / 2, g), *high = table_of(half / 2, g + 1);
#pragma GCC unroll 2
      for (int s = 0; s < kSides; ++s) {
        const auto both = load_as<Bytes>(index + first + s * kByteLanes);
        side[s].add(low_nibbles(both), low);
        side[s].add(high_nibbles(both), high);
      }
    }
    for (int s = 0; s < kSides; ++s) side[s].put(sums + first + s * kByteLanes);
  }
}

#else

template <class Tables>
void look_up_sums(const std::uint16_t* planes, const Tables& table_of, std::ptrdiff_t words,
                  std::int16_t* sums) {
  for (std::ptrdiff_t k = 0; k < kFieldLanes; ++k) sums[k] = 0;
  for (std::ptrdiff_t w = 0; w < words; ++w)
    for (std::ptrdiff_t k = 0; k < kFieldLanes; ++k)
      for (int g = 0; g < kGroups; ++g) {
        const int index = planes[w * kFieldLanes + k] >> (g * kGroup) & (kTableSize - 1);
        sums[k] = static_cast<std::int16_t>(sums[k] + table_of(w, g)[index]);
      }
}

#endif

void add_fields(const std::uint16_t* planes, const std::int16_t* tables, std::ptrdiff_t words,
                int shift, std::uint32_t base, std::int32_t* fields) {
  std::int16_t sums[kFieldLanes];
  look_up_sums(planes, StateTables{tables}, words, sums);
  widen_and_add(sums, shift, base, fields);
}

void couple(const std::uint16_t* planes, std::ptrdiff_t words, std::ptrdiff_t lane,
            std::ptrdiff_t padding, std::int32_t* row) {
  constexpr std::ptrdiff_t kMostWords = 2000;  // whose sums are within 16 bits
  for (std::ptrdiff_t k = 0; k < kFieldLanes; ++k) row[k] = static_cast<std::int32_t>(-2 * padding);
  for (std::ptrdiff_t w = 0; w < words; w += kMostWords) {
    const std::uint16_t* part = planes + w * kFieldLanes;
    std::int16_t sums[kFieldLanes];
    const std::ptrdiff_t here = words - w < kMostWords ? words - w : kMostWords;
    look_up_sums(part, ComponentTables(part, lane), here, sums);
    widen_and_add(sums, 1, 0, row);
  }
}

}  // namespace

const BinaryKernels binary = {kGroup,      kGroups,    kTableSize,  kSplitBytes,
                              differences, magnitudes, make_tables, add_fields,
                              couple,      decide,     settle,      add_columns};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
