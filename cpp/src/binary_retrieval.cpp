// Iteration of binary networks, all open queries step by step.
#include <algorithm>
#include <numeric>

#include "hopfix/binary_hopfield.hpp"
#include "hopfix/isa.hpp"
#include "kernels/table.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;
using Ids = std::vector<ptrdiff_t>;

Ids all_of(ptrdiff_t count) {
  Ids ids(static_cast<size_t>(count));
  std::iota(ids.begin(), ids.end(), ptrdiff_t{0});
  return ids;
}

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
      if (static_cast<std::uint32_t>(product) >= (0u - bound) % bound)
        return static_cast<std::uint32_t>(product >> 32);
    }
  }

 private:
  std::uint64_t state_;
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

BinaryRetrieval BinaryNetwork::retrieve_synchronous(const std::uint64_t* states, ptrdiff_t count,
                                                    std::int64_t max_steps,
                                                    const Execution& execution) const {
  const auto size = static_cast<size_t>(count * words_);
  BinaryRetrieval result = {SignWords(size), std::vector<std::int64_t>(static_cast<size_t>(count)),
                            std::vector<std::uint8_t>(static_cast<size_t>(count))};
  SignWords before(size), now(states, states + size), next(size);
  const auto end_in = [&](ptrdiff_t id, const SignWords& where, std::int64_t step, int period) {
    std::copy_n(where.data() + id * words_, words_, result.states.data() + id * words_);
    result.steps[static_cast<size_t>(id)] = step;
    result.period[static_cast<size_t>(id)] = static_cast<std::uint8_t>(period);
  };
  const auto agree = [&](const SignWords& a, const SignWords& b, ptrdiff_t id) {
    return std::equal(a.data() + id * words_, a.data() + (id + 1) * words_, b.data() + id * words_);
  };
  Ids open = all_of(count), going_on;
  // `now` is state `step`.
  for (std::int64_t step = 0; !open.empty(); ++step) {
    update_rows(now.data(), open.data(), static_cast<ptrdiff_t>(open.size()), next.data(),
                execution);
    going_on.clear();
    for (const ptrdiff_t id : open) {
      if (step <= max_steps && agree(next, now, id))
        end_in(id, now, step, 1);
      else if (step > 0 && agree(next, before, id))
        end_in(id, before, step - 1, 2);
      else if (step > max_steps)
        end_in(id, before, max_steps, 0);
      else
        going_on.push_back(id);
    }
    open.swap(going_on);
    before.swap(now);
    now.swap(next);
  }
  return result;
}

// The overlaps of states, and sweeps that keep them up to date.
class BinaryNetwork::Sweeper {
 public:
  Sweeper(const BinaryNetwork& network, std::uint64_t* states, ptrdiff_t count)
      : network_(network),
        states_(states),
        column_words_((network.n_ + 63) / 64),
        overlaps_(static_cast<size_t>(count * column_words_ * 64)),
        totals_(static_cast<size_t>(count)) {}

  // Returns the number of changes of state `id` in sweep `sweep`.
  ptrdiff_t run(ptrdiff_t id, const std::vector<std::int32_t>& order, bool first) {
    std::int32_t* overlaps = overlaps_.data() + id * column_words_ * 64;
    std::int32_t& total = totals_[static_cast<size_t>(id)];
    std::uint64_t* state = states_ + id * network_.words_;
    if (first) {
      network_.find_overlaps(state, overlaps);
      total = std::accumulate(overlaps, overlaps + network_.n_, 0);
    }
    return isa::table().binary->sweep({network_.columns_.data(), column_words_,
                                       network_.column_sums_.data(), network_.rise_.data(),
                                       network_.fall_.data(), order.data(), network_.dim_, state,
                                       overlaps, &total});
  }

 private:
  const BinaryNetwork& network_;
  std::uint64_t* states_;
  ptrdiff_t column_words_;
  std::vector<std::int32_t> overlaps_, totals_;
};

void BinaryNetwork::find_overlaps(const std::uint64_t* state, std::int32_t* overlaps) const {
  using kernels::kSignRows;
  for (ptrdiff_t i = 0; i < n_; i += kSignRows) {
    isa::table().binary->differences(blocks_.data() + i * words_, words_, state, overlaps + i);
    for (ptrdiff_t r = i; r < i + kSignRows; ++r)
      overlaps[r] = static_cast<std::int32_t>(dim_) - 2 * overlaps[r];
  }
}

BinaryRetrieval BinaryNetwork::retrieve_asynchronous(const std::uint64_t* states, ptrdiff_t count,
                                                     std::int64_t max_steps, SweepOrder order,
                                                     std::uint64_t seed,
                                                     const Execution& execution) const {
  BinaryRetrieval result = {SignWords(states, states + count * words_),
                            std::vector<std::int64_t>(static_cast<size_t>(count), max_steps),
                            std::vector<std::uint8_t>(static_cast<size_t>(count))};
  // Slices, which bound the memory of the overlaps.
  constexpr ptrdiff_t kSlice = 4096;
  for (ptrdiff_t first = 0; first < count; first += kSlice) {
    const ptrdiff_t size = std::min(kSlice, count - first);
    std::uint64_t* rows = result.states.data() + first * words_;
    const auto end_in = [&](ptrdiff_t id, std::int64_t step) {
      result.steps[static_cast<size_t>(first + id)] = step;
      result.period[static_cast<size_t>(first + id)] = 1;
    };
    Sweeper sweeper(*this, rows, size);
    std::vector<std::int32_t> components(static_cast<size_t>(dim_));
    std::iota(components.begin(), components.end(), 0);
    std::vector<ptrdiff_t> changes(static_cast<size_t>(size));
    Ids open = all_of(size), going_on;
    for (std::int64_t step = 0; step < max_steps && !open.empty(); ++step) {
      if (order == SweepOrder::random) components = sweep_order(dim_, seed, step);
      const auto still = static_cast<ptrdiff_t>(open.size());
      parallel_for(still, within_reason(still, execution), [&](ptrdiff_t a, int) {
        const ptrdiff_t id = open[static_cast<size_t>(a)];
        changes[static_cast<size_t>(id)] = sweeper.run(id, components, step == 0);
      });
      going_on.clear();
      for (const ptrdiff_t id : open)
        if (changes[static_cast<size_t>(id)] == 0)
          end_in(id, step);
        else
          going_on.push_back(id);
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
