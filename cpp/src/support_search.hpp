// Proves that a list of certified fixed points is complete, from their supports.
//
// Let p be the weights of a fixed point xi, s_i = x_i . xi + b_i / beta, C = lse(beta s) / beta, so
// that s_i = C + log(p_i) / beta <= C. For any share eta <= 1/n the point has exactly one support
// I = {i : p_i >= eta}, not empty, on which s_i >= C - delta, delta = log(1 / eta) / beta. All sets
// that can be part of a support are enumerated depth first, and in each that is left the region
// {p_I >= eta, the others <= eta} is shrunk and split (support_region.hpp) until it is proved to
// hold no fixed point, or lies inside a ball in which at most one certified point lies. If all
// regions are decided, the certified points are all there are, whatever beta.
//
// A set J is left out only by proof. For any numbers nu with sum 1, free on J and <= 0 elsewhere,
//   sum nu_i s_i >= C - delta S, S the sum of the positive nu, and C >= |xi|^2 + sum p_i a_i,
//   a = b / beta (the entropy of p is not negative), so that with x_nu = sum nu_i x_i
//   |xi - x_nu / 2|^2 <= |x_nu|^2 / 4 + sum nu_i a_i - min a + delta S.          (*)
// J is no part of a support if the right side is negative, or if the ball (*) lies in a `clear`
// ball, in which there is no other fixed point than a certified one: around a point at which all
// eigenvalues of J are above 1 (Certificate::concave_radius), as the centre, or around the origin
// if the hull of the patterns does not reach it. The nu are those of the dual active-set method by
// which critical_faces.hpp prunes, so that for small delta the same sets are left.
//
// For beta -> infinity delta goes to 0, and with it all that is left of a set beside its critical
// face, so that the regions of non-degenerate faces are decided as soon as they shrink. No explicit
// beta is claimed above which that is so, and there is none below which the proof has to fail.
#pragma once

#include <cstdint>
#include <vector>

#include "archive.hpp"
#include "hopfix/certificate.hpp"
#include "hopfix/face_search.hpp"
#include "hopfix/network.hpp"

namespace hopfix {

struct SupportProof {
  std::vector<double> states;  // further certified points, count x dim; they may repeat known ones
  std::vector<Certificate> certificates;
  std::vector<UndecidedRegion> undecided;  // empty: complete
  std::int64_t sets = 0, regions = 0, newton_steps = 0;
  int depth = 0;

  void write(Writer& writer) const;
  void read(Reader& reader);
};

// known: certified points. `seconds` are left. Stops at the first blocks of sets with one that
// stays undecided. Throws Interrupted. O(n dim + |I|^3) a set and region; 24 n^2 bytes.
SupportProof prove_by_supports(const Network<double>& network, const std::vector<double>& states,
                               const std::vector<Certificate>& certificates,
                               const FaceSearchOptions& options, double seconds,
                               const Execution& execution);

}  // namespace hopfix
