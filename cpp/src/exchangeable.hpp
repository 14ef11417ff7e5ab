// Patterns that can be exchanged without changing the problem, and what that says about weights.
//
// i and j are exchangeable if b_i = b_j, |x_i| = |x_j| and x_i . x_k = x_j . x_k for every other k:
// exactly, for the given doubles. Exchanging them keeps the Gram matrix and the log-weights. The
// permutations that do so form a group, in which (i k) = (i j)(j k)(i j), so that patterns fall
// into classes, within which every permutation does. A permutation s that keeps the Gram matrix is
// an isometry of the state space, Q x_i = x_s(i), and f(Q xi) = Q f(xi) if it keeps the log-weights
// too: Q takes fixed points to fixed points, with their spectrum, and certificates with them.
//
// In a class, |x_i|^2 - x_i . x_j has one value D for all i and j (D = |x_i - x_j|^2 / 2), and the
// scores of weight_form.hpp differ by kappa (p_i - p_j), kappa = beta D. So at a fixed point
// log p_i - kappa p_i is the same for all i of a class. It grows with p up to p = 1/kappa and falls
// beyond: the weights of a class are all equal, or have two values u > 1/kappa > v. Those of
// identical patterns (kappa = 0) are equal.
#pragma once

#include <cstddef>
#include <vector>

#include "hopfix/interval.hpp"
#include "hopfix/network.hpp"
#include "weight_form.hpp"

namespace hopfix {

struct ExchangeableClass {
  std::vector<std::ptrdiff_t> members;  // two or more, ascending
  Interval kappa;
  bool identical = false;

  std::ptrdiff_t size() const { return static_cast<std::ptrdiff_t>(members.size()); }
  // 1/kappa, as far as it matters to weights: its upper end is at most 1.
  Interval threshold() const;
};

// The classes of two patterns or more, by their first members. Products of doubles beyond 2^990 or
// below 2^-900 count as different. O(n^2 dim) beside the Gram matrix where there are few classes.
std::vector<ExchangeableClass> exchangeable_classes(const Network<double>& network,
                                                    const ScaledGram& gram);

}  // namespace hopfix
