// The images of a state under exchanges of the patterns of exchangeable classes (exchangeable.hpp),
// with bounds of all rounding.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "exchangeable.hpp"
#include "hopfix/interval.hpp"
#include "hopfix/network.hpp"
#include "hopfix/rounding.hpp"

namespace hopfix {

// x_i . xi of the patterns of a class, up to a common constant. For every i and j, the difference
// of coordinates is within `slack` of (x_i - x_j) . xi.
struct ClassCoordinates {
  std::vector<double> values;
  UpperBound slack{0};
};

// A class with different weights, as states see it.
class ExchangeableView {
 public:
  ExchangeableView(const Network<double>& network, const ExchangeableClass& exchangeable)
      : network_(network), members_(exchangeable.members) {
    half_square_ = exchangeable.kappa / Interval(network.beta());
    distance_ = sqrt(half_square_ * Interval(2));
    centre();
  }

  std::ptrdiff_t size() const { return static_cast<std::ptrdiff_t>(members_.size()); }
  const double* pattern(std::ptrdiff_t member) const {
    return network_.patterns().data() + members_[static_cast<std::size_t>(member)] * network_.dim();
  }
  Interval half_square() const { return half_square_; }  // D
  Interval distance() const { return distance_; }        // L
  UpperBound largest_pattern() const { return largest_pattern_; }

  // The exact mean M of the class has (x_i - x_j) . M = 0. The computed one, m, is off by
  // mean_error_, and (x_i - x_j) . (xi - m) is the difference of two products, computed for
  // centred patterns and state.
  ClassCoordinates measure(const double* state) const {
    const std::ptrdiff_t dim = network_.dim();
    std::vector<double> offset(state, state + dim);
    for (std::ptrdiff_t k = 0; k < dim; ++k) offset[static_cast<std::size_t>(k)] -= mean_[at(k)];
    ClassCoordinates result;
    for (std::ptrdiff_t i = 0; i < size(); ++i) {
      const double* row = centred_.data() + i * dim;
      double sum = 0;
      for (std::ptrdiff_t k = 0; k < dim; ++k) sum += row[k] * offset[at(k)];
      result.values.push_back(sum);
    }
    result.slack = 2.0 * gamma_bound(dim + 8) * largest_row_ * norm_bound(offset.data(), dim) +
                   UpperBound(distance_.hi) * mean_error_;
    return result;
  }

 private:
  static std::size_t at(std::ptrdiff_t i) { return static_cast<std::size_t>(i); }

  void centre() {
    const std::ptrdiff_t dim = network_.dim();
    mean_.assign(at(dim), 0.0);
    double largest = 0;
    for (std::ptrdiff_t i = 0; i < size(); ++i) {
      for (std::ptrdiff_t k = 0; k < dim; ++k) mean_[at(k)] += pattern(i)[k];
      largest = std::max(largest, norm_bound(pattern(i), dim).value());
    }
    for (double& value : mean_) value /= static_cast<double>(size());
    largest_pattern_ = UpperBound(largest);
    mean_error_ = gamma_bound(size() + 2) * largest_pattern_;
    double largest_row = 0;
    for (std::ptrdiff_t i = 0; i < size(); ++i) {
      for (std::ptrdiff_t k = 0; k < dim; ++k) centred_.push_back(pattern(i)[k] - mean_[at(k)]);
      largest_row = std::max(largest_row, norm_bound(centred_.data() + i * dim, dim).value());
    }
    largest_row_ = UpperBound(largest_row);
  }

  const Network<double>& network_;
  const std::vector<std::ptrdiff_t>& members_;
  Interval half_square_, distance_;
  UpperBound largest_pattern_{0}, largest_row_{0}, mean_error_{0};
  std::vector<double> mean_, centred_;  // size x dim
};

struct Range {
  double least, most;
};

inline Range range_of(const std::vector<double>& values, std::ptrdiff_t first,
                      std::ptrdiff_t last) {
  const auto [least, most] = std::minmax_element(values.begin() + first, values.begin() + last);
  return {*least, *most};
}

// Where the values above the middle between the extremes come first, their number; else nothing.
inline std::optional<std::ptrdiff_t> leading(const std::vector<double>& values) {
  const Range all = range_of(values, 0, static_cast<std::ptrdiff_t>(values.size()));
  const double middle = all.least + (all.most - all.least) / 2;
  const auto above = [middle](double value) { return value > middle; };
  if (!(all.least < all.most) || !std::is_partitioned(values.begin(), values.end(), above))
    return std::nullopt;
  return std::partition_point(values.begin(), values.end(), above) - values.begin();
}

// How one class takes part in the images of one state: `above` of its weights are larger than the
// others, or it does not, with all of them equal (above = size).
struct OrbitSplit {
  const ExchangeableView* view;
  std::ptrdiff_t above;
  ClassCoordinates coordinates;

  // Exchanges that take one choice of `above` patterns to another.
  std::ptrdiff_t most_exchanges() const { return std::min(above, view->size() - above); }
};

// How far exchanges among members first to last - 1 move a state at most: twice the distance to
// the states they keep, whose square is sum (x_i . xi - their mean)^2 / D, where any number does
// for the mean.
inline UpperBound asymmetry(const OrbitSplit& split, std::ptrdiff_t first, std::ptrdiff_t last) {
  if (last - first < 2) return UpperBound(0);
  const Range range = range_of(split.coordinates.values, first, last);
  const double middle = range.least + (range.most - range.least) / 2;
  UpperBound sum(0);
  for (std::ptrdiff_t i = first; i < last; ++i) {
    const UpperBound here =
        UpperBound(std::fabs(split.coordinates.values[static_cast<std::size_t>(i)] - middle)) +
        split.coordinates.slack;
    sum = sum + here * here;
  }
  const double half_square = split.view->half_square().lo;
  return half_square > 0 ? 2.0 * sqrt(sum / half_square) : UpperBound(HUGE_VAL);
}

// The images of one state, one after the other.
class OrbitImages {
 public:
  OrbitImages(const Network<double>& network, const double* state, std::vector<OrbitSplit> splits)
      : network_(network), state_(state, state + network.dim()) {
    UpperBound size = norm_bound(state, network.dim());
    double rows = 0;
    for (OrbitSplit& split : splits) {
      if (split.most_exchanges() == 0) continue;
      const auto exchanges = static_cast<double>(split.most_exchanges());
      Moving moving{split.view, split.above, 0, {}};
      moving.chosen.resize(static_cast<std::size_t>(split.above));
      std::iota(moving.chosen.begin(), moving.chosen.end(), std::ptrdiff_t{0});
      error_ = error_ + choose_step(split, moving);
      size = size + UpperBound(2 * exchanges) * UpperBound(std::fabs(moving.step)) *
                        split.view->largest_pattern();
      rows += 2 * exchanges;
      count_ *= binomial(split.view->size(), split.above);
      moving_.push_back(std::move(moving));
    }
    error_ = error_ + gamma_bound(static_cast<std::ptrdiff_t>(rows) + 4) * size;
  }

  // Rounded, and infinite beyond the range of doubles.
  double count() const { return count_; }
  // The exact image is within this of a computed one; the first is exact.
  UpperBound error() const { return error_; }

  const std::vector<double>& current() {
    image_ = state_;
    for (const Moving& moving : moving_) {
      const auto k = static_cast<std::ptrdiff_t>(moving.chosen.size());
      for (const std::ptrdiff_t b : moving.chosen)
        if (b >= k) add(moving.step, moving.view->pattern(b));
      std::ptrdiff_t a = 0;
      for (const std::ptrdiff_t kept : moving.chosen) {
        for (; a < std::min(kept, k); ++a) add(-moving.step, moving.view->pattern(a));
        a = kept + 1;
      }
      for (; a < k; ++a) add(-moving.step, moving.view->pattern(a));
    }
    return image_;
  }

  // False after the last one.
  bool advance() {
    for (auto moving = moving_.rbegin(); moving != moving_.rend(); ++moving)
      if (advance(*moving)) return true;
    return false;
  }

 private:
  struct Moving {
    const ExchangeableView* view;
    std::ptrdiff_t above;
    double step;                         // u - v
    std::vector<std::ptrdiff_t> chosen;  // members with the larger weight
  };

  static double binomial(std::ptrdiff_t n, std::ptrdiff_t k) {
    double result = 1;  // every one is an integer
    for (std::ptrdiff_t i = 1; i <= k; ++i)
      result = result * static_cast<double>(n - k + i) / static_cast<double>(i);
    return result;
  }

  // One step for every pair: it misses some pair's, (x_a - x_b) . xi / D, by at most an error, and
  // m orthogonal vectors of length L times that sum to sqrt(m) L times it.
  static UpperBound choose_step(const OrbitSplit& split, Moving& moving) {
    const auto& values = split.coordinates.values;
    const Range above = range_of(values, 0, split.above);
    const Range below = range_of(values, split.above, split.view->size());
    const double slack = split.coordinates.slack.value();
    const Interval products = Interval(above.least, above.most) -
                              Interval(below.least, below.most) + Interval(-slack, slack);
    const Interval steps = products / split.view->half_square();
    moving.step = steps.lo + (steps.hi - steps.lo) / 2;
    const double off =
        std::max(rounded::add_up(steps.hi, -moving.step), rounded::add_up(moving.step, -steps.lo));
    return sqrt(UpperBound(static_cast<double>(split.most_exchanges()))) * UpperBound(off) *
           UpperBound(split.view->distance().hi);
  }

  void add(double factor, const double* pattern) {
    for (std::ptrdiff_t k = 0; k < network_.dim(); ++k)
      image_[static_cast<std::size_t>(k)] += factor * pattern[k];
  }

  // The next choice in lexicographic order; the first again, and false, after the last.
  static bool advance(Moving& moving) {
    auto& chosen = moving.chosen;
    const auto k = static_cast<std::ptrdiff_t>(chosen.size());
    std::ptrdiff_t place = k - 1;
    while (place >= 0 && chosen[static_cast<std::size_t>(place)] == moving.view->size() - k + place)
      --place;
    const std::ptrdiff_t from = place < 0 ? 0 : chosen[static_cast<std::size_t>(place)] + 1;
    std::iota(chosen.begin() + std::max(place, std::ptrdiff_t{0}), chosen.end(), from);
    return place >= 0;
  }

  const Network<double>& network_;
  const std::vector<double> state_;
  std::vector<Moving> moving_;
  std::vector<double> image_;
  UpperBound error_{0};
  double count_ = 1;
};

}  // namespace hopfix
