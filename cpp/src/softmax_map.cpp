#include "hopfix/softmax_map.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "hopfix/double_double.hpp"

namespace hopfix {
namespace {

// The pair (n, k) as doubles, both exact.
struct Shape {
  double n;
  double k;
};

// What B and its derivatives are made of, at one y >= 0, each to nearly full relative accuracy.
struct Terms {
  DoubleDouble decay;    // e^-y
  DoubleDouble ratio;    // (1 - e^-y) / y
  DoubleDouble phi;      // (e^-y - 1 + y) / y^2
  DoubleDouble deficit;  // 1 - g(y), where g = decay / ratio
};

Terms terms(DoubleDouble y) {
  if (y.hi < 0.34) {  // the definitions cancel; everything follows from the series of phi
    const DoubleDouble phi = phi2_series(-y);
    const DoubleDouble ratio = 1.0 - y * phi;
    return {1.0 - y * ratio, ratio, phi, y * (1.0 - (1.0 + y) * phi) / ratio};
  }
  const DoubleDouble decay = exp(-y);
  const DoubleDouble ratio = (1.0 - decay) / y;
  return {decay, ratio, (1.0 - ratio) / y, 1.0 - decay / ratio};
}

// B(y) - n, which keeps its relative accuracy as y -> 0.
DoubleDouble excess(Shape s, DoubleDouble y, const Terms& t) { return y * s.k - t.deficit * s.n; }

// B'(y) = k + n g'(y), with g' = -decay phi / ratio^2.
DoubleDouble slope(Shape s, const Terms& t) {
  return s.k - t.decay * t.phi * s.n / (t.ratio * t.ratio);
}

// B''(y) = n g''(y) for y > 0.
DoubleDouble curvature(Shape s, DoubleDouble y, const Terms& t) {
  const DoubleDouble ratio_cubed = t.ratio * t.ratio * t.ratio;
  return t.decay * ((2.0 + y) * t.phi - 1.0) * s.n / (y * ratio_cubed);
}

// Newton's method y <- y - step(y) from a side where the iterates are monotone: they stop when
// the step turns round, which only rounding makes it do, or is so small that the next one, being
// quadratic, lies below the precision even beside a fold (steps of 2^-80, folds 2^-26 away).
template <class Step>
DoubleDouble monotone_newton(DoubleDouble y, Step newton_step) {
  DoubleDouble step = newton_step(y);
  const bool downwards = step.hi > 0.0;
  while ((step.hi > 0.0) == downwards && std::abs(step.hi) > 0x1p-80 * y.hi) {
    y = y - step;
    step = newton_step(y);
  }
  return y - step;
}

// The minimum of B for k < n/2. B' is increasing and concave (g''' < 0 is the inequality of Cusa
// and Huygens, 3 sinh y < y (2 + cosh y)), so Newton's iterates for B' = 0 ascend from y = 0; the
// first of them is 3 (n - 2k) / n.
DoubleDouble fold(Shape s) {
  return monotone_newton(DoubleDouble(s.n - 2.0 * s.k) * 3.0 / s.n, [s](DoubleDouble y) {
    const Terms t = terms(y);
    return slope(s, t) / curvature(s, y, t);
  });
}

// The root of B(y) = beta on the side of the fold on which `start` lies, where B(start) >= beta:
// B is convex, so the iterates approach the root and never pass it. gap = n - beta.
DoubleDouble root(Shape s, DoubleDouble gap, DoubleDouble start) {
  return monotone_newton(start, [s, gap](DoubleDouble y) {
    const Terms t = terms(y);
    return (excess(s, y, t) + gap) / slope(s, t);
  });
}

double threshold(Shape s) {
  if (2.0 * s.k >= s.n) return s.n;
  const DoubleDouble y = fold(s);
  return (excess(s, y, terms(y)) + s.n).hi;
}

// How many of the thresholds for k = 1, 2, ... < n/2 satisfy `below`; they ascend, as B does in k.
template <class Predicate>
std::int64_t count_thresholds(std::int64_t n, Predicate below) {
  std::int64_t low = 0;
  std::int64_t high = (n - 1) / 2;
  while (low < high) {
    const std::int64_t middle = high - (high - low) / 2;
    if (below(threshold({static_cast<double>(n), static_cast<double>(middle)}))) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

// The k that have classes are 1..existing; those beyond `regular` stand at their threshold.
struct Extent {
  std::int64_t regular;
  std::int64_t existing;
};

Extent extent(std::int64_t n, double beta) {
  const auto size = static_cast<double>(n);
  if (beta > size) return {n - 1, n - 1};
  if (beta == size) return {(n - 1) / 2, (n - 1) / 2};
  return {count_thresholds(n, [beta](double t) { return t < beta; }),
          count_thresholds(n, [beta](double t) { return t <= beta; })};
}

// The three eigenvalues besides 0 follow from beta = y / (u - v):
//
//   beta u = y / (1 - e^-y) > 1,   beta v = g(y) < 1,   1 - beta n u v = (u - v) B'(y).
//
// The last identity: g' = 1 / (e^y - 1) - y e^y / (e^y - 1)^2 and u - v = (e^y - 1) v give
// (u - v) B' = (k (e^y - 1) + n) v - n y e^y v / (e^y - 1), whose first term is 1 and whose second
// is n u (beta v). So the k - 1 eigenvalues of the first kind exceed 1, those of the second do not,
// and the mixed one does exactly where B decreases: at the smaller of two roots, for which the
// caller passes `decreasing`.
SoftmaxMapClass class_at(Shape s, DoubleDouble y, bool decreasing) {
  const Terms t = terms(y);
  const DoubleDouble u = DoubleDouble(1.0) / (s.k + (s.n - s.k) * t.decay);
  const DoubleDouble g = t.decay / t.ratio;
  const auto k = static_cast<std::int64_t>(s.k);
  return {k,
          u.hi,
          (t.decay * u).hi,
          y.hi,
          (DoubleDouble(1.0) / t.ratio).hi,
          g.hi,
          (g * u * s.n).hi,
          decreasing ? k : k - 1,
          false};
}

SoftmaxMapClass degenerate_class(Shape s) {
  SoftmaxMapClass result = class_at(s, fold(s), false);
  result.eigenvalue_mixed = 1.0;  // B' = 0 there; do not leave it to rounding
  result.degenerate = true;
  return result;
}

// The class of the larger root where e^-y underflows: B(y) = k y.
SoftmaxMapClass saturated_class(Shape s, double y) {
  const auto k = static_cast<std::int64_t>(s.k);
  return {k, 1.0 / s.k, 0.0, y, y, 0.0, 0.0, k - 1, false};
}

SoftmaxMapClass centre(std::int64_t n, double beta) {
  const auto size = static_cast<double>(n);
  const double eigenvalue = beta / size;
  return {n,
          1.0 / size,
          1.0 / size,
          0.0,
          eigenvalue,
          eigenvalue,
          eigenvalue,
          beta > size ? n - 1 : 0,
          beta == size && n > 1};
}

void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument(message);
}

constexpr std::int64_t kLargestSize = std::int64_t{1} << 53;

}  // namespace

double softmax_map_threshold(std::int64_t n, std::int64_t k) {
  require(n >= 2 && n <= kLargestSize, "n must be between 2 and 2^53, got " + std::to_string(n));
  require(k >= 1 && k < n, "k must be between 1 and n - 1, got " + std::to_string(k));
  return threshold({static_cast<double>(n), static_cast<double>(k)});
}

std::vector<SoftmaxMapClass> softmax_map_classes(std::int64_t n, double beta) {
  require(n >= 1 && n <= kLargestSize, "n must be between 1 and 2^53, got " + std::to_string(n));
  require(std::isfinite(beta) && beta > 0.0,
          "beta must be finite and positive, got " + std::to_string(beta));

  const auto size = static_cast<double>(n);
  const DoubleDouble gap = two_sum(size, -beta);
  const Extent range = extent(n, beta);
  std::vector<SoftmaxMapClass> classes;
  // B grows with k, so as k ascends the larger root descends and the smaller one ascends: each is
  // a monotone start for the next.
  DoubleDouble larger = std::numeric_limits<double>::infinity();
  DoubleDouble smaller = 0.0;
  for (std::int64_t k = 1; k <= range.regular; ++k) {
    const Shape s{size, static_cast<double>(k)};
    const double bound = beta / s.k;  // B(y) > k y
    if (bound > 800.0) {
      classes.push_back(saturated_class(s, bound));
    } else {
      larger = root(s, gap, std::min(larger, DoubleDouble(bound)));
      classes.push_back(class_at(s, larger, false));
    }
    if (beta < size) {
      smaller = root(s, gap, smaller);
      classes.push_back(class_at(s, smaller, true));
    }
  }
  for (std::int64_t k = range.regular + 1; k <= range.existing; ++k) {
    classes.push_back(degenerate_class({size, static_cast<double>(k)}));
  }
  classes.push_back(centre(n, beta));
  return classes;
}

}  // namespace hopfix
