#include "hopfix/binary_hopfield.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <stdexcept>

#include "hopfix/isa.hpp"
#include "kernels/table.hpp"
#include "overlap_tables.hpp"
#include "sums.hpp"

namespace hopfix {

namespace {

using kernels::kChunkWords, kernels::kFieldLanes, kernels::kSignRows;
using std::ptrdiff_t;
using std::size_t;

const kernels::BinaryKernels& binary() { return *isa::table().binary; }

ptrdiff_t divide_up(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }

// Bit j of word i <-> bit i of word j: blocks of 32, 16, ... 1 bits change places.
void transpose_64(std::uint64_t (&a)[64]) {
  std::uint64_t mask = 0xffffffffu;
  for (unsigned width = 32; width > 0; width /= 2, mask ^= mask << width)
    for (unsigned i = 0; i < 64; i = ((i | width) + 1) & ~width) {
      const std::uint64_t t = ((a[i] >> width) ^ a[i + width]) & mask;
      a[i] ^= t << width;
      a[i + width] ^= t;
    }
}

// dim columns of ceil(n / 64) words from n rows, and one word behind them.
SignWords columns_of(const std::uint64_t* patterns, ptrdiff_t n, ptrdiff_t dim, ptrdiff_t words) {
  const ptrdiff_t length = divide_up(n, 64);
  SignWords columns(static_cast<size_t>(dim * length + 1));
  for (ptrdiff_t c = 0; c < length; ++c)
    for (ptrdiff_t w = 0; 64 * w < dim; ++w) {
      std::uint64_t block[64] = {};
      for (ptrdiff_t i = 64 * c; i < std::min(n, 64 * c + 64); ++i)
        block[i - 64 * c] = patterns[i * words + w];
      transpose_64(block);
      for (ptrdiff_t k = 64 * w; k < std::min(dim, 64 * w + 64); ++k)
        columns[static_cast<size_t>(k * length + c)] = block[k - 64 * w];
    }
  return columns;
}

SignWords blocks_of(const std::uint64_t* patterns, ptrdiff_t n, ptrdiff_t words) {
  SignWords blocks(static_cast<size_t>(divide_up(n, kSignRows) * kSignRows * words));
  for (ptrdiff_t i = 0; i < n; ++i)
    for (ptrdiff_t w = 0; w < words; ++w)
      blocks[static_cast<size_t>((i / kSignRows * words + w) * kSignRows + i % kSignRows)] =
          patterns[i * words + w];
  return blocks;
}

// Patterns per index word.
ptrdiff_t per_index() { return binary().group * binary().groups; }

}  // namespace

// Fields of a few states at once, which share what they read of the patterns.
class BinaryNetwork::Tile {
 public:
  static constexpr ptrdiff_t kStates = 8;

  explicit Tile(const BinaryNetwork& network)
      : network_(network),
        fields_(static_cast<size_t>(kStates * network.words_ * 64)),
        overlaps_(static_cast<size_t>(kStates * kSlice)),
        tables_(kStates, OverlapTables(binary())) {}

  // next[a] := the update of states[a], a < count <= kStates.
  void update(const std::uint64_t* const* states, std::uint64_t* const* next, ptrdiff_t count) {
    std::fill(fields_.begin(), fields_.end(), 0);
    for (ptrdiff_t first = 0; first < network_.n_; first += kSlice) {
      const ptrdiff_t size = std::min(kSlice, network_.n_ - first);
      find_overlaps(states, count, first, size);
      for (ptrdiff_t a = 0; a < count; ++a) {
        std::fill(overlaps(a) + size, overlaps(a) + kSlice, 0);
        tables_[static_cast<size_t>(a)].make(overlaps(a), size);
      }
      add_fields(first / per_index(), count);
    }
    for (ptrdiff_t a = 0; a < count; ++a)
      for (ptrdiff_t w = 0; w < network_.words_; w += kChunkWords)
        binary().decide(fields(a) + 64 * w, network_.rise_.data() + 64 * w,
                        network_.fall_.data() + 64 * w, states[a] + w, next[a] + w);
  }

  // The sum of the squares of a state's overlaps.
  std::int64_t squares(const std::uint64_t* state) {
    std::int64_t sum = 0;
    for (ptrdiff_t first = 0; first < network_.n_; first += kSlice) {
      const ptrdiff_t size = std::min(kSlice, network_.n_ - first);
      find_overlaps(&state, 1, first, size);
      for (ptrdiff_t i = 0; i < size; ++i)
        sum += std::int64_t{overlaps(0)[i]} * std::int64_t{overlaps(0)[i]};
    }
    return sum;
  }

 private:
  // Patterns whose tables fit the L2 cache beside one chunk of index words; a multiple of
  // kSignRows and of the patterns per index word (15 or 16).
  static constexpr ptrdiff_t kSlice = 1920;

  std::int32_t* fields(ptrdiff_t a) { return fields_.data() + a * network_.words_ * 64; }
  std::int32_t* overlaps(ptrdiff_t a) { return overlaps_.data() + a * kSlice; }

  void find_overlaps(const std::uint64_t* const* states, ptrdiff_t count, ptrdiff_t first,
                     ptrdiff_t size) {
    const auto dim = static_cast<std::int32_t>(network_.dim_);
    for (ptrdiff_t i = 0; i < size; i += kSignRows)
      for (ptrdiff_t a = 0; a < count; ++a) {
        std::int32_t* rows = overlaps(a) + i;
        binary().differences(network_.blocks_.data() + (first + i) * network_.words_,
                             network_.words_, states[a], rows);
        for (ptrdiff_t r = 0; r < kSignRows; ++r) rows[r] = dim - 2 * rows[r];
      }
  }

  // Of the overlaps of a slice, whose first index word is `first`, to all fields.
  void add_fields(ptrdiff_t first, ptrdiff_t count) {
    const ptrdiff_t all = divide_up(network_.n_, per_index());
    for (ptrdiff_t chunk = 0; chunk < network_.words_ / kChunkWords; ++chunk) {
      const std::uint16_t* planes = network_.planes_.data() + (chunk * all + first) * kFieldLanes;
      for (ptrdiff_t a = 0; a < count; ++a)
        tables_[static_cast<size_t>(a)].add_fields(planes, fields(a) + chunk * kFieldLanes);
    }
  }

  const BinaryNetwork& network_;
  std::vector<std::int32_t> fields_, overlaps_;
  std::vector<OverlapTables> tables_;
};

BinaryNetwork::BinaryNetwork(const std::uint64_t* patterns, ptrdiff_t n, ptrdiff_t dim,
                             const double* bias, bool zero_diagonal)
    : n_(n), dim_(dim), words_(sign_words(dim)), zero_diagonal_(zero_diagonal) {
  constexpr auto kMost = std::numeric_limits<std::int32_t>::max();
  if (n >= kMost / (dim + 1))
    throw std::length_error("need N (d + 1) below 2^31: fields are exact integers of 32 bits");
  if (bias != nullptr) bias_.assign(bias, bias + dim);
  blocks_ = blocks_of(patterns, n, words_);
  columns_ = columns_of(patterns, n, dim, words_);
  std::vector<std::int32_t> natural(static_cast<size_t>(dim));
  std::iota(natural.begin(), natural.end(), 0);
  plan(natural, planes_);
  // Components beyond dim never change.
  rise_.assign(static_cast<size_t>(words_ * 64), kMost);
  fall_.assign(static_cast<size_t>(words_ * 64), std::numeric_limits<std::int32_t>::min());
  const auto beyond = static_cast<double>(n * dim + 1), own = zero_diagonal ? double(n) : 0.0;
  for (ptrdiff_t k = 0; k < dim; ++k) {
    // h > b for integers h, and h < b. The field without the diagonal is h - n xi_k.
    const double b = bias == nullptr ? 0.0 : std::clamp(bias[k], -beyond, beyond);
    rise_[static_cast<size_t>(k)] = static_cast<std::int32_t>(std::floor(b) + 1 - own);
    fall_[static_cast<size_t>(k)] = static_cast<std::int32_t>(std::ceil(b) - 1 + own);
  }
}

void BinaryNetwork::plan(const std::vector<std::int32_t>& order,
                         std::vector<std::uint16_t>& planes) const {
  const ptrdiff_t length = divide_up(n_, 64), per_word = per_index();
  const ptrdiff_t count = divide_up(n_, per_word);
  const std::uint32_t mask = (1u << per_word) - 1;
  const std::uint32_t last_mask = (1u << (n_ - (count - 1) * per_word)) - 1;
  const bool split = binary().split_bytes;
  planes.resize(static_cast<size_t>(words_ / kChunkWords * count * kFieldLanes));
  for (ptrdiff_t a = 0; a < static_cast<ptrdiff_t>(order.size()); ++a) {
    const auto* column = reinterpret_cast<const unsigned char*>(
        columns_.data() + order[static_cast<size_t>(a)] * length);
    const ptrdiff_t lane = a % kFieldLanes;
    std::uint16_t* words = planes.data() + a / kFieldLanes * count * kFieldLanes;
    const auto put = [&](ptrdiff_t w, std::uint32_t index) {
      if (split) {
        auto* bytes = reinterpret_cast<unsigned char*>(words + w * kFieldLanes);
        bytes[lane] = static_cast<unsigned char>(index & 0xff);
        bytes[kFieldLanes + lane] = static_cast<unsigned char>(index >> 8);
      } else {
        words[w * kFieldLanes + lane] = static_cast<std::uint16_t>(index);
      }
    };
    const auto bits_at = [&](ptrdiff_t w) {
      std::uint32_t bits;  // maybe with some of the next column, or from behind the last one
      const auto first = static_cast<size_t>(w * per_word);
      std::memcpy(&bits, column + first / 8, sizeof bits);
      return bits >> (first % 8);
    };
    for (ptrdiff_t w = 0; w + 1 < count; ++w) put(w, bits_at(w) & mask);
    put(count - 1, bits_at(count - 1) & last_mask);
  }
}

SignWords BinaryNetwork::patterns() const {
  SignWords rows(static_cast<size_t>(n_ * words_));
  for (ptrdiff_t i = 0; i < n_; ++i)
    for (ptrdiff_t w = 0; w < words_; ++w)
      rows[static_cast<size_t>(i * words_ + w)] =
          blocks_[static_cast<size_t>((i / kSignRows * words_ + w) * kSignRows + i % kSignRows)];
  return rows;
}

// Work of a few hundred microseconds and more is shared.
Execution BinaryNetwork::within_reason(ptrdiff_t count, const Execution& execution) const {
  constexpr double kWorthSharing = 2e7;  // bits of patterns
  Execution reasonable = execution;
  if (static_cast<double>(count) * static_cast<double>(n_ * dim_) < kWorthSharing)
    reasonable.threads = 1;
  return reasonable;
}

void BinaryNetwork::update_rows(const std::uint64_t* states, const ptrdiff_t* ids, ptrdiff_t count,
                                std::uint64_t* out, const Execution& execution) const {
  const Execution reasonable = within_reason(count, execution);
  const ptrdiff_t threads = std::max(1, reasonable.threads);
  const ptrdiff_t size =
      std::clamp<ptrdiff_t>(divide_up(count, threads), 1, ptrdiff_t{Tile::kStates});
  std::vector<std::unique_ptr<Tile>> tiles(static_cast<size_t>(threads));
  parallel_for(divide_up(count, size), reasonable, [&](ptrdiff_t t, int worker) {
    auto& tile = tiles[static_cast<size_t>(worker)];
    if (tile == nullptr) tile = std::make_unique<Tile>(*this);
    const std::uint64_t* from[Tile::kStates];
    std::uint64_t* to[Tile::kStates];
    const ptrdiff_t here = std::min(size, count - t * size);
    for (ptrdiff_t a = 0; a < here; ++a) {
      const ptrdiff_t id = ids == nullptr ? t * size + a : ids[t * size + a];
      from[a] = states + id * words_;
      to[a] = out + id * words_;
    }
    tile->update(from, to, here);
  });
}

void BinaryNetwork::update(const std::uint64_t* states, ptrdiff_t count, std::uint64_t* out,
                           const Execution& execution) const {
  update_rows(states, nullptr, count, out, execution);
}

void BinaryNetwork::energy(const std::uint64_t* states, ptrdiff_t count, double* out,
                           const Execution& execution) const {
  const Execution reasonable = within_reason(count, execution);
  std::vector<std::unique_ptr<Tile>> tiles(static_cast<size_t>(std::max(1, reasonable.threads)));
  parallel_for(count, reasonable, [&](ptrdiff_t s, int worker) {
    auto& tile = tiles[static_cast<size_t>(worker)];
    if (tile == nullptr) tile = std::make_unique<Tile>(*this);
    const std::uint64_t* state = states + s * words_;
    const std::int64_t form = tile->squares(state) - (zero_diagonal_ ? n_ * dim_ : 0);
    out[s] = -static_cast<double>(form) / 2;
    if (bias_.empty()) return;
    out[s] += sum_of(dim_, [&](ptrdiff_t k) {
      const double b = bias_[static_cast<size_t>(k)];
      return (state[k / 64] >> (k % 64) & 1) != 0 ? b : -b;
    });
  });
}

}  // namespace hopfix
