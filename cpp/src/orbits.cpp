#include "orbits.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "hopfix/interval.hpp"
#include "hopfix/rounding.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

// x_i . xi of the patterns of a class, up to a common constant. For every i and j, the difference
// of coordinates is within `slack` of (x_i - x_j) . xi.
struct Coordinates {
  std::vector<double> values;
  UpperBound slack{0};
};

// A class with different weights, as states see it.
class ClassView {
 public:
  ClassView(const Network<double>& network, const ExchangeableClass& exchangeable)
      : network_(network), members_(exchangeable.members) {
    half_square_ = exchangeable.kappa / Interval(network.beta());
    distance_ = sqrt(half_square_ * Interval(2));
    centre();
  }

  ptrdiff_t size() const { return static_cast<ptrdiff_t>(members_.size()); }
  const double* pattern(ptrdiff_t member) const {
    return network_.patterns().data() + members_[static_cast<size_t>(member)] * network_.dim();
  }
  Interval half_square() const { return half_square_; }  // D
  Interval distance() const { return distance_; }        // L
  UpperBound largest_pattern() const { return largest_pattern_; }

  // The exact mean M of the class has (x_i - x_j) . M = 0. The computed one, m, is off by
  // mean_error_, and (x_i - x_j) . (xi - m) is the difference of two products, computed for
  // centred patterns and state.
  Coordinates measure(const double* state) const {
    const ptrdiff_t dim = network_.dim();
    std::vector<double> offset(state, state + dim);
    for (ptrdiff_t k = 0; k < dim; ++k) offset[static_cast<size_t>(k)] -= mean_[at(k)];
    Coordinates result;
    for (ptrdiff_t i = 0; i < size(); ++i) {
      const double* row = centred_.data() + i * dim;
      double sum = 0;
      for (ptrdiff_t k = 0; k < dim; ++k) sum += row[k] * offset[at(k)];
      result.values.push_back(sum);
    }
    result.slack = 2.0 * gamma_bound(dim + 8) * largest_row_ * norm_bound(offset.data(), dim) +
                   UpperBound(distance_.hi) * mean_error_;
    return result;
  }

 private:
  static size_t at(ptrdiff_t i) { return static_cast<size_t>(i); }

  void centre() {
    const ptrdiff_t dim = network_.dim();
    mean_.assign(at(dim), 0.0);
    double largest = 0;
    for (ptrdiff_t i = 0; i < size(); ++i) {
      for (ptrdiff_t k = 0; k < dim; ++k) mean_[at(k)] += pattern(i)[k];
      largest = std::max(largest, norm_bound(pattern(i), dim).value());
    }
    for (double& value : mean_) value /= static_cast<double>(size());
    largest_pattern_ = UpperBound(largest);
    mean_error_ = gamma_bound(size() + 2) * largest_pattern_;
    double largest_row = 0;
    for (ptrdiff_t i = 0; i < size(); ++i) {
      for (ptrdiff_t k = 0; k < dim; ++k) centred_.push_back(pattern(i)[k] - mean_[at(k)]);
      largest_row = std::max(largest_row, norm_bound(centred_.data() + i * dim, dim).value());
    }
    largest_row_ = UpperBound(largest_row);
  }

  const Network<double>& network_;
  const std::vector<ptrdiff_t>& members_;
  Interval half_square_, distance_;
  UpperBound largest_pattern_{0}, largest_row_{0}, mean_error_{0};
  std::vector<double> mean_, centred_;  // size x dim
};

struct Range {
  double least, most;
};

Range range_of(const std::vector<double>& values, ptrdiff_t first, ptrdiff_t last) {
  const auto [least, most] = std::minmax_element(values.begin() + first, values.begin() + last);
  return {*least, *most};
}

// Where the values above the middle between the extremes come first, their number; else nothing.
std::optional<ptrdiff_t> leading(const std::vector<double>& values) {
  const Range all = range_of(values, 0, static_cast<ptrdiff_t>(values.size()));
  const double middle = all.least + (all.most - all.least) / 2;
  const auto above = [middle](double value) { return value > middle; };
  if (!(all.least < all.most) || !std::is_partitioned(values.begin(), values.end(), above))
    return std::nullopt;
  return std::partition_point(values.begin(), values.end(), above) - values.begin();
}

// How one class takes part in the images of one state: `above` of its weights are larger than the
// others, or it does not, with all of them equal (above = size).
struct Split {
  const ClassView* view;
  ptrdiff_t above;
  Coordinates coordinates;

  // Exchanges that take one choice of `above` patterns to another.
  ptrdiff_t most_exchanges() const { return std::min(above, view->size() - above); }
};

// How far exchanges among members first to last - 1 move a state at most: twice the distance to
// the states they keep, whose square is sum (x_i . xi - their mean)^2 / D, where any number does
// for the mean.
UpperBound asymmetry(const Split& split, ptrdiff_t first, ptrdiff_t last) {
  if (last - first < 2) return UpperBound(0);
  const Range range = range_of(split.coordinates.values, first, last);
  const double middle = range.least + (range.most - range.least) / 2;
  UpperBound sum(0);
  for (ptrdiff_t i = first; i < last; ++i) {
    const UpperBound here =
        UpperBound(std::fabs(split.coordinates.values[static_cast<size_t>(i)] - middle)) +
        split.coordinates.slack;
    sum = sum + here * here;
  }
  const double half_square = split.view->half_square().lo;
  return half_square > 0 ? 2.0 * sqrt(sum / half_square) : UpperBound(HUGE_VAL);
}

// The images of one state, one after the other.
class Images {
 public:
  Images(const Network<double>& network, const double* state, std::vector<Split> splits)
      : network_(network), state_(state, state + network.dim()) {
    UpperBound size = norm_bound(state, network.dim());
    double rows = 0;
    for (Split& split : splits) {
      if (split.most_exchanges() == 0) continue;
      const auto exchanges = static_cast<double>(split.most_exchanges());
      Moving moving{split.view, split.above, 0, {}};
      moving.chosen.resize(static_cast<size_t>(split.above));
      std::iota(moving.chosen.begin(), moving.chosen.end(), ptrdiff_t{0});
      error_ = error_ + choose_step(split, moving);
      size = size + UpperBound(2 * exchanges) * UpperBound(std::fabs(moving.step)) *
                        split.view->largest_pattern();
      rows += 2 * exchanges;
      count_ *= binomial(split.view->size(), split.above);
      moving_.push_back(std::move(moving));
    }
    error_ = error_ + gamma_bound(static_cast<ptrdiff_t>(rows) + 4) * size;
  }

  // Rounded, and infinite beyond the range of doubles.
  double count() const { return count_; }
  // The exact image is within this of a computed one; the first is exact.
  UpperBound error() const { return error_; }

  const std::vector<double>& current() {
    image_ = state_;
    for (const Moving& moving : moving_) {
      const auto k = static_cast<ptrdiff_t>(moving.chosen.size());
      for (const ptrdiff_t b : moving.chosen)
        if (b >= k) add(moving.step, moving.view->pattern(b));
      ptrdiff_t a = 0;
      for (const ptrdiff_t kept : moving.chosen) {
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
    const ClassView* view;
    ptrdiff_t above;
    double step;                    // u - v
    std::vector<ptrdiff_t> chosen;  // members with the larger weight
  };

  static double binomial(ptrdiff_t n, ptrdiff_t k) {
    double result = 1;  // every one is an integer
    for (ptrdiff_t i = 1; i <= k; ++i)
      result = result * static_cast<double>(n - k + i) / static_cast<double>(i);
    return result;
  }

  // One step for every pair: it misses some pair's, (x_a - x_b) . xi / D, by at most an error, and
  // m orthogonal vectors of length L times that sum to sqrt(m) L times it.
  static UpperBound choose_step(const Split& split, Moving& moving) {
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
    for (ptrdiff_t k = 0; k < network_.dim(); ++k)
      image_[static_cast<size_t>(k)] += factor * pattern[k];
  }

  // The next choice in lexicographic order; the first again, and false, after the last.
  static bool advance(Moving& moving) {
    auto& chosen = moving.chosen;
    const auto k = static_cast<ptrdiff_t>(chosen.size());
    ptrdiff_t place = k - 1;
    while (place >= 0 && chosen[static_cast<size_t>(place)] == moving.view->size() - k + place)
      --place;
    const ptrdiff_t from = place < 0 ? 0 : chosen[static_cast<size_t>(place)] + 1;
    std::iota(chosen.begin() + std::max(place, ptrdiff_t{0}), chosen.end(), from);
    return place >= 0;
  }

  const Network<double>& network_;
  const std::vector<double> state_;
  std::vector<Moving> moving_;
  std::vector<double> image_;
  UpperBound error_{0};
  double count_ = 1;
};

class Expansion {
 public:
  Expansion(const Network<double>& network, const std::vector<ExchangeableClass>& classes,
            CellList list, const CellOptions& options, const Execution& execution)
      : network_(network),
        options_(options),
        execution_(execution),
        from_(std::move(list)),
        to_(from_) {
    to_.states.clear();
    to_.certificates.clear();
    to_.undecided.clear();
    for (const ExchangeableClass& c : classes) {
      to_.symmetry.push_back(c.members);
      if (!c.identical) views_.emplace_back(network, c);
    }
    to_.representatives = from_.size();
  }

  CellList run() {
    for (ptrdiff_t i = 0; i < from_.size(); ++i) orbits_.push_back(splits_of(i));
    const double total = std::min(count_all(), static_cast<double>(options_.max_count));
    const bool fits = total * bytes_of_a_point() <= kMostBytes;
    for (ptrdiff_t i = 0; i < from_.size(); ++i) {
      expand_point(i, fits);
      ends_.push_back(to_.size());
    }
    if (to_.interrupted) shorten();
    for (const UndecidedRegion& region : from_.undecided) expand_region(region);
    to_.seconds = elapsed();
    return std::move(to_);
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr double kMostBytes = 0x1p33;
  static constexpr double kMostRegions = 4096;
  static constexpr ptrdiff_t kImagesBetweenLooks = 4096;

  const double* state(ptrdiff_t i) const { return from_.states.data() + i * network_.dim(); }

  // In Python: state, weights, their transients and a dozen numbers.
  double bytes_of_a_point() const {
    return 8.0 * static_cast<double>(2 * network_.dim() + 3 * network_.size() + 12);
  }

  double elapsed() const {
    return from_.seconds + std::chrono::duration<double>(Clock::now() - began_).count();
  }

  // Nothing where it cannot be decided which weights of the fixed point are equal.
  std::optional<std::vector<Split>> splits_of(ptrdiff_t i) const {
    const Certificate& certificate = from_.certificates[static_cast<size_t>(i)];
    std::vector<Split> splits;
    for (const ClassView& view : views_) {
      Split split{&view, view.size(), view.measure(state(i))};
      if (!all_equal(split, 0, view.size(), certificate)) {
        const auto above = leading(split.coordinates.values);
        if (!above) return std::nullopt;
        split.above = *above;
        if (!all_equal(split, 0, *above, certificate) ||
            !all_equal(split, *above, view.size(), certificate) || !differ(split, certificate))
          return std::nullopt;
      }
      splits.push_back(std::move(split));
    }
    return splits;
  }

  static bool all_equal(const Split& split, ptrdiff_t first, ptrdiff_t last,
                        const Certificate& certificate) {
    const Range range = range_of(split.coordinates.values, first, last);
    const double distance = split.view->distance().lo;
    if (!(distance > 0)) return false;
    const UpperBound product =
        UpperBound(rounded::add_up(range.most, -range.least)) + split.coordinates.slack;
    return (2.0 * product / distance + UpperBound(certificate.radius)).value() <
           certificate.uniqueness_radius;
  }

  static bool differ(const Split& split, const Certificate& certificate) {
    const auto& values = split.coordinates.values;
    const Range above = range_of(values, 0, split.above);
    const Range below = range_of(values, split.above, split.view->size());
    const UpperBound needed =
        UpperBound(split.view->distance().hi) * UpperBound(certificate.radius) +
        split.coordinates.slack;
    return rounded::add_down(above.least, -below.most) > needed.value();
  }

  double count_all() const {
    double total = 0;
    for (size_t i = 0; i < orbits_.size(); ++i)
      if (orbits_[i])
        total += Images(network_, state(static_cast<ptrdiff_t>(i)), *orbits_[i]).count();
    return total;
  }

  // Asked once the first `listed` images of an orbit are in the list. What the search has found is
  // there whatever the time.
  std::optional<UndecidedReason> limit_reached(ptrdiff_t listed, bool fits) {
    if (to_.size() >= options_.max_count) return UndecidedReason::count_limit;
    if (listed == 1 && !fits) return UndecidedReason::memory_limit;
    if (listed % kImagesBetweenLooks != 1) return std::nullopt;
    if (elapsed() > options_.time_limit) return UndecidedReason::time_limit;
    to_.interrupted = to_.interrupted || (execution_.stop_requested && execution_.stop_requested());
    if (to_.interrupted) return UndecidedReason::interrupted;
    return std::nullopt;
  }

  void expand_point(ptrdiff_t i, bool fits) {
    const Certificate& certificate = from_.certificates[static_cast<size_t>(i)];
    if (!orbits_[static_cast<size_t>(i)]) {
      if (to_.size() < options_.max_count) push(state(i), certificate, UpperBound(0));
      push_cover(state(i), certificate.radius, UndecidedReason::indistinct);
      return;
    }
    Images images(network_, state(i), *orbits_[static_cast<size_t>(i)]);
    UpperBound error(0);
    ptrdiff_t listed = 0;
    do {
      if (const auto reason = limit_reached(listed, fits))
        return push_cover(state(i), certificate.radius, *reason);
      push(images.current().data(), certificate, error);
      error = images.error();
      ++listed;
    } while (images.advance());
  }

  // Who interrupts does not want to wait for a long list to be passed on.
  void shorten() {
    constexpr ptrdiff_t kMost = 100000;
    if (to_.size() <= kMost) return;
    to_.certificates.resize(static_cast<size_t>(kMost));
    to_.states.resize(static_cast<size_t>(kMost * network_.dim()));
    for (ptrdiff_t i = 0; i < from_.size(); ++i)
      if (ends_[static_cast<size_t>(i)] > kMost)
        push_cover(state(i), from_.certificates[static_cast<size_t>(i)].radius,
                   UndecidedReason::interrupted);
  }

  // A certified point, `error` away from where the certificate was made.
  void push(const double* image, Certificate certificate, UpperBound error) {
    const ptrdiff_t dim = network_.dim();
    rounded_.assign(image, image + dim);
    if (options_.single_precision) {
      for (double& value : rounded_) value = static_cast<double>(static_cast<float>(value));
      error = error + distance_bound(image, rounded_.data(), dim, difference_);
    }
    const double radius = (UpperBound(certificate.radius) + error).value();
    const double unique = lower_bound(certificate.uniqueness_radius - error.value());
    if (!(radius < unique)) {
      to_.undecided.push_back({rounded_, radius, UndecidedReason::precision});
      return;
    }
    if (error.value() > 0) {
      certificate.radius = radius;
      certificate.uniqueness_radius = unique;
    }
    to_.states.insert(to_.states.end(), rounded_.begin(), rounded_.end());
    to_.certificates.push_back(certificate);
  }

  // One region for all images of the ball around a state.
  void push_cover(const double* centre, double radius, UndecidedReason reason) {
    UpperBound reach(radius);
    for (const ClassView& view : views_)
      reach = reach + asymmetry({&view, view.size(), view.measure(centre)}, 0, view.size());
    to_.undecided.push_back(
        {std::vector<double>(centre, centre + network_.dim()), reach.value(), reason});
  }

  // Where exchanges move a region by less than its radius, a wider one stands for all images under
  // them.
  void expand_region(const UndecidedRegion& region) {
    UpperBound radius(region.radius);
    std::vector<Split> splits;
    for (const ClassView& view : views_) {
      Split split{&view, view.size(), view.measure(region.state.data())};
      UpperBound moved = asymmetry(split, 0, view.size());
      const auto above = leading(split.coordinates.values);
      if (!(moved.value() <= region.radius) && above && view.half_square().lo > 0) {
        split.above = *above;
        moved = asymmetry(split, 0, *above) + asymmetry(split, *above, view.size());
      }
      radius = radius + moved;
      splits.push_back(std::move(split));
    }
    Images images(network_, region.state.data(), std::move(splits));
    if (images.count() > 1 &&
        static_cast<double>(to_.undecided.size()) + images.count() > kMostRegions)
      return push_cover(region.state.data(), region.radius, region.reason);
    do {
      to_.undecided.push_back({images.current(), (radius + images.error()).value(), region.reason});
    } while (images.advance());
  }

  const Network<double>& network_;
  const CellOptions& options_;
  const Execution& execution_;
  const Clock::time_point began_ = Clock::now();
  const CellList from_;
  CellList to_;
  std::vector<ClassView> views_;
  std::vector<std::optional<std::vector<Split>>> orbits_;
  std::vector<ptrdiff_t> ends_;  // of the orbits in the list
  std::vector<double> rounded_, difference_;
};

}  // namespace

CellList expand_orbits(const Network<double>& network,
                       const std::vector<ExchangeableClass>& classes, CellList list,
                       const CellOptions& options, const Execution& execution) {
  return Expansion(network, classes, std::move(list), options, execution).run();
}

}  // namespace hopfix
