// Points of one branch: corrector, tangent and spectrum.
#pragma once

#include <optional>

#include "continuation_map.hpp"

namespace hopfix {

// A point of a branch with what is needed to go on from it.
struct CurvePoint {
  Coordinates z, tangent;  // the tangent is of length 1
  Eigenpairs spectrum;
  double sigma = 0;  // arclength along the branch so far

  std::ptrdiff_t morse_index() const { return spectrum.above(); }
};

// How Newton's method fared: the first correction, and by how much the second one was smaller.
struct Correction {
  bool converged = false;
  double first = 0, contraction = 0;
};

class BranchCurve {
 public:
  explicit BranchCurve(const ContinuationMap& map) : map_(map), point_(map) {}

  const ContinuationMap& map() const { return map_; }

  // Moves z, by Newton's method, to the solution of F = 0 on the plane through z across `normal`
  // (which may be the direction of s: then beta is kept).
  Correction correct(Coordinates& z, const Coordinates& normal);

  // The tangent at a solution z, towards `forward`; empty where the branch has none.
  std::optional<Coordinates> tangent(const Coordinates& z, const Coordinates& forward);

  // Tangent and spectrum at a solution z.
  std::optional<CurvePoint> point(const Coordinates& z, const Coordinates& forward);

  // The point whose distance from `from`, along the tangent there, is `distance`; the guess is
  // cubic between `from` and `to`.
  std::optional<CurvePoint> between(const CurvePoint& from, const CurvePoint& to, double distance);

  // F, J and so on at z.
  const MapPoint& evaluate(const Coordinates& z) {
    point_.evaluate(z);
    return point_;
  }

 private:
  std::vector<double> bordered(const Coordinates& row) const;

  const ContinuationMap& map_;
  MapPoint point_;
};

// The cubic through two points with their tangents, `distance` along the first tangent.
Coordinates hermite(const CurvePoint& from, const CurvePoint& to, double distance);

// How many eigenvalues of J cross 1 between two points, upwards and downwards together: the squared
// Frobenius distance of the projectors on their eigenvectors above 1. A whole number but for the
// turning of these spaces in between.
double crossings(const Eigenpairs& a, const Eigenpairs& b);

}  // namespace hopfix
