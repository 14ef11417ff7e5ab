// Rigorous short lists of the patterns that can carry weight, for every query of a batch.
//
// Let m be the largest logit at a state xi. A pattern with z_i < m - margin at xi has, at any
// state within `reach` of xi, a weight below exp(2 beta radius reach - margin), where all patterns
// lie within `radius` of some centre: the difference of two logits changes by at most
// beta |x_i - x_j| times the distance moved. With margin = tolerance + 2 beta radius reach and
// n exp(-tolerance) below rounding, what the list leaves out cannot be seen in that ball
// (the idea of Elkan's and Hamerly's bounds for k-means).
//
// Lists consist of whole groups of neighbouring patterns, those whose largest logit in 16-bit
// fixed point is within the margin and twice its error bound of the largest of all.
#pragma once

#include <vector>

#include "quantized.hpp"
#include "tile_pass.hpp"

namespace hopfix {

// Groups of kernels::kScreenRows neighbouring patterns, ascending.
using GroupList = std::vector<std::int32_t>;

class Screening {
 public:
  Screening(const QuantizedPatterns& patterns, double margin, const Execution& execution)
      : patterns_(patterns), chunks_(patterns.size()), margin_(margin), execution_(execution) {}

  std::ptrdiff_t groups() const { return groups_before(patterns_.size()); }

  // visit(query, list, worker) for each of `queries` states, in parallel. A list depends on its
  // query alone.
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
    AlignedArray<float> scale, margin, maxima;
    std::vector<float> bound;
    std::vector<GroupList> lists;
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
    work.margin.reserve(lanes);
    work.maxima.reserve(groups() * lanes);
    std::fill_n(work.scale.data(), lanes, 0.0f);
    // Lanes without a query select nothing.
    std::fill_n(work.margin.data(), lanes, -1.0f);
    for (std::ptrdiff_t b = 0; b < tile.count; ++b) {
      const auto scaling = patterns_.quantize(states + (tile.first + b) * patterns_.dim(),
                                              work.rows.data() + b * stride);
      work.scale[b] = scaling.scale;
      work.margin[b] = static_cast<float>((margin_ + 2 * scaling.error) * 1.000001);
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
    const std::ptrdiff_t lanes = tile.kernels->lanes, count = groups();
    std::vector<float>& bound = work.bound;
    bound.assign(work.maxima.data(), work.maxima.data() + lanes);
    for (std::ptrdiff_t g = 1; g < count; ++g)
      for (std::ptrdiff_t b = 0; b < lanes; ++b)
        bound[static_cast<std::size_t>(b)] =
            std::max(bound[static_cast<std::size_t>(b)], work.maxima[g * lanes + b]);
    for (std::ptrdiff_t b = 0; b < lanes; ++b) bound[static_cast<std::size_t>(b)] -= work.margin[b];
    work.lists.resize(static_cast<std::size_t>(lanes));
    for (GroupList& list : work.lists) list.clear();
    for (std::ptrdiff_t g = 0; g < count; ++g) {
      const float* maxima = work.maxima.data() + g * lanes;
      bool any = false;
      for (std::ptrdiff_t b = 0; b < lanes; ++b)
        any |= !(maxima[b] < bound[static_cast<std::size_t>(b)]);
      if (!any) continue;
      for (std::ptrdiff_t b = 0; b < tile.count; ++b)
        if (!(maxima[b] < bound[static_cast<std::size_t>(b)]))
          work.lists[static_cast<std::size_t>(b)].push_back(static_cast<std::int32_t>(g));
    }
  }

  const QuantizedPatterns& patterns_;
  Chunks chunks_;
  double margin_;
  Execution execution_;
};

}  // namespace hopfix
