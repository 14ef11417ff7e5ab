// Equilibria of a few patterns by themselves, in their weights.
//
// Restricted to the patterns of a face I, a fixed point is a solution p > 0 of
//   log p_i - beta (G p)_i - b_i = c  (i in I),   sum p = 1,   G the Gram matrix of the face,
// where every nonlinearity is one logarithm: Newton needs a handful of steps at any beta, while
// in the state space its domain of attraction shrinks like 1 / beta. The solution is the start of
// the search for the fixed point of the whole network near that face.
#pragma once

#include <vector>

#include "hopfix/network.hpp"

namespace hopfix {

class FaceNewton {
 public:
  // Keeps a reference; scratch memory inside, so use one per thread.
  explicit FaceNewton(const Network<double>& network) : network_(network) {}

  // weights (one per member of `face`, all > 0, any scale) are moved to a solution. Returns false,
  // with weights of no meaning, when the iteration does not settle. O(|I|^2 dim + |I|^3 steps).
  bool solve(const std::vector<std::ptrdiff_t>& face, std::vector<double>& weights);

 private:
  const Network<double>& network_;
  std::vector<double> rows_, gram_, matrix_, step_;
};

}  // namespace hopfix
