// Asynchronous iteration of binary networks: sweeps over the components in chunks.
//
// The fields of all components of a chunk come from tables of the state's overlaps, as in an
// update. A component of the chunk that changes moves the fields of those behind it by a row of W,
// which is computed where it is first needed and kept; at the end of the chunk the overlaps, and
// before the next one the tables, are brought up to date. A chunk without changes costs a look-up.
#include <algorithm>
#include <memory>
#include <numeric>

#include "hopfix/binary_hopfield.hpp"
#include "hopfix/isa.hpp"
#include "kernels/table.hpp"
#include "overlap_tables.hpp"

namespace hopfix {

namespace {

using kernels::kChunkWords, kernels::kFieldLanes;
using std::ptrdiff_t;
using std::size_t;
using Ids = std::vector<ptrdiff_t>;

// Steele, Lea and Flood (2014).
class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t state) : state_(state) {}
  static std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  std::uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15u); }

  // Uniform below `bound` < 2^32: the high half of a product, drawn again where it favours some.
  std::uint32_t below(std::uint32_t bound) {
    for (;;) {
      const std::uint64_t product = (next() >> 32) * bound;
      const auto low = static_cast<std::uint32_t>(product);
      if (low >= bound || low >= (0u - bound) % bound)
        return static_cast<std::uint32_t>(product >> 32);
    }
  }

 private:
  std::uint64_t state_;
};

// Rows of 2 W within a chunk of an order.
struct Couplings {
  std::int64_t order = -1;
  ptrdiff_t chunk = -1;
  std::uint64_t known[kChunkWords] = {};
  std::vector<std::int32_t> rows;
};

// The couplings of as many chunks as 8 MiB hold.
class CouplingCache {
 public:
  explicit CouplingCache(ptrdiff_t chunks)
      : slots_(static_cast<size_t>(std::min(chunks, kMostSlots))) {}

  Couplings& of(std::int64_t order, ptrdiff_t chunk) {
    Couplings& slot = slots_[static_cast<size_t>(chunk) % slots_.size()];
    if (slot.order != order || slot.chunk != chunk) {
      slot.order = order;
      slot.chunk = chunk;
      std::fill_n(slot.known, kChunkWords, 0);
      slot.rows.resize(kFieldLanes * kFieldLanes);
    }
    return slot;
  }

 private:
  static constexpr ptrdiff_t kMostSlots = 128;
  std::vector<Couplings> slots_;
};

}  // namespace

std::vector<std::int32_t> sweep_order(ptrdiff_t dim, std::uint64_t seed, std::int64_t sweep) {
  std::vector<std::int32_t> order(static_cast<size_t>(dim));
  std::iota(order.begin(), order.end(), 0);
  SplitMix64 random(SplitMix64::mix(seed) + static_cast<std::uint64_t>(sweep));
  for (size_t k = order.size(); k > 1; --k)
    std::swap(order[k - 1], order[random.below(static_cast<std::uint32_t>(k))]);
  return order;
}

// What a sweep reads, in the order of its components.
class BinaryNetwork::SweepPlan {
 public:
  explicit SweepPlan(const BinaryNetwork& network)
      : planes(network.planes_.data()),
        rise(network.rise_.data()),
        fall(network.fall_.data()),
        order_(static_cast<size_t>(network.dim_)),
        network_(network) {
    std::iota(order_.begin(), order_.end(), 0);
  }

  void shuffle(std::uint64_t seed, std::int64_t sweep) {
    ++number_;
    order_ = sweep_order(network_.dim_, seed, sweep);
    network_.plan(order_, own_planes_);
    planes = own_planes_.data();
    rise = permute(network_.rise_, own_rise_);
    fall = permute(network_.fall_, own_fall_);
  }

  // Orders so far: 0 for the natural one.
  std::int64_t number() const { return number_; }
  bool natural() const { return number_ == 0; }

  // The signs of the components of a chunk.
  void get(const std::uint64_t* state, ptrdiff_t chunk, std::uint64_t* signs) const {
    if (natural()) {
      std::copy_n(state + chunk * kChunkWords, kChunkWords, signs);
      return;
    }
    std::fill_n(signs, kChunkWords, 0);
    const ptrdiff_t first = chunk * kFieldLanes;
    for (ptrdiff_t l = 0; l < std::min(kFieldLanes, network_.dim_ - first); ++l) {
      const std::int32_t k = component(first + l);
      signs[l / 64] |= (state[k / 64] >> (k % 64) & 1) << (l % 64);
    }
  }

  std::int32_t component(ptrdiff_t place) const { return order_[static_cast<size_t>(place)]; }

  const std::uint16_t* planes;
  const std::int32_t *rise, *fall;

 private:
  const std::int32_t* permute(const std::vector<std::int32_t>& from,
                              std::vector<std::int32_t>& to) const {
    to = from;
    for (size_t a = 0; a < order_.size(); ++a) to[a] = from[static_cast<size_t>(order_[a])];
    return to.data();
  }

  std::int64_t number_ = 0;
  std::vector<std::int32_t> order_, own_rise_, own_fall_;
  std::vector<std::uint16_t> own_planes_;
  const BinaryNetwork& network_;
};

// Sweeps of a few states at once, which share what they read of the patterns.
class BinaryNetwork::Sweeper {
 public:
  static constexpr ptrdiff_t kStates = 8;

  explicit Sweeper(const BinaryNetwork& network)
      : network_(network),
        kernels_(*isa::table().binary),
        column_words_((network.n_ + 63) / 64),
        plane_words_((network.n_ + per_word() - 1) / per_word()),
        couplings_(network.words_ / kChunkWords),
        tables_(kStates, OverlapTables(kernels_)) {}

  // A state with its overlaps, overlap_numbers() of them, and the chunk in which it changed last
  // during a sweep; -1 where it did not.
  struct Run {
    std::uint64_t* state;
    std::int32_t* overlaps;
    ptrdiff_t* last_change;
  };
  // Of a whole number of columns' words and of index words.
  static ptrdiff_t overlap_numbers(ptrdiff_t n) { return (n + 63) / 64 * 64 + 16; }

  void start(const Run& run) const {
    network_.find_overlaps(run.state, run.overlaps);
    *run.last_change = network_.words_ / kChunkWords;
    clear_padding(run.overlaps);
  }

  void sweep(const SweepPlan& plan, const Run* runs, ptrdiff_t count) {
    ptrdiff_t changed[kStates];
    bool current[kStates] = {};  // whether the tables are those of the overlaps
    std::fill_n(changed, kStates, -1);
    for (ptrdiff_t chunk = 0; chunk < network_.words_ / kChunkWords; ++chunk)
      for (ptrdiff_t a = 0; a < count; ++a) {
        // Components behind the last change have seen this very state, in the sweep before.
        if (plan.natural() && changed[a] < 0 && chunk > *runs[a].last_change) continue;
        OverlapTables& tables = tables_[static_cast<size_t>(a)];
        if (!current[a]) tables.make(runs[a].overlaps, network_.n_);
        current[a] = !update(plan, runs[a], tables, chunk);
        if (!current[a]) changed[a] = chunk;
      }
    for (ptrdiff_t a = 0; a < count; ++a) *runs[a].last_change = changed[a];
  }

 private:
  ptrdiff_t per_word() const { return kernels_.group * kernels_.groups; }

  // Returns whether a component of the chunk changed.
  bool update(const SweepPlan& plan, const Run& run, const OverlapTables& tables, ptrdiff_t chunk) {
    const std::uint16_t* planes = plan.planes + chunk * plane_words_ * kFieldLanes;
    alignas(64) std::int32_t fields[kFieldLanes] = {};
    tables.add_fields(planes, fields);
    std::uint64_t before[kChunkWords], after[kChunkWords];
    plan.get(run.state, chunk, before);
    std::copy_n(before, kChunkWords, after);
    Couplings& couplings = couplings_.of(plan.number(), chunk);
    const kernels::SignChunk signs = {fields,
                                      plan.rise + chunk * kFieldLanes,
                                      plan.fall + chunk * kFieldLanes,
                                      after,
                                      couplings.known,
                                      couplings.rows.data()};
    for (ptrdiff_t a = kernels_.settle(signs, 0); a < kFieldLanes; a = kernels_.settle(signs, a)) {
      kernels_.couple(planes, plane_words_, a, plane_words_ * per_word() - network_.n_,
                      couplings.rows.data() + a * kFieldLanes);
      couplings.known[a / 64] |= std::uint64_t{1} << (a % 64);
    }
    if (std::equal(before, before + kChunkWords, after)) return false;
    change(plan, run, chunk, before, after);
    return true;
  }

  void change(const SweepPlan& plan, const Run& run, ptrdiff_t chunk, const std::uint64_t* before,
              const std::uint64_t* after) const {
    const std::uint64_t* columns[kFieldLanes];
    ptrdiff_t count = 0;
    const auto list = [&](std::uint64_t bits, ptrdiff_t first) {
      for (; bits != 0; bits &= bits - 1) {
        const std::int32_t k = plan.component(first + __builtin_ctzll(bits));
        run.state[k / 64] ^= std::uint64_t{1} << (k % 64);
        columns[count++] = network_.columns_.data() + k * column_words_;
      }
    };
    for (ptrdiff_t w = 0; w < kChunkWords; ++w)
      list(after[w] & ~before[w], chunk * kFieldLanes + 64 * w);
    const ptrdiff_t rises = count;
    for (ptrdiff_t w = 0; w < kChunkWords; ++w)
      list(before[w] & ~after[w], chunk * kFieldLanes + 64 * w);
    kernels_.add_columns(columns, rises, count, column_words_, run.overlaps);
    clear_padding(run.overlaps);
  }

  void clear_padding(std::int32_t* overlaps) const {
    std::fill(overlaps + network_.n_, overlaps + overlap_numbers(network_.n_), 0);
  }

  const BinaryNetwork& network_;
  const kernels::BinaryKernels& kernels_;
  ptrdiff_t column_words_, plane_words_;
  CouplingCache couplings_;
  std::vector<OverlapTables> tables_;
};

void BinaryNetwork::find_overlaps(const std::uint64_t* state, std::int32_t* overlaps) const {
  using kernels::kSignRows;
  for (ptrdiff_t i = 0; i < n_; i += kSignRows) {
    isa::table().binary->differences(blocks_.data() + i * words_, words_, state, overlaps + i);
    for (ptrdiff_t r = i; r < i + kSignRows; ++r)
      overlaps[r] = static_cast<std::int32_t>(dim_) - 2 * overlaps[r];
  }
}

// A slice of states, swept in tiles by the threads.
class BinaryNetwork::SweepTiles {
 public:
  SweepTiles(const BinaryNetwork& network, ptrdiff_t count, const Execution& execution)
      : network_(network),
        execution_(execution),
        size_(std::min(count, most_states(network, execution))),
        sweepers_(static_cast<size_t>(std::max(1, execution.threads))),
        overlaps_(static_cast<size_t>(size_ * Sweeper::overlap_numbers(network.n_))),
        last_change_(static_cast<size_t>(size_)) {}

  // States in a slice.
  ptrdiff_t size() const { return size_; }

  // The open ones among the states; `first`: their first sweep.
  void sweep(const SweepPlan& plan, std::uint64_t* states, const Ids& open, bool first) {
    const auto count = static_cast<ptrdiff_t>(open.size());
    const Execution reasonable = network_.within_reason(count, execution_);
    const ptrdiff_t threads = std::max(1, reasonable.threads);
    const ptrdiff_t tile =
        std::clamp<ptrdiff_t>((count + threads - 1) / threads, 1, Sweeper::kStates);
    parallel_for((count + tile - 1) / tile, reasonable, [&](ptrdiff_t t, int worker) {
      auto& sweeper = sweepers_[static_cast<size_t>(worker)];
      if (sweeper == nullptr) sweeper = std::make_unique<Sweeper>(network_);
      Sweeper::Run runs[Sweeper::kStates];
      const ptrdiff_t here = std::min(tile, count - t * tile);
      for (ptrdiff_t a = 0; a < here; ++a) {
        const ptrdiff_t id = open[static_cast<size_t>(t * tile + a)];
        runs[a] = {states + id * network_.words_,
                   overlaps_.data() + id * Sweeper::overlap_numbers(network_.n_),
                   last_change_.data() + id};
        if (first) sweeper->start(runs[a]);
      }
      sweeper->sweep(plan, runs, here);
    });
  }

  // In its last sweep.
  bool changed(ptrdiff_t id) const { return last_change_[static_cast<size_t>(id)] >= 0; }

 private:
  // Whose overlaps take 64 MiB, but a tile for every thread at least.
  static ptrdiff_t most_states(const BinaryNetwork& network, const Execution& execution) {
    const ptrdiff_t tiles = Sweeper::kStates * std::max(1, execution.threads);
    const ptrdiff_t fitting = (1 << 24) / Sweeper::overlap_numbers(network.n_);
    return std::max(tiles, std::min<ptrdiff_t>(fitting, 4096));
  }

  const BinaryNetwork& network_;
  const Execution& execution_;
  ptrdiff_t size_;
  std::vector<std::unique_ptr<Sweeper>> sweepers_;
  std::vector<std::int32_t> overlaps_;
  std::vector<ptrdiff_t> last_change_;
};

BinaryRetrieval BinaryNetwork::retrieve_asynchronous(const std::uint64_t* states, ptrdiff_t count,
                                                     std::int64_t max_steps, SweepOrder order,
                                                     std::uint64_t seed,
                                                     const Execution& execution) const {
  BinaryRetrieval result = {SignWords(states, states + count * words_),
                            std::vector<std::int64_t>(static_cast<size_t>(count), max_steps),
                            std::vector<std::uint8_t>(static_cast<size_t>(count))};
  SweepTiles tiles(*this, count, execution);
  SweepPlan plan(*this);
  for (ptrdiff_t first = 0; first < count; first += tiles.size()) {
    const ptrdiff_t size = std::min(tiles.size(), count - first);
    std::uint64_t* rows = result.states.data() + first * words_;
    const auto end_in = [&](ptrdiff_t id, std::int64_t step) {
      result.steps[static_cast<size_t>(first + id)] = step;
      result.period[static_cast<size_t>(first + id)] = 1;
    };
    Ids open(static_cast<size_t>(size)), going_on;
    std::iota(open.begin(), open.end(), ptrdiff_t{0});
    for (std::int64_t step = 0; step < max_steps && !open.empty(); ++step) {
      if (order == SweepOrder::random) plan.shuffle(seed, step);
      tiles.sweep(plan, rows, open, step == 0);
      going_on.clear();
      for (const ptrdiff_t id : open)
        if (tiles.changed(id))
          going_on.push_back(id);
        else
          end_in(id, step);
      open.swap(going_on);
    }
    // A state left by the last sweep may be a fixed point.
    SignWords next(static_cast<size_t>(size * words_));
    update_rows(rows, open.data(), static_cast<ptrdiff_t>(open.size()), next.data(), execution);
    for (const ptrdiff_t id : open)
      if (std::equal(rows + id * words_, rows + (id + 1) * words_, next.data() + id * words_))
        end_in(id, max_steps);
  }
  return result;
}

}  // namespace hopfix
