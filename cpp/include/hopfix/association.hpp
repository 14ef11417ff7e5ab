// Associations of many sets at once, the inner part of a Hopfield layer (Ramsauer et al. 2020): for
// every sample, head and query, with the patterns k_i and values v_i of that sample and head,
//
//   p(q) = softmax_i(beta k_i . q + b_i)     q <- sum_i p_i(q) k_i   `steps` times
//   out = sum_i p_i(q) v_i
//
// Without steps that is scaled dot-product attention. A query iterates by itself: it stops after
// max_steps updates, or after the first that changes its weights by |p - p_before|_2 <= tolerance.
// A bias b_i of -inf excludes a pattern; a query without any pattern gets out = 0 and derivatives
// 0.
//
// Element (sample, head, row, k) of an array lies at data[sample * batch + head * head + row * row
// + k], with any strides: those of torch tensors of shape (B, L, H D) need no copy, a batch stride
// of 0 shares rows. T is float or double. Sums run in an order fixed by the sizes alone: results do
// not depend on the number of threads, those of a query neither on the others.
//
// Accuracy: as hopfix/network.hpp. NaN goes where it would go in the formulas.
// Cost: O(patterns (dim + value_dim)) a query and step, without any (queries x patterns) array;
// with steps one of 2 x patterns x 32 numbers a thread, with a bias as much again.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hopfix/parallel.hpp"

namespace hopfix {

template <class T>
struct HeadRows {
  T* data = nullptr;
  std::ptrdiff_t batch = 0, head = 0, row = 0;

  T* at(std::ptrdiff_t b, std::ptrdiff_t h, std::ptrdiff_t i) const {
    return data + b * batch + h * head + i * row;
  }
};

struct AssociationSizes {
  std::ptrdiff_t batch, heads, queries, patterns, dim, value_dim;
};

template <class T>
struct AssociationInput {
  AssociationSizes sizes;
  HeadRows<const T> queries, patterns, values;
  HeadRows<const T> pattern_bias;  // row 0 of `patterns` numbers: added for every query; or nullptr
  HeadRows<const T> bias;          // rows of `patterns` numbers, one per query; or nullptr
  const T* beta;                   // heads
  // The queries of a head form `groups` runs of equal length with rules of their own: group g of
  // head h has those at h groups + g.
  std::ptrdiff_t groups;
  // Updates of a query at most, or kToConvergence: until it stops, at most kMostSteps.
  const std::int64_t* max_steps;
  const double* tolerance;  // >= 0
  // dim x dim and dim numbers of every rule, or nullptr: the updated query is then not the average
  // m = sum_i p_i k_i but m M + s (s only where there is a pattern).
  const T *maps = nullptr, *shifts = nullptr;

  std::ptrdiff_t rules() const { return sizes.heads * groups; }
  std::ptrdiff_t rule(std::ptrdiff_t h, std::ptrdiff_t query) const {
    return h * groups + query * groups / sizes.queries;
  }
};

inline constexpr std::int64_t kToConvergence = -1, kMostSteps = 10000;

// What the derivatives need of the way there. For a query of a head with finite max_steps: its
// state after t = 1, 2, … updates in slot t - 1 of `states` (slots x batch x heads x queries x
// dim), and log sum exp of the logits of state t in slot t of `log_sums` (slots + 1 x batch x heads
// x queries). With kToConvergence the last state is in slot 0 and its log sum in slot 1. With maps
// it is not the states that are kept, but the averages from which they are mapped.
template <class T>
struct AssociationTrace {
  T* states = nullptr;
  T* log_sums = nullptr;
};

// out: batch x heads x queries x value_dim; steps: batch x heads x queries. Returns how many
// queries to be iterated to convergence had not converged after kMostSteps.
template <class T>
std::int64_t associate(const AssociationInput<T>& input, const HeadRows<T>& out,
                       std::int64_t* steps, const AssociationTrace<T>& trace,
                       const Execution& execution);

// Derivatives of sum(out_cotangents * out). Without data for those of the values, which are then
// the patterns, both are added. With maps, where all max_steps are finite: those of the sum by the
// states after t = 1, 2, … updates, in slot t - 1 of `states` (as in AssociationTrace), zero where
// a query did not take so many; the derivatives of maps and shifts are products of these.
template <class T>
struct AssociationGradients {
  HeadRows<T> queries, patterns, values;
  double* beta;  // heads
  T* states = nullptr;
};

// With finite max_steps: of the computation, through all updates taken. With kToConvergence: of the
// fixed point that the query converged to, by the implicit function theorem: (I - J) lambda = c
// with J = beta Cov_p(k) is solved by conjugate gradients, and where I - J is not positive definite
// by LU. Returns the number of queries for which I - J is singular to working precision: their
// derivative does not exist, and the gradients are then not to be used.
template <class T>
std::int64_t associate_adjoint(const AssociationInput<T>& input, const HeadRows<const T>& out,
                               const std::int64_t* steps, const AssociationTrace<const T>& trace,
                               const HeadRows<const T>& out_cotangents,
                               const AssociationGradients<T>& gradients,
                               const Execution& execution);

}  // namespace hopfix
