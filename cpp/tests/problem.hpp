// A network of a test, and the small linear systems of its oracles.
#pragma once

#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "hopfix/network.hpp"

namespace hopfix::test {

struct Problem {
  std::ptrdiff_t n, dim;
  double beta;
  std::vector<double> patterns, log_weights;

  Network<double> network() const {
    return Network<double>(patterns.data(), n, dim, beta,
                           log_weights.empty() ? nullptr : log_weights.data());
  }
};

// The solution of a system whose rows end in their right-hand sides, by Gauss-Jordan with pivoting.
template <class Real>
std::vector<Real> solved(std::vector<std::vector<Real>> system) {
  const std::size_t order = system.size();
  for (std::size_t c = 0; c < order; ++c) {
    std::size_t pivot = c;
    for (std::size_t m = c + 1; m < order; ++m)
      if (std::fabs(system[m][c]) > std::fabs(system[pivot][c])) pivot = m;
    std::swap(system[c], system[pivot]);
    for (std::size_t m = 0; m < order; ++m) {
      if (m == c) continue;
      const Real factor = system[m][c] / system[c][c];
      for (std::size_t k = c; k <= order; ++k) system[m][k] -= factor * system[c][k];
    }
  }
  std::vector<Real> solution;
  for (std::size_t k = 0; k < order; ++k) solution.push_back(system[k][order] / system[k][k]);
  return solution;
}

}  // namespace hopfix::test
