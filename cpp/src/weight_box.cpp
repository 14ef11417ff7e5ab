#include "weight_box.hpp"

#include "hopfix/rounding.hpp"

namespace hopfix {

using std::ptrdiff_t;
using std::size_t;

std::vector<double> middle_state(const Network<double>& network, const WeightBox& box) {
  const ptrdiff_t dim = network.dim();
  std::vector<double> state(static_cast<size_t>(dim), 0.0);
  double total = 0;
  for (ptrdiff_t i = 0; i < box.size(); ++i) total += box.middle(i);
  for (ptrdiff_t i = 0; i < box.size(); ++i) {
    const double weight = box.middle(i) / total;
    for (ptrdiff_t k = 0; k < dim; ++k)
      state[static_cast<size_t>(k)] +=
          weight * network.patterns()[static_cast<size_t>(i * dim + k)];
  }
  return state;
}

double reach_from(const Network<double>& network, const WeightBox& box,
                  const std::vector<double>& state) {
  const ptrdiff_t dim = network.dim(), n = box.size();
  std::vector<double> offset(static_cast<size_t>(dim), 0.0), difference;
  UpperBound spread(0), sizes(0);
  for (ptrdiff_t i = 0; i < n; ++i) {
    const double* x = network.patterns().data() + i * dim;
    const UpperBound distance = distance_bound(x, state.data(), dim, difference);
    const double middle = box.middle(i);
    for (ptrdiff_t k = 0; k < dim; ++k)
      offset[static_cast<size_t>(k)] += middle * difference[static_cast<size_t>(k)];
    const UpperBound radius(std::max(box.hi()[i] - middle, middle - box.lo()[i]));
    spread = spread + (radius + UpperBound(kUnitRoundoff) * UpperBound(box.hi()[i])) * distance;
    sizes = sizes + UpperBound(middle) * distance;
  }
  return (norm_bound(offset.data(), dim) + gamma_bound(n + 4) * sizes + spread).value();
}

}  // namespace hopfix
