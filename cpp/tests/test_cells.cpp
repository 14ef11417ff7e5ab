// The exhaustive search loses no fixed point, and a search that does is found out.
#include <array>
#include <cfenv>
#include <random>

#include "cell_search.hpp"
#include "check.hpp"
#include "hull_contractor.hpp"
#include "hull_form.hpp"
#include "problem.hpp"
#include "weight_contractor.hpp"
#include "weight_form.hpp"

namespace {

using hopfix::CellList;
using hopfix::CellOptions;
using hopfix::Execution;
using hopfix::HullBox;
using hopfix::HullContractor;
using hopfix::HullForm;
using hopfix::WeightBox;
using hopfix::WeightContractor;
using hopfix::WeightForm;
using hopfix::test::Problem;
using std::ptrdiff_t;
using std::size_t;
using Network = hopfix::Network<double>;
using Wide = long double;

Problem random_problem(unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  const auto pick = [&](int low, int high) {
    return low + static_cast<ptrdiff_t>(random() % static_cast<unsigned>(high - low + 1));
  };
  Problem problem{pick(2, 8), pick(1, 9), std::exp(normal(random) + 2), {}, {}};
  for (ptrdiff_t i = 0; i < problem.n * problem.dim; ++i) {
    // One problem in four has a pattern twice, exactly or nearly.
    const bool repeats = seed % 4 == 0 && i >= problem.dim && i < 2 * problem.dim;
    problem.patterns.push_back(
        repeats ? problem.patterns[static_cast<size_t>(i - problem.dim)] + (seed % 8) * 1e-4
                : normal(random) / std::sqrt(static_cast<double>(problem.dim)));
  }
  if (seed % 3 == 0)
    for (ptrdiff_t i = 0; i < problem.n; ++i) problem.log_weights.push_back(2 * normal(random));
  return problem;
}

Problem orthonormal(ptrdiff_t n, double beta) {
  Problem problem{n, n, beta, std::vector<double>(static_cast<size_t>(n * n)), {}};
  for (ptrdiff_t i = 0; i < n; ++i) problem.patterns[static_cast<size_t>(i * (n + 1))] = 1;
  return problem;
}

// Logarithms of the weights that the exact map gives at a state, in long double.
std::vector<Wide> log_weights(const Problem& problem, const std::vector<Wide>& state) {
  std::vector<Wide> z;
  Wide top = -HUGE_VALL, sum = 0;
  for (ptrdiff_t i = 0; i < problem.n; ++i) {
    Wide product = 0;
    for (ptrdiff_t k = 0; k < problem.dim; ++k)
      product += state[static_cast<size_t>(k)] *
                 problem.patterns[static_cast<size_t>(i * problem.dim + k)];
    z.push_back(problem.beta * product +
                (problem.log_weights.empty() ? 0 : problem.log_weights[static_cast<size_t>(i)]));
    top = std::max(top, z.back());
  }
  for (const Wide value : z) sum += std::exp(value - top);
  for (Wide& value : z) value -= top + std::log(sum);
  return z;
}

// Newton's method with a numerical derivative, to the precision of long double.
std::vector<Wide> refine(const Problem& problem, const double* start) {
  const auto dim = static_cast<size_t>(problem.dim);
  std::vector<Wide> state(start, start + dim);
  const auto excess = [&](const std::vector<Wide>& at) {
    const std::vector<Wide> z = log_weights(problem, at);
    std::vector<Wide> value(dim);
    for (size_t k = 0; k < dim; ++k) value[k] = -at[k];
    for (size_t i = 0; i < z.size(); ++i)
      for (size_t k = 0; k < dim; ++k) value[k] += std::exp(z[i]) * problem.patterns[i * dim + k];
    return value;
  };
  for (int step = 0; step < 4; ++step) {
    const std::vector<Wide> here = excess(state);
    constexpr Wide kStep = 1e-9L;
    std::vector<std::vector<Wide>> system(dim, std::vector<Wide>(dim + 1));
    for (size_t k = 0; k < dim; ++k) {
      std::vector<Wide> moved = state;
      moved[k] += kStep;
      const std::vector<Wide> there = excess(moved);
      for (size_t m = 0; m < dim; ++m) system[m][k] = (there[m] - here[m]) / kStep;
      system[k][dim] = -here[k];
    }
    const std::vector<Wide> change = hopfix::test::solved(std::move(system));
    for (size_t k = 0; k < dim; ++k) state[k] += change[k];
  }
  return state;
}

// Up to the error of the long double point, which is far below the rounding of doubles.
bool holds(const WeightBox& box, const std::vector<Wide>& logarithms) {
  for (ptrdiff_t i = 0; i < box.size(); ++i) {
    const Wide logarithm = logarithms[static_cast<size_t>(i)], weight = std::exp(logarithm);
    const Wide slack = 2e-17L * (1 + std::fabs(logarithm));
    if (!(box.log_lo()[i] <= logarithm + slack && logarithm - slack <= box.log_hi()[i] &&
          box.lo()[i] <= weight * (1 + slack) && weight * (1 - slack) <= box.hi()[i]))
      return false;
  }
  return true;
}

double between(double low, double high, std::mt19937_64& random) {
  return low + static_cast<double>(random() >> 11) * 0x1p-53 * (high - low);
}

// From the whole simplex down, by bisection at random places: the point stays in every box.
bool keeps(const WeightContractor& contractor, const std::vector<Wide>& logarithms,
           std::mt19937_64& random) {
  WeightBox box = contractor.whole();
  WeightContractor::Workspace work;
  for (int depth = 0; depth < 60; ++depth) {
    if (!contractor.contract(box, work) || !holds(box, logarithms)) return false;
    const auto i = static_cast<ptrdiff_t>(random() % logarithms.size());
    const double at = between(box.lo()[i], box.hi()[i], random);
    if (!(box.lo()[i] < at && at < box.hi()[i])) continue;
    if (std::log(static_cast<Wide>(at)) >= logarithms[static_cast<size_t>(i)]) {
      box.hi()[i] = at;
      box.log_hi()[i] = std::min(box.log_hi()[i], hopfix::log_up(at));
    } else {
      box.lo()[i] = at;
      box.log_lo()[i] = std::max(box.log_lo()[i], hopfix::log_down(at));
    }
  }
  return true;
}

// Also that the patterns left out carry no more than the box says.
bool holds(const HullBox& box, const std::vector<Wide>& coordinates,
           const std::vector<Wide>& logarithms) {
  for (size_t k = 0; k < coordinates.size(); ++k) {
    const Wide slack = 2e-17L * std::max(std::fabs(box.lo[k]), std::fabs(box.hi[k]));
    if (!(box.lo[k] <= coordinates[k] + slack && coordinates[k] - slack <= box.hi[k])) return false;
  }
  std::vector<bool> is_live(logarithms.size());
  for (size_t a = 0; a < box.log_lo.size(); ++a) {
    const Wide logarithm = logarithms[static_cast<size_t>(box.orders[a])];
    const Wide slack = 2e-17L * (1 + std::fabs(logarithm));
    is_live[static_cast<size_t>(box.orders[a])] = true;
    if (!(box.log_lo[a] <= logarithm + slack && logarithm - slack <= box.log_hi[a])) return false;
  }
  Wide dropped = 0;
  for (size_t i = 0; i < logarithms.size(); ++i)
    if (!is_live[i]) dropped += std::exp(logarithms[i]);
  return dropped <= box.dropped;
}

bool keeps(const HullForm& form, const std::vector<Wide>& logarithms, std::mt19937_64& random) {
  const HullContractor contractor(form);
  std::vector<Wide> coordinates(static_cast<size_t>(form.rank()));
  Wide total = 0;  // 1, but for the rounding of the logarithms
  for (const Wide logarithm : logarithms) total += std::exp(logarithm);
  for (ptrdiff_t k = 0; k < form.rank(); ++k)
    for (ptrdiff_t i = 0; i < form.size(); ++i)
      coordinates[static_cast<size_t>(k)] +=
          std::exp(logarithms[static_cast<size_t>(i)]) / total * form.coordinate(k)[i];
  HullBox box = contractor.whole();
  HullContractor::Workspace work;
  for (int depth = 0; depth < 60; ++depth) {
    if (!contractor.contract(box, work) || !holds(box, coordinates, logarithms)) return false;
    const size_t k = random() % coordinates.size();
    const double at = between(box.lo[k], box.hi[k], random);
    if (!(box.lo[k] < at && at < box.hi[k])) continue;
    (at >= coordinates[k] ? box.hi : box.lo)[k] = at;
  }
  return true;
}

void test_contraction_keeps_every_fixed_point() {
  std::mt19937_64 random(1);
  int points = 0, lost = 0, lost_over_hull = 0;
  const auto check = [&](const Problem& problem) {
    const Network network = problem.network();
    const WeightForm form(network);
    const WeightContractor contractor(network, form);
    const HullForm hull(network);
    CHECK(hull.rank() > HullForm::kHighestRank || hull.usable());
    const CellList list = hopfix::fixed_points_by_cells(network, CellOptions{}, Execution{});
    CHECK(list.undecided.empty());
    for (ptrdiff_t i = 0; i < list.size(); ++i, ++points) {
      const std::vector<Wide> state = refine(problem, list.states.data() + i * problem.dim);
      const std::vector<Wide> logarithms = log_weights(problem, state);
      for (int path = 0; path < 4; ++path) {
        lost += !keeps(contractor, logarithms, random);
        if (hull.usable()) lost_over_hull += !keeps(hull, logarithms, random);
      }
    }
  };
  for (unsigned seed = 0; seed < 150; ++seed) check(random_problem(seed));
  for (const double beta : {6.5, 20.0, 300.0, 2000.0}) check(orthonormal(6, beta));
  std::printf("%d fixed points followed, %d and %d lost\n", points, lost, lost_over_hull);
  CHECK(points > 500);
  CHECK(lost == 0);
  CHECK(lost_over_hull == 0);
}

// Contractors with a fault each. Sound is one without.
template <class Sound>
class Faulty : public Sound {
 public:
  using Box = typename Sound::Box;
  using Workspace = typename Sound::Workspace;
  explicit Faulty(const Sound& sound) : Sound(sound) {}
};

// Takes one box for empty.
template <class Sound>
class Forgetful : public Faulty<Sound> {
 public:
  Forgetful(const Sound& sound, int victim) : Faulty<Sound>(sound), victim_(victim) {}
  bool contract(typename Sound::Box& box, typename Sound::Workspace& work) const {
    return Sound::contract(box, work) && count_++ != victim_;
  }

 private:
  int victim_;
  mutable int count_ = 0;
};

template <class Change>
void for_each_side(WeightBox& box, const Change& change) {
  for (ptrdiff_t i = 0; i < box.size(); ++i) change(box.lo()[i], box.hi()[i]);
}

template <class Change>
void for_each_side(HullBox& box, const Change& change) {
  for (size_t k = 0; k < box.lo.size(); ++k) change(box.lo[k], box.hi[k]);
}

// Takes off a share of every interval.
template <class Sound>
class Shrinking : public Faulty<Sound> {
 public:
  Shrinking(const Sound& sound, double share) : Faulty<Sound>(sound), share_(share) {}
  bool contract(typename Sound::Box& box, typename Sound::Workspace& work) const {
    if (!Sound::contract(box, work)) return false;
    for_each_side(box, [&](double lo, double& hi) { hi -= share_ * (hi - lo); });
    return true;
  }

 private:
  double share_;
};

// Steps inwards where it should step outwards.
template <class Sound>
class WrongWay : public Faulty<Sound> {
 public:
  explicit WrongWay(const Sound& sound) : Faulty<Sound>(sound) {}
  bool contract(typename Sound::Box& box, typename Sound::Workspace& work) const {
    if (!Sound::contract(box, work)) return false;
    bool empty = false;
    for_each_side(box, [&](double& lo, double& hi) {
      for (int step = 0; step < 400; ++step) {
        lo = hopfix::next_up(lo);
        hi = hopfix::next_down(hi);
      }
      empty = empty || lo > hi;
    });
    return !empty;
  }
};

template <class Contractor>
ptrdiff_t points_found(const Network& network, const Contractor& contractor) {
  const CellOptions options;
  return hopfix::CellSearch<Contractor>(network, contractor, options, Execution{}).run().size();
}

template <class Sound>
void expect_faults_to_be_seen(const Network& network, const Sound& sound, ptrdiff_t all) {
  CHECK(points_found(network, sound) == all);
  int seen = 0;
  for (int victim = 0; victim < 60; ++victim)
    seen += points_found(network, Forgetful<Sound>(sound, victim)) != all;
  std::printf("%d of 60 searches that forget one box find too few points\n", seen);
  CHECK(seen >= 30);
  CHECK(points_found(network, Forgetful<Sound>(sound, 1000000)) == all);
  CHECK(points_found(network, Shrinking<Sound>(sound, 0.25)) != all);
  CHECK(points_found(network, WrongWay<Sound>(sound)) != all);
}

void test_faults_are_seen() {
  const Network network = orthonormal(5, 8).network();
  const WeightForm weights(network);
  expect_faults_to_be_seen(network, WeightContractor(network, weights), 31);
  const HullForm hull(network);
  expect_faults_to_be_seen(network, HullContractor(hull), 31);
}

void test_modes_that_break_proofs_are_refused() {
#if defined(__x86_64__)
  const Problem problem = orthonormal(3, 5);
  const Network network = problem.network();
  for (const int mode : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
    bool refused = false;
    std::fesetround(mode);
    try {
      hopfix::fixed_points_by_cells(network, CellOptions{}, Execution{});
    } catch (const std::runtime_error&) {
      refused = true;
    }
    std::fesetround(FE_TONEAREST);
    CHECK(refused);
  }
#endif
}

void test_duplicates() {
  // Two certificates of one fixed point, and one that might be of either of two.
  const auto point = [](double radius, double unique) {
    hopfix::Certificate certificate;
    certificate.radius = radius;
    certificate.uniqueness_radius = unique;
    return certificate;
  };
  CellList list;
  list.states = {0.0, 1e-9, 5.0};
  list.certificates = {point(1e-8, 1.0), point(1e-8, 1.0), point(1e-8, 1.0)};
  hopfix::resolve_duplicates(1, list);
  CHECK(list.size() == 2 && list.states[0] == 0.0 && list.states[1] == 5.0);
  CHECK(list.undecided.empty());
  list.states = {0.0, 0.5, 5.0};
  list.certificates = {point(0.3, 0.4), point(0.3, 0.4), point(1e-8, 1.0)};
  hopfix::resolve_duplicates(1, list);
  CHECK(list.size() == 3 && list.undecided.size() == 1);
  CHECK(list.undecided[0].reason == hopfix::UndecidedReason::indistinct);
}

}  // namespace

int main() {
  test_contraction_keeps_every_fixed_point();
  test_faults_are_seen();
  test_modes_that_break_proofs_are_refused();
  test_duplicates();
  return hopfix::test::finish();
}
