// Plain iteration of every query until its residual is within the tolerance.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "hopfix/retrieval.hpp"
#include "sums.hpp"

namespace hopfix {

// update(states, ids, moved) sets moved to the update of states, those of the queries `ids`, and
// returns whether to go on.
template <class T, class Update>
Retrieval<T> iterate_plainly(const T* states, std::ptrdiff_t count, std::ptrdiff_t dim,
                             std::int64_t max_steps, double tol, const Execution& execution,
                             const Update& update) {
  const auto queries = static_cast<std::size_t>(count);
  Retrieval<T> result;
  result.states.assign(states, states + count * dim);
  result.steps.assign(queries, 0);
  result.converged.assign(queries, 0);
  result.residual.assign(queries, T(0));
  std::vector<std::ptrdiff_t> open(queries);
  std::iota(open.begin(), open.end(), std::ptrdiff_t{0});
  std::vector<T> here(result.states), moved(result.states.size());
  for (std::int64_t step = 0; !open.empty(); ++step) {
    if (!update(here.data(), open, moved.data())) return result;
    std::size_t kept = 0;
    for (std::size_t a = 0; a < open.size(); ++a) {
      const std::ptrdiff_t id = open[a];
      const auto at = static_cast<std::size_t>(id);
      const auto offset = static_cast<std::ptrdiff_t>(a) * dim;
      const T *from = here.data() + offset, *to = moved.data() + offset;
      const double residual = distance(from, to, dim);
      const bool settled = residual <= tol * std::max(1.0, norm(from, dim));
      if (!settled && step < max_steps) {
        std::copy_n(to, dim, here.data() + static_cast<std::ptrdiff_t>(kept) * dim);
        open[kept++] = id;
        continue;
      }
      std::copy_n(from, dim, result.states.data() + id * dim);
      result.steps[at] = step;
      result.converged[at] = settled;
      result.residual[at] = static_cast<T>(residual);
    }
    open.resize(kept);
    if (execution.stop_requested && execution.stop_requested()) throw Interrupted();
  }
  return result;
}

}  // namespace hopfix
