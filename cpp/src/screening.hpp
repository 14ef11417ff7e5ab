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
#include <vector>

#include "quantized.hpp"
#include "tile_pass.hpp"

namespace hopfix {

// Groups of kernels::kScreenRows neighbouring patterns, ascending.
using GroupList = std::vector<std::int32_t>;

// What screening says of one query: lists of two margins, and a bound of all the weight that the
// patterns beyond the narrow one carry.
struct Shortlists {
  GroupList wide, narrow;
  double beyond_narrow = 0;
};

class Screening {
 public:
  // Lists of two margins: narrow <= wide.
  Screening(const QuantizedPatterns& patterns, double wide, double narrow,
            const Execution& execution)
      : patterns_(patterns),
        chunks_(patterns.size()),
        wide_(wide),
        narrow_(narrow),
        execution_(execution) {}

  std::ptrdiff_t groups() const { return groups_before(patterns_.size()); }

  // visit(query, its Shortlists, worker) for each of `queries` states, in parallel. Lists depend
  // on their query alone.
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
    std::vector<Shortlists> lists;
  };

  static std::ptrdiff_t groups_before(std::ptrdiff_t pattern) {
    return divide_up(pattern, kernels::kScreenRows);
  }

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
        work.scale.data(), work.maxima.data() + groups_before(first) * tile.kernels->lanes);
  }

  // Row by row of the maxima, as they lie in memory. What cannot be compared is listed.
  void select(const Tile& tile, Work& work) const {
    const auto lanes = static_cast<std::size_t>(tile.kernels->lanes);
    const auto count = static_cast<std::size_t>(tile.count);
    const float* maxima = work.maxima.data();
    const float* end = maxima + static_cast<std::size_t>(groups()) * lanes;
    work.top.assign(maxima, maxima + lanes);
    for (const float* row = maxima; row != end; row += lanes)
      for (std::size_t b = 0; b < lanes; ++b) work.top[b] = std::max(work.top[b], row[b]);
    work.wide.resize(lanes);
    work.narrow.resize(lanes);
    // Lanes without a query have no group below their maximum but all at it.
    for (std::size_t b = 0; b < lanes; ++b) {
      const double error = 2.0 * static_cast<double>(work.error[static_cast<std::ptrdiff_t>(b)]);
      work.wide[b] = work.top[b] - static_cast<float>((wide_ + error) * 1.000001);
      work.narrow[b] = work.top[b] - static_cast<float>((narrow_ + error) * 1.000001);
    }
    work.lists.resize(lanes);
    for (Shortlists& lists : work.lists) {
      lists.wide.clear();
      lists.narrow.clear();
    }
    work.beyond.assign(lanes, 0.0f);
    std::int32_t group = 0;
    for (const float* row = maxima; row != end; row += lanes, ++group) {
      bool any = false;
      for (std::size_t b = 0; b < lanes; ++b) {
        work.beyond[b] += row[b] < work.narrow[b] ? exp_above(row[b] - work.top[b]) : 0.0f;
        any |= !(row[b] < work.wide[b]);
      }
      if (!any) continue;
      for (std::size_t b = 0; b < count; ++b) {
        if (row[b] < work.wide[b]) continue;
        work.lists[b].wide.push_back(group);
        if (!(row[b] < work.narrow[b])) work.lists[b].narrow.push_back(group);
      }
    }
    for (std::size_t b = 0; b < count; ++b) {
      const auto error = static_cast<double>(work.error[static_cast<std::ptrdiff_t>(b)]);
      work.lists[b].beyond_narrow =
          1.001 * kernels::kScreenRows * std::exp(2 * error) * static_cast<double>(work.beyond[b]);
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
  Execution execution_;
};

}  // namespace hopfix
