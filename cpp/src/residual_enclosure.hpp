// Enclosures of xi - f(xi) over boxes of states, component by component.
//
// * coarse: bounds of the weights from the ranges of all logit differences, which are linear in xi,
//   then of the averages sum q x_k over the weights within them that sum to 1. Sharp on large
//   boxes, where few patterns can have weight.
// * refine: the mean-value form around the middle m. With s the largest variation of a logit
//   difference between m and a point m + v of the box, exp(-s) J(m) <= J(m + t v) <= exp(s) J(m)
//   (self-concordance, see certificate.hpp: the third cumulant along v is at most the range of
//   beta x . v times the variance), so that component c of f(m + v) - f(m) - J(m) v is at most
//   (exp(s) - 1)/2 sqrt(J_cc v . J v). Its error shrinks with the square of the box.
//
// Patterns that have at most exp(-34) of the weight of another everywhere on the box are left out
// of both: f differs from the average over the others by at most their share times the range.
#pragma once

#include <cstddef>
#include <vector>

#include "hopfix/interval.hpp"
#include "hopfix/network.hpp"

namespace hopfix {

class ResidualEnclosure {
 public:
  struct Workspace {
    std::vector<double> middle, radius;            // of the box
    std::vector<double> logits, logit_errors;      // at the middle
    std::vector<std::ptrdiff_t> live;              // patterns with weight
    std::vector<double> exponentials;              // lower bounds of exp(z_a - z_c), live x live
    std::vector<double> least, most;               // of the weights among the live patterns
    std::vector<Interval> weights, mean, offsets;  // at the middle
    std::vector<Interval> jacobian;
    double dead = 0;       // bound of the weight of all patterns left out
    double variation = 0;  // of the logit differences of live patterns
  };

  // Keeps a reference. O(n dim log n).
  explicit ResidualEnclosure(const Network<double>& network);

  std::ptrdiff_t dim() const { return dim_; }
  // Bounds of the k-th coordinate of the patterns.
  Interval range(std::ptrdiff_t k) const { return ranges_[static_cast<std::size_t>(k)]; }

  // residual (dim) := bounds over the box (dim).
  void coarse(const Interval* box, Interval* residual, Workspace& work) const;
  // Tightens what coarse() found for the same box, with the same workspace.
  void refine(Interval* residual, Workspace& work) const;

 private:
  bool weigh(const Interval* box, Workspace& work) const;
  double lowest_difference(std::ptrdiff_t i, std::ptrdiff_t j, const Workspace& work) const;
  double variation(std::ptrdiff_t i, std::ptrdiff_t j, const Workspace& work) const;
  std::ptrdiff_t most_likely(const Workspace& work) const;
  void bound_weights(Workspace& work) const;
  void bound_weights_by_pairs(Workspace& work) const;
  void bound_weights_by_reference(Workspace& work) const;
  double least_average(std::ptrdiff_t k, bool negated, const Workspace& work) const;
  void average_at_middle(Workspace& work) const;
  void jacobian_at_middle(Workspace& work) const;

  double pattern(std::ptrdiff_t i, std::ptrdiff_t k) const {
    return network_.patterns()[static_cast<std::size_t>(i * dim_ + k)];
  }

  const Network<double>& network_;
  std::ptrdiff_t n_, dim_;
  std::vector<Interval> ranges_;
  std::vector<std::ptrdiff_t> orders_;  // dim x n: patterns by ascending k-th coordinate
};

}  // namespace hopfix
