#include "hopfix/degree.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <stdexcept>

#include "residual_enclosure.hpp"

namespace hopfix {

const char* describe(DegreeFailure failure) {
  switch (failure) {
    case DegreeFailure::none:
      return "";
    case DegreeFailure::boundary:
      return "a fixed point lies on the boundary, or too near it to be told from it";
    case DegreeFailure::no_general_ray:
      return "the map is degenerate on the boundary: no ray avoids the edges of all its pieces";
    case DegreeFailure::box_limit:
      return "max_boxes reached";
    case DegreeFailure::time_limit:
      return "time_limit reached";
  }
  return "";
}

namespace {

using std::ptrdiff_t;
using std::size_t;
using Clock = std::chrono::steady_clock;

// A box of states within some coordinate planes: `axes` are the coordinates that are free.
struct Piece {
  std::vector<Interval> box;
  std::vector<ptrdiff_t> axes;
};

// The component of g that is taken for the ray, by its place among those that are left, its sign,
// and where pieces are split.
struct Ray {
  size_t component;
  int sign;
  double share;
};

template <class T>
std::vector<T> without(const std::vector<T>& list, size_t place) {
  std::vector<T> rest = list;
  rest.erase(rest.begin() + static_cast<ptrdiff_t>(place));
  return rest;
}

class DegreeSearch {
 public:
  DegreeSearch(const Network<double>& network, const DegreeOptions& options,
               const Execution& execution)
      : enclosure_(network), dim_(network.dim()), options_(options), execution_(execution) {}

  BrouwerDegree run(const double* lower, const double* upper) {
    Piece whole;
    std::vector<ptrdiff_t> components;
    for (ptrdiff_t k = 0; k < dim_; ++k) {
      if (upper[k] < enclosure_.range(k).lo || lower[k] > enclosure_.range(k).hi) return result_;
      whole.box.push_back(clipped(k, lower[k], upper[k]));
      whole.axes.push_back(k);
      components.push_back(k);
      scale_ = std::max(scale_, whole.box.back().hi - whole.box.back().lo);
    }
    for (ptrdiff_t attempt = 0; attempt < 2 * dim_; ++attempt) {
      const Ray ray{static_cast<size_t>(attempt / 2), attempt % 2 == 0 ? 1 : -1,
                    0.4873 + 0.0231 * static_cast<double>(attempt % 7)};
      result_.failure = DegreeFailure::none;
      const std::optional<std::int64_t> value = degree(whole, components, ray);
      if (value) result_.value = *value;
      if (value || result_.failure != DegreeFailure::no_general_ray) break;
    }
    if (options_.progress) options_.progress(result_.boxes, result_.boxes);
    return result_;
  }

 private:
  // A piece this narrow, in units of the box, is not split any more.
  static constexpr double kNarrowest = 1e-12;
  enum class Verdict { nothing, on_the_ray, undecided };

  // All fixed points lie in the range of the patterns: what is well outside may be cut off.
  Interval clipped(ptrdiff_t k, double low, double high) const {
    const Interval range = enclosure_.range(k);
    const double margin = std::max(
        {range.hi - range.lo, 1e-3 * std::max(std::fabs(range.lo), std::fabs(range.hi)), 1e-300});
    const double from = range.lo - margin, to = range.hi + margin;
    return {from < range.lo ? std::max(low, from) : low, to > range.hi ? std::min(high, to) : high};
  }

  // Of the given components of g as functions of the free coordinates of the piece, as many.
  std::optional<std::int64_t> degree(const Piece& piece, const std::vector<ptrdiff_t>& components,
                                     const Ray& ray) {
    if (components.empty()) return 1;
    std::int64_t sum = 0;
    for (size_t k = 0; k < piece.axes.size(); ++k)
      for (const bool upper : {false, true}) {
        Piece face{piece.box, without(piece.axes, k)};
        Interval& fixed = face.box[static_cast<size_t>(piece.axes[k])];
        fixed = upper ? fixed.hi : fixed.lo;
        const auto part = crossings(std::move(face), components, ray);
        if (!part) return std::nullopt;
        sum += ((k + ray.component) % 2 == 0) == upper ? *part : -*part;
      }
    // Minus the ray is the ray of the map with that component reversed, whose degree is minus ours.
    return ray.sign * sum;
  }

  // How often g covers the ray on the face.
  std::optional<std::int64_t> crossings(Piece face, const std::vector<ptrdiff_t>& components,
                                        const Ray& ray) {
    const bool outermost = static_cast<ptrdiff_t>(components.size()) == dim_;
    const std::vector<ptrdiff_t> others = without(components, ray.component);
    const Ray onwards{0, 1, ray.share};
    std::vector<Piece> waiting;
    waiting.push_back(std::move(face));
    std::int64_t sum = 0;
    while (!waiting.empty()) {
      Piece piece = std::move(waiting.back());
      waiting.pop_back();
      if (!count_box(waiting.size())) return std::nullopt;
      switch (examine(piece, components, ray)) {
        case Verdict::nothing:
          break;
        case Verdict::on_the_ray: {
          const auto part = degree(piece, others, onwards);
          if (!part) return std::nullopt;
          sum += *part;
          break;
        }
        case Verdict::undecided:
          if (split(piece, ray.share, waiting)) break;
          give_up(piece, outermost ? DegreeFailure::boundary : DegreeFailure::no_general_ray);
          return std::nullopt;
      }
    }
    return sum;
  }

  Verdict examine(const Piece& piece, const std::vector<ptrdiff_t>& components, const Ray& ray) {
    std::vector<Interval> residual(static_cast<size_t>(dim_), 0.0);
    const ptrdiff_t on_ray = components[ray.component];
    const auto elsewhere = [&] {
      return std::any_of(components.begin(), components.end(), [&](ptrdiff_t c) {
        const Interval& value = residual[static_cast<size_t>(c)];
        if (c != on_ray) return value.lo > 0 || value.hi < 0;
        return ray.sign > 0 ? value.hi < 0 : value.lo > 0;
      });
    };
    enclosure_.coarse(piece.box.data(), residual.data(), work_);
    if (elsewhere()) return Verdict::nothing;
    enclosure_.refine(residual.data(), work_);
    if (elsewhere()) return Verdict::nothing;
    const Interval& value = residual[static_cast<size_t>(on_ray)];
    return (ray.sign > 0 ? value.lo > 0 : value.hi < 0) ? Verdict::on_the_ray : Verdict::undecided;
  }

  // In two across the longest side, off the middle; false where there is none to speak of.
  bool split(const Piece& piece, double share, std::vector<Piece>& waiting) const {
    double widest = kNarrowest * scale_;
    ptrdiff_t axis = -1;
    for (const ptrdiff_t k : piece.axes) {
      const Interval& side = piece.box[static_cast<size_t>(k)];
      if (!(side.hi - side.lo > widest)) continue;
      widest = side.hi - side.lo;
      axis = k;
    }
    if (axis < 0) return false;
    const Interval side = piece.box[static_cast<size_t>(axis)];
    const double middle = side.lo + share * (side.hi - side.lo);
    if (!(side.lo < middle && middle < side.hi)) return false;
    for (const Interval& half : {Interval(middle, side.hi), Interval(side.lo, middle)}) {
      waiting.push_back(piece);
      waiting.back().box[static_cast<size_t>(axis)] = half;
    }
    return true;
  }

  bool count_box(size_t waiting) {
    if (execution_.stop_requested && execution_.stop_requested()) throw Interrupted();
    const auto fail = [&](DegreeFailure failure) {
      result_.failure = failure;
      return false;
    };
    if (result_.boxes >= options_.max_boxes) return fail(DegreeFailure::box_limit);
    if (std::chrono::duration<double>(Clock::now() - began_).count() > options_.time_limit)
      return fail(DegreeFailure::time_limit);
    ++result_.boxes;
    if (options_.progress && result_.boxes % 1024 == 0)
      options_.progress(result_.boxes, result_.boxes + static_cast<std::int64_t>(waiting));
    return true;
  }

  void give_up(const Piece& piece, DegreeFailure failure) {
    result_.failure = failure;
    result_.state.clear();
    for (const Interval& side : piece.box)
      result_.state.push_back(side.lo + (side.hi - side.lo) / 2);
  }

  const ResidualEnclosure enclosure_;
  const ptrdiff_t dim_;
  const DegreeOptions& options_;
  const Execution& execution_;
  const Clock::time_point began_ = Clock::now();
  ResidualEnclosure::Workspace work_;
  double scale_ = 0;
  BrouwerDegree result_;
};

}  // namespace

BrouwerDegree brouwer_degree(const Network<double>& network, const double* lower,
                             const double* upper, const DegreeOptions& options,
                             const Execution& execution) {
  if (!arithmetic_is_sound())
    throw std::runtime_error("this thread does not round to nearest with gradual underflow");
  return DegreeSearch(network, options, execution).run(lower, upper);
}

}  // namespace hopfix
