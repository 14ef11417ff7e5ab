// From a set of patterns with weights to the fixed point near it.
#pragma once

#include <cstdint>
#include <vector>

#include "hopfix/face_newton.hpp"
#include "hopfix/network.hpp"

namespace hopfix {

// Keeps scratch memory: one per thread.
class FaceSolver {
 public:
  // Keeps a reference.
  explicit FaceSolver(const Network<double>& network);

  // Writes the state found, near which there need not be a fixed point. O(n dim + m^3) a step, m
  // the patterns whose weight is felt.
  void solve(const std::int64_t* members, std::ptrdiff_t size, const double* weights,
             double* state);

 private:
  void place(double* state) const;
  void add_felt_patterns(const double* state);

  const Network<double>& network_;
  FaceNewton face_newton_;
  std::vector<std::ptrdiff_t> face_, own_;
  std::vector<double> weights_, own_weights_, logits_;
};

}  // namespace hopfix
