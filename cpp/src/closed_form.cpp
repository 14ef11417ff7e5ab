#include <cmath>
#include <numeric>

#include "hopfix/fixed_points.hpp"
#include "hopfix/isa.hpp"
#include "kernels/table.hpp"

namespace hopfix {

bool is_equinorm_orthogonal(const Network<double>& network, double tolerance) {
  const std::ptrdiff_t n = network.size();
  if (n > network.dim()) return false;
  std::vector<double> gram(static_cast<std::size_t>(n * n));
  isa::table().dense->gram_rows(network.patterns().data(), n, network.dim(), gram.data());
  const double square = gram[0];
  for (std::ptrdiff_t i = 0; i < n; ++i)
    for (std::ptrdiff_t j = 0; j < n; ++j) {
      const double wanted = i == j ? square : 0;
      if (!(std::fabs(gram[static_cast<std::size_t>(i * n + j)] - wanted) <= tolerance * square))
        return false;
    }
  for (const double b : network.log_weights())
    if (b != network.log_weights().front()) return false;
  return square > 0;
}

std::vector<double> subset_weights(std::ptrdiff_t n, std::ptrdiff_t k, double u, double v,
                                   std::int64_t limit) {
  std::vector<double> weights;
  std::vector<std::ptrdiff_t> subset(static_cast<std::size_t>(k));
  std::iota(subset.begin(), subset.end(), std::ptrdiff_t{0});
  for (std::int64_t done = 0; done < limit; ++done) {
    const std::size_t row = weights.size();
    weights.resize(row + static_cast<std::size_t>(n), v);
    for (const std::ptrdiff_t i : subset) weights[row + static_cast<std::size_t>(i)] = u;
    // The next subset: raise the last index that can be raised, close up those behind it.
    std::ptrdiff_t at = k - 1;
    while (at >= 0 && subset[static_cast<std::size_t>(at)] == n - k + at) --at;
    if (at < 0) break;
    ++subset[static_cast<std::size_t>(at)];
    for (std::ptrdiff_t j = at + 1; j < k; ++j)
      subset[static_cast<std::size_t>(j)] = subset[static_cast<std::size_t>(j - 1)] + 1;
  }
  return weights;
}

}  // namespace hopfix
