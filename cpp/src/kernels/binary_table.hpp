// The kernels of networks of signs of one instruction-set level, see hopfix/binary_hopfield.hpp.
//
// A sign is a bit, set for +1. All sums are of integers, so they are exact in any order.
//
// Fields Sum_i m_i x_i of integers m_i and signs x_i are 2 Sum_{x_i = 1} m_i - Sum_i m_i. The first
// sum comes from tables: a few patterns make a group, the sums of the subsets of a group are
// tabulated once a state, and a component looks its sum up by the bits that the patterns of the
// group have there. An index word of a component holds those of several groups; the words of
// kFieldLanes components lie together, see `split_bytes`.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hopfix::kernels {

// Patterns whose words are interleaved: word w of pattern r of a block is block[w * kSignRows + r].
inline constexpr std::ptrdiff_t kSignRows = 8;
// Components in a chunk, and so the multiple to which the bits of a state are padded with zeros.
inline constexpr std::ptrdiff_t kFieldLanes = 128;
inline constexpr std::ptrdiff_t kChunkWords = kFieldLanes / 64;

// Components of a chunk to update one after the other. A change of component a moves the fields of
// all by couplings[a * kFieldLanes ...], 2 Sum_i x_ia x_ik, which are there where `known` has a
// bit.
struct SignChunk {
  std::int32_t* fields;
  const std::int32_t *rise, *fall;  // as in decide
  std::uint64_t* state;
  const std::uint64_t* known;
  const std::int32_t* couplings;
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
  // sums[w] = the sum of the absolute values of the numbers of index word w. Returns the sum of all
  // `words` words of numbers, modulo 2^32.
  std::uint32_t (*magnitudes)(const std::int32_t* numbers, std::ptrdiff_t words,
                              std::int32_t* sums);
  // The tables of `count` groups of numbers, whose sums are within 16 bits.
  void (*make_tables)(const std::int32_t* numbers, std::ptrdiff_t count, std::int16_t* tables);
  // fields[k] += base + 2^shift times the sum over `words` index words of what their tables hold;
  // |sum| < 2^15. For the components of one chunk.
  void (*add_fields)(const std::uint16_t* planes, const std::int16_t* tables, std::ptrdiff_t words,
                     int shift, std::uint32_t base, std::int32_t* fields);
  // row[k] = twice the sum of x_ik x_i,lane over the patterns i of the index words of a chunk, the
  // last `padding` of which are none.
  void (*couple)(const std::uint16_t* planes, std::ptrdiff_t words, std::ptrdiff_t lane,
                 std::ptrdiff_t padding, std::int32_t* row);
  // The signs of one chunk after an update: -1 becomes +1 where field >= rise, +1 becomes -1 where
  // field <= fall.
  void (*decide)(const std::int32_t* fields, const std::int32_t* rise, const std::int32_t* fall,
                 const std::uint64_t* state, std::uint64_t* next);
  // Updates component `first` of the chunk and those after it, in turn. Returns the first one that
  // changes but whose couplings are not known, to go on there; kFieldLanes at the end.
  std::ptrdiff_t (*settle)(const SignChunk& chunk, std::ptrdiff_t first);
  // Adds 2 to number i for every sign +1, and -2 for every -1, that the first `rises` columns of
  // signs have at i; the other columns up to `count` the opposite. `words` words a column.
  void (*add_columns)(const std::uint64_t* const* columns, std::ptrdiff_t rises,
                      std::ptrdiff_t count, std::ptrdiff_t words, std::int32_t* numbers);
};

}  // namespace hopfix::kernels
