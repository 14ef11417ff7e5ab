#include "hull_contractor.hpp"

#include <algorithm>
#include <cmath>

#include "hopfix/interval.hpp"
#include "hopfix/parallel.hpp"
#include "hopfix/rounding.hpp"
#include "plain_sums.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

// Patterns whose weights are below this, over their number, are dropped.
constexpr double kWeightless = 1e-16;

double middle_of(const HullBox& box, ptrdiff_t k) {
  return box.lo[at(k)] + (box.hi[at(k)] - box.lo[at(k)]) / 2;
}

// What is left to be narrowed: falls to zero around a fixed point.
double slackness(const HullForm& form, const HullBox& box) {
  double sum = 0;
  for (ptrdiff_t k = 0; k < box.rank(); ++k)
    if (box.width(k) > 0) sum += box.width(k) / form.extent(k);
  for (ptrdiff_t a = 0; a < box.live(); ++a)
    sum += std::exp(box.log_hi[at(a)]) - std::exp(box.log_lo[at(a)]);
  return sum;
}

}  // namespace

HullBox HullContractor::whole() const {
  HullBox box;
  for (ptrdiff_t k = 0; k < form_.rank(); ++k) {
    const double* y = form_.coordinate(k);
    box.lo.push_back(*std::min_element(y, y + form_.size()));
    box.hi.push_back(*std::max_element(y, y + form_.size()));
    box.orders.insert(box.orders.end(), form_.order(k), form_.order(k) + form_.size());
  }
  box.log_lo.assign(at(form_.size()), -kInfinity);
  box.log_hi.assign(at(form_.size()), 0.0);
  return box;
}

bool HullContractor::contract(HullBox& box, Workspace& work) const {
  constexpr int kMostSteps = 60;
  constexpr double kWorthwhile = 0.8;
  double before = kInfinity;
  for (int step = 0; step < kMostSteps; ++step) {
    // With 100,000 patterns a step takes a second.
    if (step > 0 && work.stop && work.stop()) throw Interrupted();
    place_live(box, work);
    if (!work.weights.bound(form_, box) || !narrow_to_averages(box, work)) return false;
    ++work.newton_steps;
    if (work.newton.narrow(form_, work.weights, box) == HullNewton::Outcome::empty) return false;
    drop_weightless(box, work);
    const double now = slackness(form_, box);
    if (!(now < kWorthwhile * before)) break;
    before = now;
  }
  return true;
}

void HullContractor::place_live(const HullBox& box, Workspace& work) const {
  work.place.resize(at(form_.size()));
  for (ptrdiff_t a = 0; a < box.live(); ++a)
    work.place[at(box.orders[at(a)])] = static_cast<std::int32_t>(a);
}

// The range of eta_k = sum p_i y_ik over the weights, sum p = 1, is a fractional knapsack: start at
// the lower ends, hand the rest of the mass to the patterns that pull furthest. What the dropped
// patterns take and carry is at most their share times the extent, twice.
bool HullContractor::narrow_to_averages(HullBox& box, const Workspace& work) const {
  const ptrdiff_t live = box.live();
  const double *lo = work.weights.lo(), *hi = work.weights.hi();
  const double mass = 1 - sum_of(live, [&](ptrdiff_t a) { return lo[a]; });
  for (ptrdiff_t k = 0; k < box.rank(); ++k) {
    const double* y = work.weights.coordinate(k);
    const std::int32_t* order = box.orders.data() + k * live;
    const auto filled = [&](double sum, bool ascending) {
      double rest = mass;
      for (ptrdiff_t j = 0; j < live && rest > 0; ++j) {
        const ptrdiff_t a = work.place[at(order[ascending ? j : live - 1 - j])];
        const double share = std::min(rest, hi[a] - lo[a]);
        sum += y[a] * share;
        rest -= share;
      }
      return sum;
    };
    const double start = sum_of(live, [&](ptrdiff_t a) { return lo[a] * y[a]; });
    const double error =
        (static_cast<double>(16 * live + 64) * kUnitRoundoff + 4 * box.dropped) * form_.extent(k) +
        kTiny;
    if (!box.narrow(k, filled(start, true) - error, filled(start, false) + error)) return false;
  }
  return true;
}

// By bounds of their weights that held in the box before it was narrowed.
void HullContractor::drop_weightless(HullBox& box, const Workspace& work) const {
  const double* hi = work.weights.hi();
  const double limit = kWeightless / static_cast<double>(form_.size());
  const auto weightless = [&](ptrdiff_t a) { return hi[a] < limit; };
  ptrdiff_t kept = 0;
  for (ptrdiff_t a = 0; a < box.live(); ++a) {
    if (weightless(a)) {
      box.dropped = rounded::add_up(box.dropped, hi[a]);
      continue;
    }
    box.log_lo[at(kept)] = box.log_lo[at(a)];
    box.log_hi[at(kept++)] = box.log_hi[at(a)];
  }
  if (kept == box.live()) return;
  box.log_lo.resize(at(kept));
  box.log_hi.resize(at(kept));
  const auto is_dropped = [&](std::int32_t i) { return weightless(work.place[at(i)]); };
  box.orders.erase(std::remove_if(box.orders.begin(), box.orders.end(), is_dropped),
                   box.orders.end());
}

std::optional<std::pair<HullBox, HullBox>> HullContractor::halves(const HullBox& box,
                                                                  const Workspace& work) const {
  // Where Newton's method was of no use, the widest side.
  const auto before = [&](ptrdiff_t j, ptrdiff_t k) {
    const double one = work.newton.bend()[at(j)], other = work.newton.bend()[at(k)];
    return one < other || (one == other && box.width(j) < box.width(k));
  };
  ptrdiff_t k = 0;
  for (ptrdiff_t l = 1; l < box.rank(); ++l)
    if (before(k, l)) k = l;
  const double middle = middle_of(box, k);
  if (!(box.lo[at(k)] < middle && middle < box.hi[at(k)])) return std::nullopt;
  std::pair<HullBox, HullBox> parts{box, box};
  parts.first.hi[at(k)] = middle;
  parts.second.lo[at(k)] = middle;
  return parts;
}

double HullContractor::width(const HullBox& box) const {
  double widest = 0, extent = 0;
  for (ptrdiff_t k = 0; k < box.rank(); ++k) {
    widest = std::max(widest, box.width(k));
    extent = std::max(extent, form_.extent(k));
  }
  return widest > 0 ? widest / extent : 0;
}

std::vector<double> HullContractor::middle(const HullBox& box) const {
  HullVector centre{};
  for (ptrdiff_t k = 0; k < box.rank(); ++k) centre[at(k)] = middle_of(box, k);
  return form_.embed(centre.data());
}

double HullContractor::reach(const HullBox& box, const std::vector<double>& state) const {
  HullVector radius{};
  for (ptrdiff_t k = 0; k < box.rank(); ++k) {
    const double middle = middle_of(box, k);
    radius[at(k)] = next_up(std::max(box.hi[at(k)] - middle, middle - box.lo[at(k)]));
  }
  std::vector<double> difference;
  const std::vector<double> from = middle(box);
  const UpperBound distance =
      distance_bound(from.data(), state.data(), static_cast<ptrdiff_t>(state.size()), difference);
  return (distance + UpperBound(form_.embedding_norm()) * norm_bound(radius.data(), box.rank()) +
          UpperBound(form_.embedding_error()))
      .value();
}

void HullContractor::write(const Box& box, Writer& writer) const {
  writer.put(box.lo);
  writer.put(box.hi);
  writer.put(box.orders);
  writer.put(box.log_lo);
  writer.put(box.log_hi);
  writer.put(box.dropped);
}

HullContractor::Box HullContractor::read(Reader& reader) const {
  Box box;
  box.lo = reader.list<double>();
  box.hi = reader.list<double>();
  box.orders = reader.list<std::int32_t>();
  box.log_lo = reader.list<double>();
  box.log_hi = reader.list<double>();
  box.dropped = reader.get<double>();
  return box;
}

}  // namespace hopfix
