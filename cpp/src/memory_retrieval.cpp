#include "hopfix/memory.hpp"
#include "plain_retrieval.hpp"

namespace hopfix {

template <class T>
Retrieval<T> retrieve(const Memory<T>& memory, const T* states, std::ptrdiff_t count,
                      std::int64_t max_steps, double tol, const Execution& execution,
                      SeparationStatus& status) {
  return iterate_plainly(states, count, memory.dim(), max_steps, tol, execution,
                         [&](const T* here, const std::vector<std::ptrdiff_t>& ids, T* moved) {
                           status = memory.update(here, static_cast<std::ptrdiff_t>(ids.size()),
                                                  moved, execution);
                           if (status.fault == SeparationFault::none) return true;
                           status.row = ids[static_cast<std::size_t>(status.row)];
                           return false;
                         });
}

template Retrieval<float> retrieve(const Memory<float>&, const float*, std::ptrdiff_t, std::int64_t,
                                   double, const Execution&, SeparationStatus&);
template Retrieval<double> retrieve(const Memory<double>&, const double*, std::ptrdiff_t,
                                    std::int64_t, double, const Execution&, SeparationStatus&);

}  // namespace hopfix
