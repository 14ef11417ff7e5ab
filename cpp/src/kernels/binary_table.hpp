// The kernels of networks of signs of one instruction-set level, see hopfix/binary_hopfield.hpp.
//
// A sign is a bit, set for +1. All sums are of integers, so they are exact in any order.
//
// Fields Sum_i m_i x_i of integers m_i and signs x_i come from tables: a few patterns make a group,
// the sums +-m_i +-... of a group are tabulated once a state, and a component looks its sum up by
// the bits that the patterns of the group have there. An index word of a component holds those of
// several groups; the words of kFieldLanes components lie together, see `split_bytes`.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hopfix::kernels {

// Patterns whose words are interleaved: word w of pattern r of a block is block[w * kSignRows + r].
inline constexpr std::ptrdiff_t kSignRows = 8;
// Components in a chunk, and so the multiple to which the bits of a state are padded with zeros.
inline constexpr std::ptrdiff_t kFieldLanes = 128;
inline constexpr std::ptrdiff_t kChunkWords = kFieldLanes / 64;

// One sweep of asynchronous updates of one state.
struct SignSweep {
  const std::uint64_t* columns;  // bits of component k in all patterns: column_words each
  std::ptrdiff_t column_words;
  const std::int32_t* column_sums;  // sum_i x_ik
  const std::int32_t *rise, *fall;  // as in decide
  const std::int32_t* order;        // components, in the order of their updates
  std::ptrdiff_t count;
  std::uint64_t* state;
  std::int32_t* overlaps;  // x_i . state, kept up to date; 64 * column_words numbers, any beyond n
  std::int32_t* total;     // their sum over i < n
};

struct BinaryKernels {
  // Patterns per group, groups per index word (the first ones in its low bits), and numbers of 16
  // bits that a table takes.
  std::ptrdiff_t group, groups, table_size;
  // Whether the low bytes of the index words of a chunk lie together, then the high bytes.
  bool split_bytes;

  // differing[r] = the number of bits in which pattern r of the block and the state differ.
  void (*differences)(const std::uint64_t* block, std::ptrdiff_t words, const std::uint64_t* state,
                      std::int32_t* differing);
  // The tables of `count` groups of numbers.
  void (*make_tables)(const std::int16_t* numbers, std::ptrdiff_t count, std::int16_t* tables);
  // fields[k] += 2^shift times the sum over `words` index words of what their tables hold; |sum|
  // < 2^15. For the components of one chunk.
  void (*add_fields)(const std::uint16_t* planes, const std::int16_t* tables, std::ptrdiff_t words,
                     int shift, std::int32_t* fields);
  // The signs of one chunk after an update: -1 becomes +1 where field >= rise, +1 becomes -1 where
  // field <= fall.
  void (*decide)(const std::int32_t* fields, const std::int32_t* rise, const std::int32_t* fall,
                 const std::uint64_t* state, std::uint64_t* next);
  // Returns the number of components that changed.
  std::ptrdiff_t (*sweep)(const SignSweep& sweep);
};

}  // namespace hopfix::kernels
