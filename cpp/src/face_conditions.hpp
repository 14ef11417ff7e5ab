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

  const FaceGeometry& geometry_;
  Interval theta_;
  // Lower bounds: of the margins (q) and (k, q), of the entropies and slopes (k).
  std::vector<double> margins_, facet_margins_, entropies_, slopes_;
};

}  // namespace hopfix
