// The conditions of sufficient_beta.hpp at one shrinkage, as proved by a witness.
#pragma once

#include <cstddef>
#include <vector>

#include "face_geometry.hpp"
#include "hopfix/sufficient_beta.hpp"

namespace hopfix {

class FaceConditions {
 public:
  FaceConditions(const FaceGeometry& geometry, double shrink, const FaceWitness& witness);

  // Whether they surely hold at beta, and so at every larger one.
  bool hold(double beta, double thickness) const;

 private:
  bool inward(double beta, double thickness) const;
  bool outward(std::ptrdiff_t facet, double beta, double thickness) const;
  // What a strategy proves of a pattern outside.
  struct Outside {
    double margin, entropy;
  };
  double log_ratio(const Outside& outside, std::ptrdiff_t j, double beta, double thickness) const;

  const FaceGeometry& geometry_;
  Interval theta_;
  Interval log_size_;
  std::vector<Outside> outside_, facet_outside_;  // (q) and (k, q), lower bounds
  std::vector<double> entropies_, slopes_;        // (k), of the facets' weights; lower bounds
};

}  // namespace hopfix
