// Iteration of the update to convergence, every query by itself.
#pragma once

#include <cstdint>
#include <vector>

#include "hopfix/network.hpp"

namespace hopfix {

template <class T>
struct Retrieval {
  std::vector<T> states;            // count x dim
  std::vector<std::int64_t> steps;  // updates of each query, accelerated or not
  std::vector<std::uint8_t> converged;
  std::vector<T> residual;  // |f(state) - state| of the returned state
};

// A query stops at the first state with |f(xi) - xi| <= tol max(1, |xi|), or after max_steps
// updates. Cost: one update more than steps, which judges the returned state; from 512 patterns on
// far less where queries iterate on proved short lists (src/screening.hpp). Inside a ball on which
// the update is proved to be a contraction the iteration is accelerated (src/anderson.hpp), and
// near an attractor of the network it is over (src/attractors.hpp): it ends in the fixed point of
// the plain one. What max_steps cuts short is the result of plain updates, to the bit.
// max_steps and tol at least 0, below 2^62 and finite. Throws Interrupted when a stop was
// requested.
template <class T>
Retrieval<T> retrieve(const Network<T>& network, const T* states, std::ptrdiff_t count,
                      std::int64_t max_steps, double tol, const Execution& execution);

}  // namespace hopfix
