#include "hopfix/implicit.hpp"

#include <vector>

#include "normal_matrix.hpp"
#include "state_softmax.hpp"

namespace hopfix {

void solve_fixed_point_adjoint(const Network<double>& network, const double* states,
                               const double* cotangents, std::ptrdiff_t count, double* out,
                               double* distances, const Execution& execution) {
  const std::ptrdiff_t dim = network.dim();
  for_each_state(network, states, count, within_reason(network, count * dim, execution),
                 [&](std::ptrdiff_t s, StateSoftmax<double>& softmax, const Execution& inner) {
                   std::vector<double> rows;
                   const std::ptrdiff_t live = softmax.weighted_rows(rows);
                   distances[s] = solve_identity_minus(NormalMatrix(rows.data(), live, dim),
                                                       cotangents + s * dim, out + s * dim, inner);
                 });
}

}  // namespace hopfix
