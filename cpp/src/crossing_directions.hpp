// In which directions branches leave a point where several eigenvalues of J are 1.
//
// With V = ker(I - J) of dimension m and the vector t that solves (I - J) t = df/ds, the kernel of
// the derivative of F in (eta, s) is spanned by (V, 0) and (t, 1). A branch that leaves along k in
// it satisfies v . D2F(k, k) = 0 for all v in V. Where the third cumulant vanishes on V, as odd
// symmetries make it, all of (V, 0) does so, and directions (v, 0) solve the cubic equations
//   C(v) + l D2F(v, (t, 1)) = 0,   C(v) = D3f(v, v, v) / 6 + D2f(v, (I - J)^+ D2f(v, v) / 2)
// on V, for some l (Golubitsky, Stewart & Schaeffer 1988, chapter XIII). Either system is solved by
// Newton's method on the unit sphere, from the projections of the sums of subsets of patterns:
// these are the lines fixed by the symmetries that exchange patterns (equivariant branching lemma);
// and from pseudo-random directions. Of a continuum of solutions, which higher orders decide about,
// only those of the first kind are taken. So the list holds what branches leave along such lines;
// others may be missing.
#pragma once

#include <functional>

#include "branch_events.hpp"

namespace hopfix {

// Lines through the origin, each once, to within kSameLine of a unit vector.
class LineSet {
 public:
  // False if it is there already.
  bool insert(const Coordinates& unit);
  bool contains(const Coordinates& unit) const;

 private:
  struct Entry {
    double key;
    Coordinates unit;
  };
  static Entry make_entry(const Coordinates& unit);
  std::vector<Entry> entries_;  // by ascending key
};

// A branch leaves along direction r + bend r^2, a unit vector and what is known of the bend.
struct CrossingDirection {
  Coordinates direction, bend;
  bool isolated = true;  // else next to directions that solve the equations as well
};

// One per line, in an order fixed by the event alone. Newton's steps cost
// O(n m^2 + m^3), and r^2 m in the cubic case; at most 2^14 starts. `stop` is asked between them.
std::vector<CrossingDirection> crossing_directions(BranchCurve& curve, const LocatedEvent& event,
                                                   const std::function<bool()>& stop);

}  // namespace hopfix
