// Synchronous iteration of binary networks, all open queries step by step.
#include <algorithm>
#include <numeric>

#include "hopfix/binary_hopfield.hpp"

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

}  // namespace

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

}  // namespace hopfix
