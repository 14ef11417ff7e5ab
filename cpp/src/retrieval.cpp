#include "hopfix/retrieval.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace hopfix {

namespace {

template <class T>
double distance(const T* a, const T* b, std::ptrdiff_t dim) {
  double sum = 0;
  for (std::ptrdiff_t k = 0; k < dim; ++k) {
    const double difference = static_cast<double>(a[k]) - static_cast<double>(b[k]);
    sum += difference * difference;
  }
  return std::sqrt(sum);
}

template <class T>
double norm(const T* a, std::ptrdiff_t dim) {
  double sum = 0;
  for (std::ptrdiff_t k = 0; k < dim; ++k)
    sum += static_cast<double>(a[k]) * static_cast<double>(a[k]);
  return std::sqrt(sum);
}

}  // namespace

template <class T>
Retrieval<T> retrieve(const Network<T>& network, const T* states, std::ptrdiff_t count,
                      std::int64_t max_steps, double tol, const Execution& execution) {
  const std::ptrdiff_t dim = network.dim();
  Retrieval<T> result;
  result.states.resize(static_cast<std::size_t>(count * dim));
  result.steps.resize(static_cast<std::size_t>(count));
  result.converged.resize(static_cast<std::size_t>(count));
  result.residual.resize(static_cast<std::size_t>(count));

  std::vector<T> current(states, states + count * dim);
  std::vector<T> next(current.size());
  std::vector<std::ptrdiff_t> query(static_cast<std::size_t>(count));
  std::iota(query.begin(), query.end(), std::ptrdiff_t{0});

  for (std::int64_t step = 0; !query.empty(); ++step) {
    const auto active = static_cast<std::ptrdiff_t>(query.size());
    network.update(current.data(), active, next.data(), execution);
    if (execution.stop_requested && execution.stop_requested()) throw Interrupted();
    std::ptrdiff_t kept = 0;
    for (std::ptrdiff_t a = 0; a < active; ++a) {
      const T* here = current.data() + a * dim;
      const T* there = next.data() + a * dim;
      const double residual = distance(here, there, dim);
      const bool converged = residual <= tol * std::max(1.0, norm(here, dim));
      const auto q = static_cast<std::size_t>(query[static_cast<std::size_t>(a)]);
      if (converged || step == max_steps) {
        std::copy_n(here, dim, result.states.data() + static_cast<std::ptrdiff_t>(q) * dim);
        result.steps[q] = step;
        result.converged[q] = converged;
        result.residual[q] = static_cast<T>(residual);
      } else {
        std::copy_n(there, dim, next.data() + kept * dim);
        query[static_cast<std::size_t>(kept++)] = static_cast<std::ptrdiff_t>(q);
      }
    }
    query.resize(static_cast<std::size_t>(kept));
    current.swap(next);
  }
  return result;
}

template Retrieval<float> retrieve(const Network<float>&, const float*, std::ptrdiff_t,
                                   std::int64_t, double, const Execution&);
template Retrieval<double> retrieve(const Network<double>&, const double*, std::ptrdiff_t,
                                    std::int64_t, double, const Execution&);

}  // namespace hopfix
