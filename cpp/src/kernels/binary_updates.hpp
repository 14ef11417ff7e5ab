// Updates of signs by their fields, of one instruction-set level.
#pragma once

#include "binary_table.hpp"
#include "simd.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

typedef std::int32_t Ints __attribute__((vector_size(HOPFIX_VECTOR_BYTES)));
typedef std::int8_t Tinies __attribute__((vector_size(HOPFIX_VECTOR_BYTES)));
inline constexpr int kIntLanes = HOPFIX_VECTOR_BYTES / 4, kTinyLanes = HOPFIX_VECTOR_BYTES;

template <class V, class T>
inline V load_as(const T* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

#if !defined(__AVX512F__)
// The sign bits of the numbers.
inline std::uint64_t bits_of(Ints v) {
#if defined(__AVX2__)
  return static_cast<std::uint64_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(v)));
#elif defined(HOPFIX_X86_64)
  return static_cast<std::uint64_t>(_mm_movemask_ps(reinterpret_cast<__m128>(v)));
#else
  std::uint64_t bits = 0;
  for (int l = 0; l < kIntLanes; ++l) bits |= static_cast<std::uint64_t>(v[l] & 1) << l;
  return bits;
#endif
}
#endif

// The fields of 64 components, in registers.
class Fields64 {
 public:
  explicit Fields64(const std::int32_t* fields) {
    for (int v = 0; v < kVectors; ++v) fields_[v] = load_as<Ints>(fields + v * kIntLanes);
  }
  void store(std::int32_t* fields) const { std::memcpy(fields, fields_, sizeof fields_); }

  // Adds the row, or subtracts it where `minus` is -1 instead of 0.
  void add(const std::int32_t* row, std::int32_t minus) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v)
      fields_[v] += (load_as<Ints>(row + v * kIntLanes) ^ minus) - minus;
  }

  // Bit k: whether the field is >= rise[k] where component k of the state is -1, or <= fall[k]
  // where it is +1.
  std::uint64_t changes(const std::int32_t* rise, const std::int32_t* fall,
                        std::uint64_t state) const {
    std::uint64_t rises = 0, falls = 0;
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      const int k = v * kIntLanes;
#if defined(__AVX512F__)
      const auto field = reinterpret_cast<__m512i>(fields_[v]);
      const std::uint64_t up = _mm512_cmpge_epi32_mask(field, _mm512_loadu_si512(rise + k));
      const std::uint64_t down = _mm512_cmple_epi32_mask(field, _mm512_loadu_si512(fall + k));
#else
      const std::uint64_t up = bits_of(fields_[v] >= load_as<Ints>(rise + k));
      const std::uint64_t down = bits_of(fields_[v] <= load_as<Ints>(fall + k));
#endif
      rises |= up << k;
      falls |= down << k;
    }
    return (state & falls) | (~state & rises);
  }

 private:
  static constexpr int kVectors = 64 / kIntLanes;
  Ints fields_[kVectors];
};

inline void decide(const std::int32_t* fields, const std::int32_t* rise, const std::int32_t* fall,
                   const std::uint64_t* state, std::uint64_t* next) {
  for (std::ptrdiff_t w = 0; w < kChunkWords; ++w)
    next[w] = state[w] ^ Fields64(fields + 64 * w).changes(rise + 64 * w, fall + 64 * w, state[w]);
}

inline std::ptrdiff_t settle(const SignChunk& chunk, std::ptrdiff_t first) {
  static_assert(kChunkWords == 2, "a change in the first word moves the fields of the second");
  for (std::ptrdiff_t w = first / 64; w < kChunkWords; ++w) {
    const std::ptrdiff_t here = 64 * w;
    Fields64 fields(chunk.fields + here);
    std::uint64_t state = chunk.state[w];
    std::uint64_t ahead = ~std::uint64_t{0} << (first > here ? first - here : 0);
    for (;;) {
      const std::uint64_t changing =
          ahead & fields.changes(chunk.rise + here, chunk.fall + here, state);
      if (changing == 0) break;
      const int bit = __builtin_ctzll(changing);
      if ((chunk.known[w] >> bit & 1) == 0) {
        fields.store(chunk.fields + here);
        chunk.state[w] = state;
        return here + bit;
      }
      const std::int32_t* row = chunk.couplings + (here + bit) * kFieldLanes;
      const std::int32_t minus = -static_cast<std::int32_t>(state >> bit & 1);
      fields.add(row + here, minus);
      if (w == 0) {
        Fields64 behind(chunk.fields + 64);
        behind.add(row + 64, minus);
        behind.store(chunk.fields + 64);
      }
      state ^= std::uint64_t{1} << bit;
      ahead = ~std::uint64_t{1} << bit;
    }
    fields.store(chunk.fields + here);
    chunk.state[w] = state;
  }
  return kFieldLanes;
}

// Adds 1 to the counts whose bit is set.
inline Tinies count_bits_of(Tinies counts, const unsigned char* bits) {
#if defined(__AVX512F__)
  std::uint64_t word;
  std::memcpy(&word, bits, sizeof word);
  const auto c = reinterpret_cast<__m512i>(counts);
  return reinterpret_cast<Tinies>(_mm512_mask_add_epi8(c, word, c, _mm512_set1_epi8(1)));
#else
  Tinies spread, own;
#if defined(__AVX2__)
  std::int32_t word;
  std::memcpy(&word, bits, sizeof word);
  const __m256i byte =
      _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  spread = reinterpret_cast<Tinies>(_mm256_shuffle_epi8(_mm256_set1_epi32(word), byte));
#elif defined(HOPFIX_X86_64)
  std::int16_t word;
  std::memcpy(&word, bits, sizeof word);
  const __m128i byte = _mm_set_epi64x(0x0101010101010101, 0);
  spread = reinterpret_cast<Tinies>(_mm_shuffle_epi8(_mm_set1_epi16(word), byte));
#else
  for (int l = 0; l < kTinyLanes; ++l) spread[l] = static_cast<std::int8_t>(bits[l / 8]);
#endif
  for (int l = 0; l < kTinyLanes; ++l) own[l] = static_cast<std::int8_t>(1 << (l % 8));
  return counts - ((spread & own) == own);
#endif
}

inline void add_columns(const std::uint64_t* const* columns, std::ptrdiff_t rises,
                        std::ptrdiff_t count, std::ptrdiff_t words, std::int32_t* numbers) {
  static_assert(kFieldLanes <= 128, "counts have eight bits");
  const auto excess = static_cast<std::int32_t>(2 * (count - 2 * rises));
  for (std::ptrdiff_t byte = 0; byte < 8 * words; byte += kTinyLanes / 8) {
    Tinies up = {}, down = {};
    const auto at = [&](std::ptrdiff_t c) {
      return reinterpret_cast<const unsigned char*>(columns[c]) + byte;
    };
    for (std::ptrdiff_t c = 0; c < rises; ++c) up = count_bits_of(up, at(c));
    for (std::ptrdiff_t c = rises; c < count; ++c) down = count_bits_of(down, at(c));
    std::int32_t* to = numbers + 8 * byte;
    // A bit is worth 2 - (-2).
    for (int l = 0; l < kTinyLanes; ++l)
      to[l] += 4 * (static_cast<std::uint8_t>(up[l]) - static_cast<std::uint8_t>(down[l])) + excess;
  }
}

}  // namespace hopfix::kernels::HOPFIX_LEVEL
