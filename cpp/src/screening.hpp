// Rigorous short lists of the patterns that can carry weight, for every query of a batch.
//
// Let m be the largest logit at a state xi. A pattern with z_i < m - margin at xi has, at any
// state within `reach` of xi, a weight below exp(2 beta radius reach - margin), where all patterns
// lie within `radius` of some centre: the difference of two logits changes by at most
// beta |x_i - x_j| times the distance moved. With margin = tolerance + 2 beta radius reach and
// n exp(-tolerance) below rounding, what the list leaves out cannot be seen in that ball
// (the idea of Elkan's and Hamerly's bounds for k-means).
//
// The weight of what a list leaves out at xi itself is bounded by the sum over all other groups of
// kScreenRows exp(largest logit - m): far less than n exp(-margin).
//
// Lists consist of whole groups of neighbouring patterns, those whose largest logit in 16-bit
// fixed point is within the margin and twice its error bound of the largest of all.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "quantized.hpp"
#include "tile_pass.hpp"

namespace hopfix {

// Groups of kernels::kScreenRows neighbouring patterns, ascending.
using GroupList = std::vector<std::int32_t>;

// What screening says of one query.
struct Shortlist {
  GroupList groups;         // of the wide margin, if those are at most so many; else of the narrow
  std::ptrdiff_t wide = 0;  // how many groups are within the wide margin
  bool is_wide = false;
  double beyond_narrow = 0;  // a bound of all the weight beyond the narrow margin
};

class Screening {
 public:
  // Lists of the wide margin where they have at most `longest` groups, else of the narrow.
  Screening(const QuantizedPatterns& patterns, double wide, double narrow, std::ptrdiff_t longest,
            const Execution& execution)
      : patterns_(patterns),
        chunks_(patterns.size()),
        wide_(wide),
        narrow_(narrow),
        longest_(longest),
        execution_(execution) {}

  static std::ptrdiff_t groups_of(std::ptrdiff_t patterns) {
    return divide_up(patterns, kernels::kScreenRows);
  }

  std::ptrdiff_t groups() const { return groups_of(patterns_.size()); }

  // visit(query, its Shortlist, worker) for each of `queries` states, in parallel. Lists depend on
  // their query alone.
  template <class T, class Visit>
  void run(const T* states, std::ptrdiff_t queries, const Visit& visit) {
    const std::vector<Tile> tiles = cut(queries);
    const auto tile_count = static_cast<std::ptrdiff_t>(tiles.size());
    const auto visit_lists = [&](const Tile& tile, Work& work, int worker) {
      select(tile, work);
      for (std::ptrdiff_t b = 0; b < tile.count; ++b)
        visit(tile.first + b, work.lists[static_cast<std::size_t>(b)], worker);
    };
    if (execution_.threads > 1 && tile_count < 2 * execution_.threads && chunks_.count > 1) {
      // Few tiles, many patterns: the chunks are shared out.
      std::vector<Work> works(tiles.size());
      for (std::size_t t = 0; t < tiles.size(); ++t) quantize(states, tiles[t], works[t]);
      parallel_for(tile_count * chunks_.count, execution_, [&](std::ptrdiff_t i, int) {
        const auto t = static_cast<std::size_t>(i % tile_count);
        find_maxima(tiles[t], i / tile_count, works[t]);
      });
      parallel_for(tile_count, execution_, [&](std::ptrdiff_t t, int worker) {
        visit_lists(tiles[static_cast<std::size_t>(t)], works[static_cast<std::size_t>(t)], worker);
      });
      return;
    }
    std::vector<Work> works(static_cast<std::size_t>(std::max(1, execution_.threads)));
    parallel_for(tile_count, execution_, [&](std::ptrdiff_t t, int worker) {
      const Tile& tile = tiles[static_cast<std::size_t>(t)];
      Work& work = works[static_cast<std::size_t>(worker)];
      quantize(states, tile, work);
      for (std::ptrdiff_t c = 0; c < chunks_.count; ++c) find_maxima(tile, c, work);
      visit_lists(tile, work, worker);
    });
  }

 private:
  struct Tile {
    std::ptrdiff_t first, count;
    const kernels::ScreenKernels* kernels;
  };

  struct Work {
    AlignedArray<std::int16_t> rows, tile;
    AlignedArray<float> scale, error, maxima;
    std::vector<float> top, wide, narrow, beyond;
    std::vector<std::int32_t> count;
    std::vector<Shortlist> lists;
  };

  static std::vector<Tile> cut(std::ptrdiff_t queries) {
    const kernels::ScreenKernels* shapes = isa::table().screen;
    std::vector<Tile> tiles;
    for (std::ptrdiff_t first = 0; first < queries;) {
      const std::ptrdiff_t left = queries - first;
      const auto* shape = &shapes[left == 1 ? 0 : left <= 4 ? 1 : left <= shapes[2].lanes ? 2 : 3];
      tiles.push_back({first, std::min(shape->lanes, left), shape});
      first += tiles.back().count;
    }
    return tiles;
  }

  template <class T>
  void quantize(const T* states, const Tile& tile, Work& work) const {
    const std::ptrdiff_t lanes = tile.kernels->lanes, stride = patterns_.stride();
    work.rows.reserve(lanes * stride);
    work.tile.reserve(lanes * stride);
    work.scale.reserve(lanes);
    work.error.reserve(lanes);
    work.maxima.reserve(groups() * lanes);
    std::fill_n(work.scale.data(), lanes, 0.0f);
    std::fill_n(work.error.data(), lanes, 0.0f);
    for (std::ptrdiff_t b = 0; b < tile.count; ++b) {
      const auto scaling = patterns_.quantize(states + (tile.first + b) * patterns_.dim(),
                                              work.rows.data() + b * stride);
      work.scale[b] = scaling.scale;
      work.error[b] = scaling.error;
    }
    tile.kernels->pack(work.rows.data(), tile.count, stride, work.tile.data());
  }

  void find_maxima(const Tile& tile, std::ptrdiff_t chunk, Work& work) const {
    static_assert(kernels::kGroupRows % kernels::kScreenRows == 0);  // chunks are whole groups
    const std::ptrdiff_t first = chunks_.first(chunk);
    tile.kernels->group_maxima(
        patterns_.block(first, std::min(chunks_.rows, patterns_.size() - first)), work.tile.data(),
        work.scale.data(), work.maxima.data() + groups_of(first) * tile.kernels->lanes);
  }

  // Row by row of the maxima, as they lie in memory. What cannot be compared is listed.
  void select(const Tile& tile, Work& work) const {
    find_bounds(tile, work);
    const auto lanes = static_cast<std::size_t>(tile.kernels->lanes);
    const auto count = static_cast<std::size_t>(tile.count);
    work.lists.resize(lanes);
    // From here on `wide` is the bound of the list that is wanted.
    for (std::size_t b = 0; b < lanes; ++b) {
      Shortlist& list = work.lists[b];
      list.groups.clear();
      list.wide = work.count[b];
      list.is_wide = list.wide <= longest_;
      if (!list.is_wide) work.wide[b] = work.narrow[b];
      const auto error = static_cast<double>(work.error[static_cast<std::ptrdiff_t>(b)]);
      list.beyond_narrow =
          1.001 * kernels::kScreenRows * std::exp(2 * error) * static_cast<double>(work.beyond[b]);
    }
    const float* row = work.maxima.data();
    for (std::int32_t group = 0; group < groups(); ++group, row += lanes) {
      bool any = false;
      for (std::size_t b = 0; b < lanes; ++b) any |= !(row[b] < work.wide[b]);
      if (!any) continue;
      for (std::size_t b = 0; b < count; ++b)
        if (!(row[b] < work.wide[b])) work.lists[b].groups.push_back(group);
    }
  }

  // The least logits of both lists, how many groups the wide one has and what is beyond the narrow.
  void find_bounds(const Tile& tile, Work& work) const {
    const auto lanes = static_cast<std::size_t>(tile.kernels->lanes);
    const float* maxima = work.maxima.data();
    const float* end = maxima + static_cast<std::size_t>(groups()) * lanes;
    work.top.assign(maxima, maxima + lanes);
    for (const float* row = maxima; row != end; row += lanes)
      for (std::size_t b = 0; b < lanes; ++b) work.top[b] = std::max(work.top[b], row[b]);
    work.wide.assign(lanes, std::numeric_limits<float>::infinity());
    work.narrow = work.wide;
    for (std::size_t b = 0; b < static_cast<std::size_t>(tile.count); ++b) {
      const double error = 2.0 * static_cast<double>(work.error[static_cast<std::ptrdiff_t>(b)]);
      work.wide[b] = work.top[b] - static_cast<float>((wide_ + error) * 1.000001);
      work.narrow[b] = work.top[b] - static_cast<float>((narrow_ + error) * 1.000001);
    }
    work.beyond.assign(lanes, 0.0f);
    work.count.assign(lanes, 0);
    const float *top = work.top.data(), *wide = work.wide.data(), *narrow = work.narrow.data();
    float* beyond = work.beyond.data();
    std::int32_t* count = work.count.data();
    for (const float* row = maxima; row != end; row += lanes)
      for (std::size_t b = 0; b < lanes; ++b) {
        beyond[b] += row[b] < narrow[b] ? exp_above(row[b] - top[b]) : 0.0f;
        count[b] += row[b] < wide[b] ? 0 : 1;
      }
  }

  // At least exp(x) / 1.0001 and at most 1.07 exp(x), or 1e-38, for x <= 0: the chords of 2^y
  // between whole numbers y, by the layout of numbers in memory.
  static float exp_above(float x) {
    const float y = std::max(x * 1.442695f, -126.0f);
    const auto bits = static_cast<std::int32_t>((y + 127.0f) * 8388608.0f);
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }

  const QuantizedPatterns& patterns_;
  Chunks chunks_;
  double wide_, narrow_;
  std::ptrdiff_t longest_;
  Execution execution_;
};

}  // namespace hopfix
