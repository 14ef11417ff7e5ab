// The search up to exchanges loses no orbit, and wrong symmetries are found out.
#include <algorithm>
#include <random>

#include "cell_search.hpp"
#include "check.hpp"
#include "exchangeable.hpp"
#include "orbits.hpp"
#include "symmetric_contractor.hpp"

namespace {

using hopfix::CellList;
using hopfix::CellOptions;
using hopfix::Certificate;
using hopfix::ExchangeableClass;
using hopfix::Execution;
using hopfix::ScaledGram;
using hopfix::SymmetricContractor;
using hopfix::UndecidedReason;
using std::ptrdiff_t;
using std::size_t;
using Network = hopfix::Network<double>;
using Wide = long double;

// Unit vectors times `scales`; equal scales next to each other are exchangeable.
Network axes(const std::vector<double>& scales, double beta) {
  const size_t n = scales.size();
  std::vector<double> patterns(n * n);
  for (size_t i = 0; i < n; ++i) patterns[i * (n + 1)] = scales[i];
  return Network(patterns.data(), static_cast<ptrdiff_t>(n), static_cast<ptrdiff_t>(n), beta,
                 nullptr);
}

// For patterns s_i e_i a state is s_i p_i: fixed where log p_i - beta s_i^2 p_i is the same for all
// i. Newton's method for that and the sum, in long double.
std::vector<Wide> weights_at(const std::vector<double>& scales, double beta, const double* state) {
  const size_t n = scales.size();
  std::vector<Wide> p(n);
  for (size_t i = 0; i < n; ++i) p[i] = std::max(static_cast<Wide>(state[i]) / scales[i], 1e-300L);
  for (int step = 0; step < 8; ++step) {
    // dp_i = (c - log p_i + kappa_i p_i) / (1/p_i - kappa_i), with c such that the sum becomes 1.
    Wide constant = 0, slope = 0, total = 0;
    std::vector<Wide> value(n), rate(n);
    for (size_t i = 0; i < n; ++i) {
      const Wide kappa = static_cast<Wide>(beta) * scales[i] * scales[i];
      rate[i] = 1 / (1 / p[i] - kappa);
      value[i] = (kappa * p[i] - std::log(p[i])) * rate[i];
      constant += value[i];
      slope += rate[i];
      total += p[i];
    }
    const Wide c = (1 - total - constant) / slope;
    for (size_t i = 0; i < n; ++i) {
      const Wide move = value[i] + c * rate[i];
      // Of small weights, which doubles may have lost, the logarithm.
      p[i] = p[i] < 1e-6L ? p[i] * std::exp(move / p[i]) : p[i] + move;
    }
  }
  return p;
}

// The joint weights of a box's groups are within its bounds, and k is what it says.
bool holds(const SymmetricContractor::Box& box, const std::vector<Wide>& p,
           const std::vector<ptrdiff_t>& above) {
  const auto open = std::find(box.above.begin(), box.above.end(), 0) - box.above.begin();
  for (size_t c = 0; c < above.size(); ++c)
    if (box.above[c] != 0 && box.above[c] != above[c]) return false;
  if (box.first < box.last &&
      (above[static_cast<size_t>(open)] < box.first || above[static_cast<size_t>(open)] > box.last))
    return false;
  for (size_t g = 0; g < box.form->groups.size(); ++g) {
    Wide weight = 0;
    for (const ptrdiff_t i : box.form->groups[g]) weight += p[static_cast<size_t>(i)];
    const Wide logarithm = std::log(weight), slack = 2e-17L * (1 + std::fabs(logarithm));
    const auto at = static_cast<ptrdiff_t>(g);
    if (!(box.weights.log_lo()[at] <= logarithm + slack &&
          logarithm - slack <= box.weights.log_hi()[at] &&
          box.weights.lo()[at] <= weight * (1 + slack) &&
          weight * (1 - slack) <= box.weights.hi()[at]))
      return false;
  }
  return true;
}

// From the whole down, always into the half that holds the point.
bool keeps(const SymmetricContractor& contractor, const std::vector<Wide>& p,
           const std::vector<ptrdiff_t>& above) {
  SymmetricContractor::Box box = contractor.whole();
  SymmetricContractor::Workspace work;
  for (int depth = 0; depth < 200; ++depth) {
    if (!contractor.contract(box, work) || !holds(box, p, above)) return false;
    auto halves = contractor.halves(box, work);
    if (!halves) return true;
    const bool first = holds(halves->first, p, above);
    if (!first && !holds(halves->second, p, above)) return false;
    box = first ? std::move(halves->first) : std::move(halves->second);
  }
  return true;
}

void test_contraction_keeps_a_point_of_every_orbit() {
  int points = 0, lost = 0;
  for (const auto& scales : {std::vector<double>{1, 1, 1, 1, 1},
                             {1, 1, 1, 2, 2},
                             {1, 1, 2, 2, 3, 3},
                             {1, 1, 1, 1, 1.5},
                             {0.5, 0.5, 0.5, 0.5, 1, 1}})
    for (const double beta : {0.7, 2.0, 4.4, 4.9, 6.1, 9.0, 50.0, 500.0}) {
      const Network network = axes(scales, beta);
      const ScaledGram gram(network);
      const auto classes = hopfix::exchangeable_classes(network, gram);
      const SymmetricContractor contractor(network, gram, classes);
      CellOptions plainly;
      plainly.symmetry = false;
      const CellList list = hopfix::fixed_points_by_cells(network, plainly, Execution{});
      CHECK(list.undecided.empty());
      for (ptrdiff_t i = 0; i < list.size(); ++i) {
        std::vector<Wide> p = weights_at(scales, beta, list.states.data() + i * network.dim());
        std::vector<ptrdiff_t> above;
        for (const ExchangeableClass& c : classes) {
          const auto begin = p.begin() + c.members.front(), end = begin + c.size();
          std::sort(begin, end, std::greater<Wide>());
          const Wide middle = (*begin + *(end - 1)) / 2;
          const bool equal = *begin - *(end - 1) < 1e-12L;
          above.push_back(equal ? c.size() : std::count_if(begin, end, [middle](Wide value) {
            return value > middle;
          }));
        }
        ++points;
        lost += !keeps(contractor, p, above);
      }
    }
  std::printf("%d fixed points followed, %d lost\n", points, lost);
  CHECK(points > 800);
  CHECK(lost == 0);
}

// How many of the points are not confirmed by a certificate of their own with the same index.
int refuted(const Network& network, const CellList& list) {
  const hopfix::Certifier certifier(network);
  const auto fresh = certifier.certify(list.states.data(), list.size(), Execution{});
  int count = 0;
  for (size_t i = 0; i < fresh.size(); ++i)
    count += !fresh[i].certified() || fresh[i].morse_index != list.certificates[i].morse_index ||
             !(list.certificates[i].radius <= fresh[i].radius + 1e-12);
  return count;
}

CellList with_classes(const Network& network, const ScaledGram& gram,
                      const std::vector<ExchangeableClass>& classes) {
  const SymmetricContractor contractor(network, gram, classes);
  const CellOptions options;
  const Execution execution;
  return hopfix::expand_orbits(
      network, classes,
      hopfix::CellSearch<SymmetricContractor>(network, contractor, options, execution).run(),
      options, execution);
}

void test_faults_are_seen() {
  // Five alike, one a little larger.
  const Network network = axes({1, 1, 1, 1, 1, 1.001}, 20);
  const ScaledGram gram(network);
  const auto right = hopfix::exchangeable_classes(network, gram);
  CHECK(right.size() == 1 && right[0].size() == 5);
  const CellList sound = with_classes(network, gram, right);
  CHECK(sound.size() == 63 && sound.undecided.empty() && refuted(network, sound) == 0);

  // A class with a stranger in it: its images are no fixed points.
  auto wrong = right;
  wrong[0].members.push_back(5);
  const CellList strange = with_classes(network, gram, wrong);
  CHECK(strange.size() != 63 || refuted(network, strange) > 0);
  // Half the class: all points still, from more orbits.
  auto fewer = right;
  fewer[0].members.pop_back();
  const CellList longer = with_classes(network, gram, fewer);
  CHECK(longer.size() == 63 && longer.representatives > sound.representatives);
  // 1/kappa above the larger weights, and "identical" patterns that are not: points are missing.
  auto low = right;
  low[0].kappa = hopfix::Interval(1.01);
  CHECK(with_classes(network, gram, low).size() < 63);
  auto same = right;
  same[0].identical = true;
  CHECK(with_classes(network, gram, same).size() < 63);
}

void test_what_a_certificate_does_not_decide_is_reported() {
  const Network network = axes({1, 1, 1}, 20);
  const auto classes = hopfix::exchangeable_classes(network, ScaledGram(network));
  const CellOptions options;
  const auto expanded = [&](std::vector<double> state, double radius, double unique) {
    CellList list;
    list.states = std::move(state);
    Certificate certificate;
    certificate.radius = radius;
    certificate.uniqueness_radius = unique;
    list.certificates = {certificate};
    return hopfix::expand_orbits(network, classes, list, options, Execution{});
  };
  CHECK(expanded({0.8, 0.1, 0.1}, 1e-9, 1e-3).size() == 3);
  CHECK(expanded({0.45, 0.45, 0.1}, 1e-9, 1e-3).size() == 3);
  CHECK(expanded({1.0 / 3, 1.0 / 3, 1.0 / 3}, 1e-9, 1e-3).size() == 1);
  // The last two may differ, or they may be equal; so may all; the larger ones do not come first.
  for (const CellList& list :
       {expanded({0.8, 0.11, 0.09}, 1e-9, 1e-3), expanded({0.35, 0.325, 0.325}, 0.1, 0.11),
        expanded({0.1, 0.1, 0.8}, 1e-9, 1e-3)}) {
    CHECK(list.size() == 1 && list.undecided.size() == 1 &&
          list.undecided[0].reason == UndecidedReason::indistinct);
  }
  // A point is no better known than its state, and its neighbour no further than it was.
  const CellList list = expanded({0.8, 0.1, 0.1 + 1e-10}, 1e-9, 1e-3);
  CHECK(list.size() == 3 && list.undecided.empty());
  for (size_t i = 1; i < 3; ++i)
    CHECK(list.certificates[i].radius > 1e-9 + 1e-10 / 4 &&
          list.certificates[i].uniqueness_radius < 1e-3 - 1e-10 / 4);
}

void test_regions_stand_for_their_images() {
  const Network network = axes({1, 1, 1, 1}, 20);
  const auto classes = hopfix::exchangeable_classes(network, ScaledGram(network));
  std::mt19937_64 random(1);
  std::vector<double> difference;
  int uncovered = 0;
  for (int trial = 0; trial < 2000; ++trial) {
    std::vector<double> centre(4), point(4);
    for (double& x : centre) x = static_cast<double>(random() % 4) / 4;
    const double radius = 0.02 * static_cast<double>(random() % 40 + 1);
    for (size_t k = 0; k < 4; ++k)
      point[k] = centre[k] + radius / 2 * (static_cast<double>(random() % 1000) / 500 - 1);
    CellList list;
    list.undecided.push_back({centre, radius, UndecidedReason::degenerate});
    const CellList all = hopfix::expand_orbits(network, classes, list, CellOptions{}, Execution{});
    std::shuffle(point.begin(), point.end(), random);
    uncovered += std::none_of(all.undecided.begin(), all.undecided.end(), [&](const auto& region) {
      return hopfix::distance_bound(region.state.data(), point.data(), 4, difference).value() <=
             region.radius;
    });
  }
  CHECK(uncovered == 0);
}

}  // namespace

int main() {
  test_contraction_keeps_a_point_of_every_orbit();
  test_faults_are_seen();
  test_what_a_certificate_does_not_decide_is_reported();
  test_regions_stand_for_their_images();
  return hopfix::test::finish();
}
