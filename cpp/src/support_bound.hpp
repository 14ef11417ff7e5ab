// The bound (*) of support_search.hpp, with all rounding.
#pragma once

#include <cstddef>
#include <vector>

#include "hopfix/network.hpp"
#include "hopfix/rounding.hpp"

namespace hopfix {

// No fixed point lies strictly inside but, possibly, a certified one.
struct ClearBall {
  std::vector<double> centre;
  double radius;
};

class SupportBound {
 public:
  // log_share: an upper bound of log(1 / eta).
  SupportBound(const Network<double>& network, double log_share, std::vector<ClearBall> clear);

  // Whether weights nu (whose first is replaced by 1 - the others) prove that no fixed point with
  // scores as on J, of which `own` says whether the pattern members[l] is one, is unknown.
  // `others` of the members, whose weights count as 0 where positive, are outside J.
  bool excludes(const std::vector<std::ptrdiff_t>& members, const std::vector<double>& weights,
                std::size_t own);

 private:
  const Network<double>& network_;
  double log_share_, least_b_ = 0, largest_b_ = 0, largest_norm_ = 0;
  std::vector<ClearBall> clear_;
  std::vector<double> point_, difference_;
};

// The ball around the origin that the hull of the patterns is proved not to reach; radius 0 if
// none was found. O(n dim) a step.
ClearBall ball_outside_hull(const Network<double>& network);

}  // namespace hopfix
