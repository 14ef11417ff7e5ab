// The binary Hopfield network (Hopfield 1982) with Hebbian weights, in exact integer arithmetic:
//
//   W = Sum_i x_i x_i^T (unscaled; with zero_diagonal its diagonal, n, is taken off)
//   xi <- sgn(W xi - b), where sgn(0) keeps the component     E(xi) = -xi^T W xi / 2 + b^T xi
//
// W is never formed: overlaps m_i = x_i . xi come from counting the bits in which words differ, and
// fields Sum_i m_i x_i from tables (src/kernels/binary_table.hpp). O(n dim / 64 + n dim / 5) word
// operations of 512 bits over 32 components a step. A sweep of asynchronous updates looks fields up
// chunk by chunk (of 128 components), at the same cost; a chunk in which something changes takes
// O(n) more for new tables, and O(128) a change. Memory: three arrangements of the n x dim bits; of
// a sweep, up to 8 MiB of rows of W a thread. Every field is the exact integer and its comparison
// with b exact, so that results do not depend on batch, threads or instruction-set level.
//
// States are rows of words() 64-bit words: component k is bit k % 64 of word k / 64, set for +1;
// bits from dim on are zero.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hopfix/parallel.hpp"

namespace hopfix {

using SignWords = std::vector<std::uint64_t>;

// Words of a state of `dim` components.
std::ptrdiff_t sign_words(std::ptrdiff_t dim);

// words (count x sign_words(dim)) := the signs of rows (count x dim). Returns the index of the
// first number that is neither -1 nor 1, or -1.
template <class T>
std::ptrdiff_t pack_signs(const T* rows, std::ptrdiff_t count, std::ptrdiff_t dim,
                          std::uint64_t* words, const Execution& execution);

// rows (count x dim) := -1 or 1.
template <class T>
void unpack_signs(const std::uint64_t* words, std::ptrdiff_t count, std::ptrdiff_t dim, T* rows,
                  const Execution& execution);

// What a query ended in. With k-th state the one after k updates (or sweeps): `steps` is the least
// k such that state k + period equals state k, and `states` holds that state. Where there is no
// such k <= max_steps, steps = max_steps and period = 0.
struct BinaryRetrieval {
  SignWords states;
  std::vector<std::int64_t> steps;
  std::vector<std::uint8_t> period;
};

enum class SweepOrder { cyclic, random };

class BinaryNetwork {
 public:
  // patterns: n x sign_words(dim); bias: dim finite numbers, or nullptr for 0. n, dim >= 1.
  // Throws std::length_error unless n (dim + 1) < 2^31 - 2, the range of the fields.
  BinaryNetwork(const std::uint64_t* patterns, std::ptrdiff_t n, std::ptrdiff_t dim,
                const double* bias, bool zero_diagonal);

  std::ptrdiff_t size() const { return n_; }
  std::ptrdiff_t dim() const { return dim_; }
  std::ptrdiff_t words() const { return words_; }

  // The patterns, n x words.
  SignWords patterns() const;

  // out (count x words) = one synchronous update.
  void update(const std::uint64_t* states, std::ptrdiff_t count, std::uint64_t* out,
              const Execution& execution) const;

  // out (count). The quadratic part is exact up to 2^53 and rounded once beyond.
  void energy(const std::uint64_t* states, std::ptrdiff_t count, double* out,
              const Execution& execution) const;

  // Synchronous updates to a fixed point or a cycle of two states. As W + epsilon I with a small
  // epsilon > 0 gives the same updates and never a field of zero, every query ends in one of both
  // (Goles and Olivos 1981). At most max_steps + 2 updates.
  BinaryRetrieval retrieve_synchronous(const std::uint64_t* states, std::ptrdiff_t count,
                                       std::int64_t max_steps, const Execution& execution) const;

  // Sweeps over all components to a fixed point, which every query reaches: a change lowers the
  // energy, as w_kk >= 0. A random order is drawn anew for every sweep, from the seed and the
  // number of the sweep alone (sweep_order), so it is the same for all queries. At most max_steps
  // sweeps, and one update for the test.
  BinaryRetrieval retrieve_asynchronous(const std::uint64_t* states, std::ptrdiff_t count,
                                        std::int64_t max_steps, SweepOrder order,
                                        std::uint64_t seed, const Execution& execution) const;

 private:
  // With ids, states ids[0], ids[1], ... alone; they keep their places.
  void update_rows(const std::uint64_t* states, const std::ptrdiff_t* ids, std::ptrdiff_t count,
                   std::uint64_t* out, const Execution& execution) const;
  Execution within_reason(std::ptrdiff_t count, const Execution& execution) const;
  // overlaps[i] = x_i . state, rounded up to a whole block of patterns.
  void find_overlaps(const std::uint64_t* state, std::int32_t* overlaps) const;
  // planes = the index words of the components in this order, chunk by chunk, as the kernels read
  // them.
  void plan(const std::vector<std::int32_t>& order, std::vector<std::uint16_t>& planes) const;
  class Tile;
  class SweepPlan;
  class Sweeper;
  class SweepTiles;

  std::ptrdiff_t n_, dim_, words_;
  bool zero_diagonal_;
  std::vector<double> bias_;  // empty: 0
  SignWords blocks_;          // rows of kSignRows patterns, their words interleaved
  SignWords columns_;         // dim x column words, and one more
  std::vector<std::uint16_t> planes_;
  std::vector<std::int32_t> rise_, fall_;
};

// The components in the order of sweep `sweep` (0, 1, ...): a shuffle by Fisher and Yates, from the
// last place down, of numbers drawn without bias (Lemire 2019) from SplitMix64, which starts at
// mix(seed) + sweep, mix its output function.
std::vector<std::int32_t> sweep_order(std::ptrdiff_t dim, std::uint64_t seed, std::int64_t sweep);

}  // namespace hopfix
