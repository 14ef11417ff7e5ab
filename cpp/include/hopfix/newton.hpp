// Damped Newton iteration for xi = f(xi), for fixed points of any Morse index.
#pragma once

#include <vector>

#include "hopfix/network.hpp"

namespace hopfix {

// Solves from one start after another; keeps scratch memory, so use one per thread.
class NewtonSolver {
 public:
  // Keeps a reference.
  explicit NewtonSolver(const Network<double>& network);

  // Moves `state` to a fixed point; returns whether the residual |f(xi) - xi| came down to
  // rounding. The step is (I - J)^-1 (f - xi), halved until the residual falls; where no part of
  // it helps, one plain update is taken instead. O(n dim + m^2 l) an iteration for the smaller m
  // and the larger l of dim and the number of patterns with any weight; no dim x dim matrix where
  // that number is smaller.
  bool solve(double* state, int max_iterations = 100);

  // |f(state) - state|; leaves weights and f(state) - state in the members.
  double residual(const double* state);

 private:
  void newton_step();
  void solve_by_components(std::ptrdiff_t active);
  void solve_by_patterns(std::ptrdiff_t active);
  void subtract_from_identity(std::ptrdiff_t size);

  const Network<double>& network_;
  double scale_;  // largest |x_i|, the unit of distances
  std::vector<double> weights_, difference_, rows_, matrix_, coefficients_, step_, trial_;
};

}  // namespace hopfix
