// Rigorous short lists of the patterns that can carry weight, for every query of a batch.
//
// Let m be the largest logit at a state xi. A pattern with z_i < m - margin at xi has, at any
// state within `reach` of xi, a weight below exp(2 beta radius reach - margin), where all patterns
// lie within `radius` of some centre: the difference of two logits changes by at most
// beta |x_i - x_j| times the distance moved. With margin = tolerance + 2 beta radius reach and
// n exp(-tolerance) below rounding, what the list leaves out cannot be seen in that ball
// (the idea of Elkan's and Hamerly's bounds for k-means).
#pragma once

#include <utility>
#include <vector>

#include "tile_pass.hpp"

namespace hopfix {

template <class T>
using CandidateList = std::vector<kernels::Candidate<T>>;

// Grows chunk by chunk, keeping what is within the margin of the largest logit so far, which
// starts from a lower bound of the largest of all. When more than about an eighth of the patterns
// stay, the list is given up: gathering and iterating it would not pay.
template <class T>
class ShortList {
 public:
  ShortList(T margin, T least_max) : margin_(margin), max_(least_max) {}

  // The chunk holds the patterns from `first` to `last`.
  void append(const kernels::Candidate<T>* entries, std::ptrdiff_t count, T chunk_max,
              std::ptrdiff_t first, std::ptrdiff_t last) {
    if (given_up_) return;
    if (chunk_max > max_) {
      max_ = chunk_max;
      const T bound = max_ - margin_;
      list_.erase(std::remove_if(list_.begin(), list_.end(),
                                 [&](const auto& entry) { return entry.logit < bound; }),
                  list_.end());
    }
    for (std::ptrdiff_t e = 0; e < count; ++e)
      if (entries[e].logit >= max_ - margin_)
        list_.push_back({entries[e].index + static_cast<std::int32_t>(first), entries[e].logit});
    if (static_cast<std::ptrdiff_t>(list_.size()) > 64 + last / 8) {
      given_up_ = true;
      list_.clear();
    }
  }

  bool given_up() const { return given_up_; }
  const CandidateList<T>& entries() const { return list_; }

 private:
  T margin_, max_;
  CandidateList<T> list_;
  bool given_up_ = false;
};

// The lists of a batch; visit(query, list, worker) for every query, in parallel. A list depends on
// its query alone: chunks are screened by themselves and appended in order.
template <class T>
class Screening {
 public:
  Screening(const Network<T>& network, T margin, const Execution& execution)
      : network_(network),
        margin_(margin),
        execution_(execution),
        chunks_(network.size()),
        workspaces_(static_cast<std::size_t>(std::max(1, execution.threads))) {}

  // least_max (count): a lower bound of the largest logit of each state.
  template <class Visit>
  void run(const T* states, const T* least_max, std::ptrdiff_t count, const Visit& visit) {
    states_ = states;
    least_max_ = least_max;
    tiles_ = cut_into_tiles<T>(count);
    const Execution execution = within_reason(network_, count, execution_);
    const auto tiles = static_cast<std::ptrdiff_t>(tiles_.size());
    if (execution.threads > 1 && tiles < 2 * execution.threads && chunks_.count > 1)
      return run_by_chunks(execution, visit);
    parallel_for(tiles, execution, [&](std::ptrdiff_t t, int worker) {
      const Tile<T>& tile = tiles_[static_cast<std::size_t>(t)];
      std::vector<ShortList<T>> lists;
      for (std::ptrdiff_t b = 0; b < tile.count; ++b)
        lists.emplace_back(margin_, least_max_[tile.first + b]);
      bool worthwhile = true;
      for (std::ptrdiff_t c = 0; c < chunks_.count && worthwhile; ++c) {
        const Workspace& w = screen(tile, c, worker);
        worthwhile = false;
        for (std::ptrdiff_t b = 0; b < tile.count; ++b) {
          ShortList<T>& list = lists[static_cast<std::size_t>(b)];
          list.append(w.entries_of(b, chunks_.rows), w.counts[b], w.max[b], chunks_.first(c),
                      chunks_.first(c + 1));
          worthwhile = worthwhile || !list.given_up();
        }
      }
      for (std::ptrdiff_t b = 0; b < tile.count; ++b)
        visit(tile.first + b, lists[static_cast<std::size_t>(b)], worker);
    });
  }

 private:
  struct Workspace {
    AlignedArray<T> queries, scratch, max;
    AlignedArray<kernels::Candidate<T>> entries;
    AlignedArray<std::int32_t> counts;

    const kernels::Candidate<T>* entries_of(std::ptrdiff_t lane, std::ptrdiff_t capacity) const {
      return entries.data() + lane * capacity;
    }
  };

  // What one chunk found for one query, kept until all chunks are done.
  struct Found {
    CandidateList<T> entries;
    T max;
  };

  template <class Visit>
  void run_by_chunks(const Execution& execution, const Visit& visit) {
    const auto tiles = static_cast<std::ptrdiff_t>(tiles_.size());
    std::vector<std::vector<Found>> found(static_cast<std::size_t>(tiles * chunks_.count));
    parallel_for(tiles * chunks_.count, execution, [&](std::ptrdiff_t i, int worker) {
      const std::ptrdiff_t t = i % tiles, c = i / tiles;
      const Tile<T>& tile = tiles_[static_cast<std::size_t>(t)];
      const Workspace& w = screen(tile, c, worker);
      for (std::ptrdiff_t b = 0; b < tile.count; ++b) {
        const auto* entries = w.entries_of(b, chunks_.rows);
        found[static_cast<std::size_t>(t * chunks_.count + c)].push_back(
            {CandidateList<T>(entries, entries + w.counts[b]), w.max[b]});
      }
    });
    parallel_for(tiles, execution, [&](std::ptrdiff_t t, int worker) {
      const Tile<T>& tile = tiles_[static_cast<std::size_t>(t)];
      for (std::ptrdiff_t b = 0; b < tile.count; ++b) {
        ShortList<T> list(margin_, least_max_[tile.first + b]);
        for (std::ptrdiff_t c = 0; c < chunks_.count; ++c) {
          const Found& part =
              found[static_cast<std::size_t>(t * chunks_.count + c)][static_cast<std::size_t>(b)];
          list.append(part.entries.data(), static_cast<std::ptrdiff_t>(part.entries.size()),
                      part.max, chunks_.first(c), chunks_.first(c + 1));
        }
        visit(tile.first + b, list, worker);
      }
    });
  }

  const Workspace& screen(const Tile<T>& tile, std::ptrdiff_t c, int worker) {
    const TileKernels<T>& kernels = *tile.kernels;
    Workspace& w = workspaces_[static_cast<std::size_t>(worker)];
    w.queries.reserve(network_.dim() * kernels.lanes);
    w.scratch.reserve(kernels::kGroupRows * kernels.width);
    w.max.reserve(kernels.width);
    w.entries.reserve(kernels.lanes * chunks_.rows);
    w.counts.reserve(kernels.lanes);
    kernels.pack(states_ + tile.first * network_.dim(), tile.count, network_.dim(),
                 static_cast<T>(network_.beta()), w.queries.data());
    // Lanes without a query must find nothing.
    for (std::ptrdiff_t l = 0; l < kernels.width; ++l)
      w.max[l] = l % kernels.lanes < tile.count ? least_max_[tile.first + l % kernels.lanes]
                                                : std::numeric_limits<T>::infinity();
    std::fill_n(w.counts.data(), kernels.lanes, 0);
    kernels.screen(pattern_block(network_, chunks_, c), w.queries.data(), margin_, w.max.data(),
                   {w.entries.data(), w.counts.data(), chunks_.rows}, w.scratch.data());
    return w;
  }

  const Network<T>& network_;
  T margin_;
  Execution execution_;
  Chunks chunks_;
  std::vector<Workspace> workspaces_;
  const T* states_ = nullptr;
  const T* least_max_ = nullptr;
  std::vector<Tile<T>> tiles_;
};

}  // namespace hopfix
