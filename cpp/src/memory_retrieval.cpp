#include <algorithm>
#include <numeric>

#include "hopfix/memory.hpp"
#include "sums.hpp"

namespace hopfix {

template <class T>
Retrieval<T> retrieve(const Memory<T>& memory, const T* states, std::ptrdiff_t count,
                      std::int64_t max_steps, double tol, const Execution& execution,
                      SeparationStatus& status) {
  const std::ptrdiff_t dim = memory.dim();
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
    const auto left = static_cast<std::ptrdiff_t>(open.size());
    status = memory.update(here.data(), left, moved.data(), execution);
    if (status.fault != SeparationFault::none) {
      status.row = open[static_cast<std::size_t>(status.row)];
      return result;
    }
    std::size_t kept = 0;
    for (std::ptrdiff_t a = 0; a < left; ++a) {
      const std::ptrdiff_t id = open[static_cast<std::size_t>(a)];
      const auto at = static_cast<std::size_t>(id);
      const T *from = here.data() + a * dim, *to = moved.data() + a * dim;
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

template Retrieval<float> retrieve(const Memory<float>&, const float*, std::ptrdiff_t, std::int64_t,
                                   double, const Execution&, SeparationStatus&);
template Retrieval<double> retrieve(const Memory<double>&, const double*, std::ptrdiff_t,
                                    std::int64_t, double, const Execution&, SeparationStatus&);

}  // namespace hopfix
