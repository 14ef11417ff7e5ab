#include "hopfix/cells.hpp"

#include <cmath>
#include <numeric>
#include <string>
#include <tuple>

#include "cell_search.hpp"
#include "exchangeable.hpp"
#include "hopfix/affine_hull.hpp"
#include "hopfix/newton.hpp"
#include "hull_contractor.hpp"
#include "hull_form.hpp"
#include "orbits.hpp"
#include "symmetric_contractor.hpp"
#include "weight_contractor.hpp"
#include "weight_form.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

// Keeps the points for which keeps(i).
template <class Keeps>
void keep(ptrdiff_t dim, CellList& list, const Keeps& keeps) {
  size_t kept = 0;
  for (size_t i = 0; i < list.certificates.size(); ++i) {
    if (!keeps(i)) continue;
    std::copy_n(list.states.begin() + static_cast<ptrdiff_t>(i) * dim, dim,
                list.states.begin() + static_cast<ptrdiff_t>(kept) * dim);
    list.certificates[kept++] = list.certificates[i];
  }
  list.states.resize(kept * static_cast<size_t>(dim));
  list.certificates.resize(kept);
}

}  // namespace

const char* describe(UndecidedReason reason) {
  switch (reason) {
    case UndecidedReason::degenerate:
      return "degenerate: an eigenvalue of the Jacobian is 1, or so close that double precision "
             "cannot decide";
    case UndecidedReason::precision:
      return "beta |x| |state| is too large: double precision cannot decide";
    case UndecidedReason::indistinct:
      return "two certified points that may be the same one";
    case UndecidedReason::hard_support:
      return "the proof gave up here: a set of patterns that may share the weight took too many "
             "regions";
    case UndecidedReason::box_limit:
      return "max_boxes reached";
    case UndecidedReason::count_limit:
      return "max_count reached";
    case UndecidedReason::memory_limit:
      return "more fixed points by symmetry than 8 GiB hold: pass max_count";
    case UndecidedReason::time_limit:
      return "time_limit reached";
    case UndecidedReason::interrupted:
      return "interrupted";
  }
  return "";
}

bool leads_to_degenerate(const Network<double>& network, const Certifier& certifier,
                         std::vector<double>& state, bool even_certified,
                         Certifier::Workspace& work) {
  // Just outside a fold nothing is fixed, but the state hardly moves.
  constexpr double kNearlyOne = 1e-3, kNearlyFixed = 1e-9;
  NewtonSolver newton(network);
  newton.solve(state.data());
  if (!(newton.residual(state.data()) <= kNearlyFixed * network.extent().radius)) return false;
  const Certificate certificate = certifier.certify(state.data(), work);
  return (even_certified || !certificate.certified()) && certificate.min_gap < kNearlyOne;
}

void merge_regions(ptrdiff_t dim, double nearby, std::vector<UndecidedRegion>& regions) {
  std::vector<UndecidedRegion> merged;
  std::vector<double> difference;
  for (UndecidedRegion& region : regions) {
    if (region.reason != UndecidedReason::degenerate) {
      merged.push_back(std::move(region));
      continue;
    }
    UpperBound distance(0);
    const auto same = std::find_if(merged.begin(), merged.end(), [&](const UndecidedRegion& other) {
      if (other.reason != region.reason) return false;
      distance = distance_bound(other.state.data(), region.state.data(), dim, difference);
      return distance.value() <= nearby;
    });
    if (same == merged.end())
      merged.push_back(std::move(region));
    else
      same->radius = std::max(same->radius, (distance + UpperBound(region.radius)).value());
  }
  regions = std::move(merged);
}

void sort_by_place(ptrdiff_t dim, CellList& list) {
  const auto state = [&](size_t i) {
    return list.states.begin() + static_cast<ptrdiff_t>(i) * dim;
  };
  std::vector<size_t> order(list.certificates.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::lexicographical_compare(state(a), state(a) + dim, state(b), state(b) + dim);
  });
  std::vector<double> states;
  std::vector<Certificate> certificates;
  for (const size_t i : order) {
    states.insert(states.end(), state(i), state(i) + dim);
    certificates.push_back(list.certificates[i]);
  }
  list.states = std::move(states);
  list.certificates = std::move(certificates);
  std::sort(list.undecided.begin(), list.undecided.end(),
            [](const UndecidedRegion& a, const UndecidedRegion& b) {
              return std::tie(a.state, a.radius, a.reason) < std::tie(b.state, b.radius, b.reason);
            });
}

void resolve_duplicates(ptrdiff_t dim, CellList& list) {
  // Points are compared with those near them along one direction, in general position.
  std::vector<double> direction(static_cast<size_t>(dim)), along;
  for (ptrdiff_t k = 0; k < dim; ++k)
    direction[static_cast<size_t>(k)] = std::cos(1.0 + 2.3 * static_cast<double>(k));
  const double length = norm_bound(direction.data(), dim).value();
  const size_t count = list.certificates.size();
  std::vector<double> reach(count), difference;
  double widest = 0;
  for (size_t i = 0; i < count; ++i) {
    const double* state = list.states.data() + static_cast<ptrdiff_t>(i) * dim;
    double sum = 0;
    for (ptrdiff_t k = 0; k < dim; ++k) sum += direction[static_cast<size_t>(k)] * state[k];
    along.push_back(sum);
    // Of the fixed point's place along the direction; the second term is for rounding.
    const UpperBound norm = norm_bound(state, dim);
    reach[i] = (UpperBound(length) *
                (UpperBound(list.certificates[i].radius) + gamma_bound(dim + 4) * norm))
                   .value();
    widest = std::max(widest, reach[i]);
  }
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return along[a] < along[b] || (along[a] == along[b] && a < b);
  });

  std::vector<char> dropped(count, 0);
  for (size_t s = 0; s < count; ++s)
    for (size_t t = s + 1; t < count; ++t) {
      const size_t a = std::min(order[s], order[t]), b = std::max(order[s], order[t]);
      if (along[order[t]] - along[order[s]] > 3 * widest) break;
      if (dropped[a] || dropped[b]) continue;
      const double* first = list.states.data() + static_cast<ptrdiff_t>(a) * dim;
      const double* second = list.states.data() + static_cast<ptrdiff_t>(b) * dim;
      const UpperBound distance = distance_bound(first, second, dim, difference);
      const Certificate &one = list.certificates[a], &other = list.certificates[b];
      const UpperBound radii = UpperBound(one.radius) + UpperBound(other.radius);
      // The exact distance is within so many units of roundoff of the bound, but for the term that
      // norm_bound adds against underflow.
      const double slack = 2 * gamma_bound(3 * dim + 16).value();
      if (lower_bound(distance.value() * (1 - slack) - 1e-140) > radii.value()) continue;
      if ((distance + UpperBound(other.radius)).value() < one.uniqueness_radius ||
          (distance + UpperBound(one.radius)).value() < other.uniqueness_radius)
        dropped[b] = 1;
      else
        list.undecided.push_back({std::vector<double>(first, first + dim),
                                  (distance + radii).value(), UndecidedReason::indistinct});
    }

  keep(dim, list, [&](size_t i) { return !dropped[i]; });
}

void truncate(ptrdiff_t dim, std::int64_t max_count, CellList& list) {
  const auto limit = static_cast<size_t>(max_count);
  for (size_t i = limit; i < list.certificates.size(); ++i) {
    const auto state = list.states.begin() + static_cast<ptrdiff_t>(i) * dim;
    list.undecided.push_back({std::vector<double>(state, state + dim), list.certificates[i].radius,
                              UndecidedReason::count_limit});
  }
  keep(dim, list, [&](size_t i) { return i < limit; });
}

namespace {

// Everything is undecided.
CellList out_of_range(const Network<double>& network, CellForm form) {
  CellList list;
  list.form = form;
  const std::vector<double> origin(static_cast<size_t>(network.dim()));
  list.undecided.push_back({origin, HUGE_VAL, UndecidedReason::precision});
  return list;
}

// Whether certificates are out of reach, so that a search would split boxes up to its limits: with
// rounding of the logits beyond kMost Certifier gives up. It has four roundings of log-weights, one
// of scores by the norm of the state, at least that of the mean less the radius, and what bounds
// add for underflow, times beta or times the square of the radius (for all states but those near
// 0).
bool nothing_certifiable(const Network<double>& network) {
  constexpr double kMost = 0.1;
  const double beta = network.beta(), radius = network.extent().radius;
  if (beta * kUnderflow > kMost || radius * kUnderflow * radius > kMost) return true;
  for (const double log_weight : network.log_weights())
    if (4 * kUnitRoundoff * std::fabs(log_weight) > kMost) return true;
  double squares = 0;
  for (const double value : network.extent().mean) squares += value * value;
  const double mean = std::sqrt(squares);
  return beta * gamma_bound(network.dim() + 2).value() * mean * (mean - radius) > kMost;
}

// Where patterns are so large that coefficients might overflow, symmetry is not looked for.
std::vector<ExchangeableClass> symmetry_of(const Network<double>& network, const ScaledGram& gram) {
  constexpr double kLargestProduct = 1e280;
  if (!(gram.largest().value() < kLargestProduct)) return {};
  return exchangeable_classes(network, gram);
}

// Calls visit(contractor, classes of exchangeable patterns) for the form that was chosen; false
// where numbers are out of its range.
template <class Visit>
bool with_contractor(const Network<double>& network, CellForm chosen, bool symmetry,
                     const Visit& visit) {
  const std::vector<ExchangeableClass> none;
  if (chosen == CellForm::hull) {
    const HullForm form(network);
    if (form.usable()) visit(HullContractor(form), none);
    return form.usable();
  }
  const ScaledGram gram(network);
  if (symmetry) {
    const std::vector<ExchangeableClass> classes = symmetry_of(network, gram);
    if (!classes.empty()) {
      visit(SymmetricContractor(network, gram, classes), classes);
      return true;
    }
  }
  const WeightForm form(network, gram);
  if (form.in_range()) visit(WeightContractor(network, form), none);
  return form.in_range();
}

// By measurement on random patterns: the two forms are level near three patterns a dimension.
CellForm better_form(ptrdiff_t n, ptrdiff_t rank) {
  return rank <= kHighestRankOfHullCells && n > 3 * rank + 1 ? CellForm::hull : CellForm::weights;
}

}  // namespace

CellPlan plan_cells(const Network<double>& network, CellForm form) {
  const ptrdiff_t n = network.size();
  const ptrdiff_t rank = affine_hull(network.patterns().data(), n, network.dim()).rank;
  const CellForm chosen = form == CellForm::automatic ? better_form(n, rank) : form;
  const auto count = static_cast<double>(n);
  if (chosen == CellForm::weights) {
    if (n > kMostPatternsOfWeightCells)
      throw std::invalid_argument(
          "patterns: got " + std::to_string(n) + " that span " + std::to_string(rank) +
          " dimensions, need at most " + std::to_string(kMostPatternsOfWeightCells) +
          " patterns, or at most " + std::to_string(kHighestRankOfHullCells) +
          " dimensions and form 'hull', for method 'cells'");
    return {chosen, 1e-5 + 4.5e-9 * count * count * count};
  }
  if (rank > kHighestRankOfHullCells)
    throw std::invalid_argument("patterns: got " + std::to_string(n) + " that span " +
                                std::to_string(rank) + " dimensions, need at most " +
                                std::to_string(kHighestRankOfHullCells) +
                                " dimensions for form 'hull' of method 'cells'");
  if (n > kMostPatternsOfHullCells)
    throw std::invalid_argument("patterns: got " + std::to_string(n) + ", need at most " +
                                std::to_string(kMostPatternsOfHullCells) + " for method 'cells'");
  const auto dims = static_cast<double>(rank);
  return {chosen, 1e-6 + count * (2.4e-9 * std::exp2(dims) * (dims + 2) + 2.4e-8 * (2 * dims + 4))};
}

CellList fixed_points_by_cells(const Network<double>& network, const CellOptions& options,
                               const Execution& execution) {
  static_assert(kMostPatternsOfWeightCells == WeightForm::kMostPatterns);
  static_assert(kHighestRankOfHullCells == HullForm::kHighestRank);
  static_assert(kMostPatternsOfHullCells == HullForm::kMostPatterns);
  if (!arithmetic_is_sound())
    throw std::runtime_error("this thread does not round to nearest with gradual underflow");
  CellOptions inner = options;
  inner.form = plan_cells(network, options.form).form;
  if (nothing_certifiable(network)) return out_of_range(network, inner.form);
  CellList list;
  const auto search = [&](const auto& contractor, const std::vector<ExchangeableClass>& classes) {
    const bool by_orbits = !classes.empty();
    inner.symmetry = by_orbits;
    inner.single_precision = options.single_precision && !by_orbits;  // images are rounded, once
    list = CellSearch(network, contractor, inner, execution).run();
    list.form = inner.form;
    if (by_orbits) list = expand_orbits(network, classes, std::move(list), options, execution);
  };
  if (!with_contractor(network, inner.form, options.symmetry, search))
    return out_of_range(network, inner.form);
  return list;
}

std::string work_on_cells(const Network<double>& network, Reader& portion,
                          const Execution& execution) {
  CellOptions options;
  options.form = portion.get<CellForm>();
  options.symmetry = portion.get<bool>();
  options.single_precision = portion.get<bool>();
  options.max_boxes = portion.get<std::int64_t>();
  options.time_limit = portion.get<double>();
  std::string answer;
  with_contractor(
      network, options.form, options.symmetry, [&](const auto& contractor, const auto&) {
        answer = CellSearch(network, contractor, options, execution).run_portion(portion);
      });
  return answer;
}

}  // namespace hopfix
