#include "hopfix/implicit.hpp"

#include <algorithm>

#include "normal_matrix.hpp"
#include "state_softmax.hpp"

namespace hopfix {

void solve_fixed_point_adjoint(const Network<double>& network, const double* states,
                               const double* cotangents, std::ptrdiff_t count, double* out,
                               double* distances, const Execution& execution) {
  const std::ptrdiff_t dim = network.dim();
  for_each_state(network, states, count, within_reason(network, count * dim, execution),
                 [&](std::ptrdiff_t s, StateSoftmax<double>& softmax, const Execution& inner) {
                   const double* c = cotangents + s * dim;
                   double* x = out + s * dim;
                   distances[s] = std::min(softmax.live(), dim) <= kDenseSolve
                                      ? solve_identity_minus(softmax.normal_matrix(), c, x)
                                      : solve_identity_minus(softmax.map(inner), c, x);
                 });
}

}  // namespace hopfix
