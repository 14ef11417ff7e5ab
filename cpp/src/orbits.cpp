#include "orbits.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <utility>

#include "hopfix/interval.hpp"
#include "hopfix/rounding.hpp"
#include "orbit_images.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

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
  std::optional<std::vector<OrbitSplit>> splits_of(ptrdiff_t i) const {
    const Certificate& certificate = from_.certificates[static_cast<size_t>(i)];
    std::vector<OrbitSplit> splits;
    for (const ExchangeableView& view : views_) {
      OrbitSplit split{&view, view.size(), view.measure(state(i))};
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

  static bool all_equal(const OrbitSplit& split, ptrdiff_t first, ptrdiff_t last,
                        const Certificate& certificate) {
    const Range range = range_of(split.coordinates.values, first, last);
    const double distance = split.view->distance().lo;
    if (!(distance > 0)) return false;
    const UpperBound product =
        UpperBound(rounded::add_up(range.most, -range.least)) + split.coordinates.slack;
    return (2.0 * product / distance + UpperBound(certificate.radius)).value() <
           certificate.uniqueness_radius;
  }

  static bool differ(const OrbitSplit& split, const Certificate& certificate) {
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
        total += OrbitImages(network_, state(static_cast<ptrdiff_t>(i)), *orbits_[i]).count();
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
    OrbitImages images(network_, state(i), *orbits_[static_cast<size_t>(i)]);
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
    for (const ExchangeableView& view : views_)
      reach = reach + asymmetry({&view, view.size(), view.measure(centre)}, 0, view.size());
    to_.undecided.push_back(
        {std::vector<double>(centre, centre + network_.dim()), reach.value(), reason});
  }

  // Where exchanges move a region by less than its radius, a wider one stands for all images under
  // them.
  void expand_region(const UndecidedRegion& region) {
    UpperBound radius(region.radius);
    std::vector<OrbitSplit> splits;
    for (const ExchangeableView& view : views_) {
      OrbitSplit split{&view, view.size(), view.measure(region.state.data())};
      UpperBound moved = asymmetry(split, 0, view.size());
      const auto above = leading(split.coordinates.values);
      if (!(moved.value() <= region.radius) && above && view.half_square().lo > 0) {
        split.above = *above;
        moved = asymmetry(split, 0, *above) + asymmetry(split, *above, view.size());
      }
      radius = radius + moved;
      splits.push_back(std::move(split));
    }
    OrbitImages images(network_, region.state.data(), std::move(splits));
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
  std::vector<ExchangeableView> views_;
  std::vector<std::optional<std::vector<OrbitSplit>>> orbits_;
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
