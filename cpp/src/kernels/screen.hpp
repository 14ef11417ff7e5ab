// Which patterns can carry weight: those with logits within a margin of the largest.
#pragma once

#include "softmax_tile.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

// Bit l is set where x[l] >= y[l].
inline unsigned at_least(Vec<float> x, Vec<float> y) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask(x, y, _CMP_GE_OQ);
#elif defined(__AVX2__)
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(x, y, _CMP_GE_OQ)));
#else
  unsigned bits = 0;
  for (int l = 0; l < kLanes<float>; ++l) bits |= static_cast<unsigned>(x[l] >= y[l]) << l;
  return bits;
#endif
}

inline unsigned at_least(Vec<double> x, Vec<double> y) {
#if defined(__AVX512F__)
  return _mm512_cmp_pd_mask(x, y, _CMP_GE_OQ);
#elif defined(__AVX2__)
  return static_cast<unsigned>(_mm256_movemask_pd(_mm256_cmp_pd(x, y, _CMP_GE_OQ)));
#else
  unsigned bits = 0;
  for (int l = 0; l < kLanes<double>; ++l) bits |= static_cast<unsigned>(x[l] >= y[l]) << l;
  return bits;
#endif
}

template <class Shape>
struct Screen {
  using T = typename Shape::Scalar;
  using Tile = SoftmaxTile<Shape>;
  static constexpr std::ptrdiff_t W = kLanes<T>;

  static void note(const T* z, std::ptrdiff_t at, unsigned bits, std::ptrdiff_t first,
                   const Candidates<T>& found) {
    for (; bits != 0; bits &= bits - 1) {
      const std::ptrdiff_t place = at + __builtin_ctz(bits);
      const std::ptrdiff_t lane = place % Shape::lanes;
      Candidate<T>& entry = found.entries[lane * found.capacity + found.counts[lane]++];
      entry.index = static_cast<std::int32_t>(first + place / Shape::lanes);
      entry.logit = z[place];
    }
  }

  // Whole vectors of the flat array of logits, then the rest one by one.
  static void note_group(const T* z, std::ptrdiff_t count, const T* bound, std::ptrdiff_t first,
                         const Candidates<T>& found) {
    std::ptrdiff_t at = 0, v = 0;
    for (; at + W <= count; at += W, v = v + 1 == Tile::period ? 0 : v + 1)
      note(z, at, at_least(load(z + at), load(bound + v * W)), first, found);
    for (; at < count; ++at) note(z, at, z[at] >= bound[at % Tile::width], first, found);
  }

  static void screen(const PatternBlock<T>& block, const T* queries, T margin, T* running_max,
                     const Candidates<T>& found, T* scratch) {
    for (std::ptrdiff_t first = 0; first < block.count; first += kGroupRows) {
      const std::ptrdiff_t rows = least(kGroupRows, block.count - first);
      Tile::logits(block, first, rows, queries, scratch);
      Tile::raise_max(scratch, rows * Shape::lanes, running_max);
      T bound[Tile::width];
      for (std::ptrdiff_t l = 0; l < Tile::width; l += W)
        store(bound + l, load(running_max + l) - broadcast(margin));
      note_group(scratch, rows * Shape::lanes, bound, first, found);
    }
  }
};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
