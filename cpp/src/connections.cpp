#include "hopfix/connections.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "normal_matrix.hpp"
#include "state_softmax.hpp"

namespace hopfix {

namespace {

// The squared distance, or what of it is enough to exceed `most`.
double squared_distance(const double* x, const double* y, std::ptrdiff_t dim, double most) {
  constexpr std::ptrdiff_t kBlock = 16;
  double sum = 0;
  for (std::ptrdiff_t first = 0; first < dim && sum <= most; first += kBlock) {
    const std::ptrdiff_t end = std::min(first + kBlock, dim);
    for (std::ptrdiff_t k = first; k < end; ++k) sum += (x[k] - y[k]) * (x[k] - y[k]);
  }
  return sum;
}

}  // namespace

void leading_directions(const Network<double>& network, const double* states, std::ptrdiff_t count,
                        double* out, const Execution& execution) {
  const std::ptrdiff_t dim = network.dim();
  for_each_state(network, states, count, within_reason(network, count * dim, execution),
                 [&](std::ptrdiff_t s, StateSoftmax<double>& softmax, const Execution& inner) {
                   double* vector = out + s * dim;
                   if (std::min(softmax.live(), dim) <= kDenseEigenvalue)
                     largest_eigenvalue(softmax.normal_matrix(), vector);
                   else
                     largest_eigenvalue(softmax.map(inner), 1e-10, vector);
                 });
}

void nearest_within(const double* states, std::ptrdiff_t count, const double* places,
                    const double* reach, std::ptrdiff_t n, std::ptrdiff_t dim, std::int64_t* out,
                    const Execution& execution) {
  constexpr std::ptrdiff_t kSmall = 1 << 17;  // what waking the threads costs
  Execution inner = execution;
  if (count * n * dim < kSmall) inner.threads = 1;
  parallel_for(count, inner, [&](std::ptrdiff_t s, int) {
    double least = std::numeric_limits<double>::infinity();
    std::int64_t best = -1;
    for (std::ptrdiff_t i = 0; i < n; ++i) {
      const double distance = squared_distance(states + s * dim, places + i * dim, dim, least);
      if (distance < least) {
        least = distance;
        best = i;
      }
    }
    out[s] = best >= 0 && std::sqrt(least) <= reach[best] ? best : -1;
  });
}

}  // namespace hopfix
