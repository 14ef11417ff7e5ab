// The rounding terms of the contractor: with coefficients so large that they decide, no fixed point
// is lost, to the accuracy of double-double arithmetic; without the terms, many are.
#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "check.hpp"
#include "hopfix/cells.hpp"
#include "hopfix/double_double.hpp"
#include "hopfix/interval.hpp"
#include "hopfix/rounding.hpp"
#include "problem.hpp"
#include "weight_contractor.hpp"

// The same source once more, with a unit roundoff of zero.
namespace hopfix {

class RoundingBlind {
 public:
  using Workspace = WeightContractor::Workspace;
  RoundingBlind(const Network<double>& network, const WeightForm& form)
      : network_(network), form_(form) {}
  bool contract(WeightBox& box, Workspace& work) const;
  std::optional<std::pair<WeightBox, WeightBox>> halves(const WeightBox& box,
                                                        const Workspace& work) const;
  std::vector<double> middle(const WeightBox& box) const;
  double reach(const WeightBox& box, const std::vector<double>& state) const;

 private:
  const Network<double>& network_;
  const WeightForm& form_;
};

}  // namespace hopfix

#define WeightContractor RoundingBlind
#define kUnitRoundoff 0.0
#include "weight_contractor.cpp"
#undef WeightContractor
#undef kUnitRoundoff

namespace {

using hopfix::DoubleDouble;
using hopfix::WeightBox;
using hopfix::test::Problem;
using std::ptrdiff_t;
using std::size_t;
using Network = hopfix::Network<double>;

// Unit vectors, or such vectors around a point far from the origin whose dynamics are about the
// same.
Problem problem(unsigned seed, double beta, double shift) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  Problem result{
      5 + static_cast<ptrdiff_t>(seed % 4), 2 + static_cast<ptrdiff_t>(seed % 3), beta, {}, {}};
  for (ptrdiff_t i = 0; i < result.n; ++i) {
    std::vector<double> x(static_cast<size_t>(result.dim));
    double square = 0, sum = 0;
    for (double& value : x) {
      value = normal(random);
      square += value * value;
    }
    for (double& value : x) {
      value /= std::sqrt(square);
      sum += value;
      result.patterns.push_back(value + shift);
    }
    if (shift > 0) result.log_weights.push_back(-beta * shift * sum);
  }
  return result;
}

// ln s, by a step of Newton's method from the double.
DoubleDouble log(DoubleDouble s) {
  const double first = std::log(s.hi);
  return first + (s * hopfix::exp(DoubleDouble(-first)) - 1.0);
}

// Logarithms of the weights that the exact map gives at a state.
std::vector<DoubleDouble> log_weights(const Problem& of, const std::vector<DoubleDouble>& state) {
  std::vector<DoubleDouble> z;
  double top = -HUGE_VAL;
  for (size_t i = 0; i < static_cast<size_t>(of.n); ++i) {
    DoubleDouble product = 0.0;
    for (size_t k = 0; k < state.size(); ++k)
      product = product + state[k] * of.patterns[i * state.size() + k];
    z.push_back(product * of.beta + (of.log_weights.empty() ? 0.0 : of.log_weights[i]));
    top = std::max(top, z.back().hi);
  }
  DoubleDouble sum = 0.0;
  for (const DoubleDouble& value : z) sum = sum + hopfix::exp(value - top);
  const DoubleDouble all = log(sum) + top;
  for (DoubleDouble& value : z) value = value - all;
  return z;
}

// (I - J) step = residual in doubles.
std::vector<double> newton_step(const Problem& of, const std::vector<DoubleDouble>& z,
                                const std::vector<DoubleDouble>& mean,
                                const std::vector<double>& residual) {
  const size_t dim = residual.size();
  std::vector<std::vector<double>> system(dim, std::vector<double>(dim + 1));
  for (size_t k = 0; k < dim; ++k) {
    system[k][k] = 1;
    system[k][dim] = residual[k];
    for (size_t m = 0; m < dim; ++m)
      for (size_t i = 0; i < z.size(); ++i)
        system[k][m] -= of.beta * std::exp(z[i].hi) * (of.patterns[i * dim + k] - mean[k].hi) *
                        (of.patterns[i * dim + m] - mean[m].hi);
  }
  return hopfix::test::solved(std::move(system));
}

// Newton's method: residuals in double-double, derivatives in doubles.
std::vector<DoubleDouble> refine(const Problem& of, const double* start) {
  const auto dim = static_cast<size_t>(of.dim);
  std::vector<DoubleDouble> state(start, start + dim);
  for (int round = 0; round < 25; ++round) {
    const std::vector<DoubleDouble> z = log_weights(of, state);
    std::vector<DoubleDouble> mean(dim, 0.0);
    for (size_t i = 0; i < z.size(); ++i)
      for (size_t k = 0; k < dim; ++k)
        mean[k] = mean[k] + hopfix::exp(z[i]) * of.patterns[i * dim + k];
    std::vector<double> residual;
    for (size_t k = 0; k < dim; ++k) residual.push_back((mean[k] - state[k]).hi);
    const std::vector<double> step = newton_step(of, z, mean, residual);
    for (size_t k = 0; k < dim; ++k) state[k] = state[k] + step[k];
  }
  return state;
}

constexpr double kSmallestWeight = 1e-270;

bool holds(const WeightBox& box, const std::vector<DoubleDouble>& logarithms) {
  for (ptrdiff_t i = 0; i < box.size(); ++i) {
    const DoubleDouble logarithm = logarithms[static_cast<size_t>(i)];
    // Of the double-double point: of logits of 1e7, carried by condition numbers of 1e7.
    constexpr double kSlack = 1e-18;
    const DoubleDouble weight = hopfix::exp(logarithm);
    if (weight.hi < kSmallestWeight ? box.lo()[i] > kSmallestWeight
                                    : weight * (1.0 + DoubleDouble(kSlack)) < box.lo()[i] ||
                                          weight * (1.0 - DoubleDouble(kSlack)) > box.hi()[i])
      return false;
    if (logarithm < box.log_lo()[i] - DoubleDouble(kSlack) ||
        logarithm > box.log_hi()[i] + DoubleDouble(kSlack))
      return false;
  }
  return true;
}

// From a box of random width around the point down by bisection at random places.
template <class Contractor>
bool keeps(const Contractor& contractor, const std::vector<DoubleDouble>& logarithms,
           std::mt19937_64& random) {
  WeightBox box(static_cast<ptrdiff_t>(logarithms.size()));
  hopfix::WeightContractor::Workspace work;
  for (int depth = 0; depth < 60; ++depth) {
    if (!contractor.contract(box, work) || !holds(box, logarithms)) return false;
    const auto i = static_cast<ptrdiff_t>(random() % logarithms.size());
    const double share = static_cast<double>(random() >> 11) * 0x1p-53;
    const double at = box.lo()[i] + share * (box.hi()[i] - box.lo()[i]);
    // Double-double has no bits to spare where weights are subnormal.
    if (!(box.lo()[i] < at && at < box.hi()[i]) || at < kSmallestWeight) continue;
    if (hopfix::exp(logarithms[static_cast<size_t>(i)]) <= DoubleDouble(at)) {
      box.hi()[i] = at;
      box.log_hi()[i] = std::min(box.log_hi()[i], hopfix::log_up(at));
    } else {
      box.lo()[i] = at;
      box.log_lo()[i] = std::max(box.log_lo()[i], hopfix::log_down(at));
    }
  }
  return true;
}

void test_rounding_terms_decide() {
  int points = 0, lost = 0, lost_blindly = 0;
  for (unsigned seed = 0; seed < 24; ++seed)
    for (const double beta : {20.0, 1e3, 1e5, 1e6})
      for (const double shift : {0.0, 100.0}) {
        const Problem of = problem(seed, beta, shift);
        const Network network = of.network();
        const hopfix::WeightForm form(network);
        hopfix::CellOptions options;
        options.form = hopfix::CellForm::weights;
        options.max_boxes = 3000;
        const hopfix::CellList list =
            hopfix::fixed_points_by_cells(network, options, hopfix::Execution{});
        for (ptrdiff_t i = 0; i < list.size(); ++i) {
          const auto exact = log_weights(of, refine(of, list.states.data() + i * of.dim));
          std::mt19937_64 one(seed), other(seed);
          ++points;
          lost += !keeps(hopfix::WeightContractor(network, form), exact, one);
          lost_blindly += !keeps(hopfix::RoundingBlind(network, form), exact, other);
        }
      }
  std::printf("%d points followed, %d lost, %d without rounding terms\n", points, lost,
              lost_blindly);
  CHECK(points > 1000);
  CHECK(lost == 0);
  CHECK(lost_blindly > points / 20);
}

}  // namespace

int main() {
  test_rounding_terms_decide();
  return hopfix::test::finish();
}
