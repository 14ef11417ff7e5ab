// Whether a face of the power diagram may hold the point of a critical face.
//
// Let I be critical, J a subset of it and C the patterns that may join J, so that I lies in J and C
// together, E its energy |xi|^2 / 2 - c at xi = xi_I. Weights w, free on J and <= 0 elsewhere, with
// sum s and e = sum w_k x_k, give sum w_k (s_k - c) >= 0, that is c s <= e . xi + sum w_k a_k. So
//
//   s = 1:   E >= |xi - e|^2 / 2 - |e|^2 / 2 - sum w_k a_k            (1)
//   s = 0:   e . xi + sum w_k a_k >= 0, for some xi in the hull of the patterns
//
// And E is the largest value of -|sum q_i x_i|^2 / 2 - sum q_i a_i over weights q >= 0 on I with
// sum 1, as the weights of I make this concave function stationary; on J and C together it is no
// less, and by duality at most
//
//   U = |eta|^2 / 2 + max_i (-x_i . eta - a_i)   for any eta.         (2)
//
// Where a bound (1) exceeds a bound (2) there is no such I. Else |xi - e|^2 <= 2 (U - L), and m in
// C with weights mu on J, sum 1, and g = x_m - sum mu_j x_j must satisfy |g . e + a_m - sum mu_j
// a_j|
// <= |g| |xi - e|: it can leave C otherwise. Each inequality is evaluated from the weights at hand,
// however they were found, with all rounding bounded: nothing is left out that is not proved empty.
//
// Without offsets c = |xi|^2, and s = 1 gives |xi| <= |e|. Where e vanishes xi is the origin.
#pragma once

#include "exact_face.hpp"
#include "face_node.hpp"

namespace hopfix {

// The quadratic programme min |xi|^2 / 2 - c over V_J by the dual active-set method (Goldfarb and
// Idnani 1983): pattern sets S = J and W, weights free on J and <= 0 on W; the most violated score
// joins W, and members of W whose weight reaches 0 leave.
class PowerCell {
 public:
  // The bound (2) for all patterns, O(n^2); a cell takes it, as all of them share it.
  static double overall_bound(const PatternGram& gram, ExactFaces& exact);
  PowerCell(const PatternGram& gram, ExactFaces& exact, double overall)
      : gram_(gram),
        exact_(exact),
        upper_(overall),
        node_(gram),
        scores_(static_cast<std::size_t>(gram.n)) {}

  // False only if no critical face but those at the origin contains the members of `start` and, of
  // the other patterns, any of `candidates` (null: any at all). Candidates that are in no such face
  // are removed.
  bool may_hold(const FaceNode& start, std::vector<std::ptrdiff_t>* candidates);

  // Where the origin was taken for the only possible point without proof: faces further from it
  // than this were not left out.
  double origin_radius() const { return origin_radius_; }

 private:
  double absolute_sum() const;
  double sum_excess() const;
  double square() const;
  double lower_bound() const;
  double upper_bound(const std::vector<std::ptrdiff_t>& members,
                     const std::vector<std::ptrdiff_t>& candidates);
  bool drop_candidates(std::size_t fixed, std::vector<std::ptrdiff_t>& candidates);
  bool at_origin(std::size_t fixed);
  bool origin_is_certain(std::size_t fixed, double distance);
  std::ptrdiff_t most_violated();
  bool admit(std::ptrdiff_t k, std::size_t fixed);
  bool has_no_point(std::ptrdiff_t k);
  void remove(std::size_t which);
  // Of sums of weights times inner products, of weights of that absolute sum.
  double rounding(double absolute) const;

  const PatternGram& gram_;
  ExactFaces& exact_;
  const double upper_;
  FaceNode node_;
  std::vector<double> p_, mu_, scores_, shares_, own_scores_;
  double violation_ = 0, origin_radius_ = 0;
  bool outcome_ = true;
};

}  // namespace hopfix
