// Enclosures of xi - f(xi) hold it everywhere on the box, rounding included, and shrink onto it;
// enclosures a little narrower are found out.
#include <cmath>
#include <random>
#include <vector>

#include "check.hpp"
#include "hopfix/degree.hpp"
#include "problem.hpp"
#include "residual_enclosure.hpp"

namespace {

using hopfix::Interval;
using hopfix::ResidualEnclosure;
using hopfix::test::Problem;
using std::ptrdiff_t;
using std::size_t;
using Network = hopfix::Network<double>;
using Wide = long double;

// Unequal norms, some near duplicates, some far from the origin, log-weights now and then.
Problem random_problem(unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  const auto pick = [&](int low, int high) {
    return low + static_cast<ptrdiff_t>(random() % static_cast<unsigned>(high - low + 1));
  };
  // One in twenty has more patterns than are compared in pairs.
  const ptrdiff_t n = seed % 20 == 2 ? 150 + pick(0, 100) : pick(1, 12);
  Problem problem{n, pick(1, 4), std::exp(2 * normal(random) + 1), {}, {}};
  const double shift = seed % 4 == 1 ? 30 : 0;
  for (ptrdiff_t i = 0; i < problem.n * problem.dim; ++i)
    problem.patterns.push_back(seed % 4 == 0 && i >= problem.dim && i < 2 * problem.dim
                                   ? problem.patterns[static_cast<size_t>(i - problem.dim)] + 1e-6
                                   : shift + normal(random));
  if (seed % 3 == 0)
    for (ptrdiff_t i = 0; i < problem.n; ++i) problem.log_weights.push_back(5 * normal(random));
  return problem;
}

// xi - f(xi) to the precision of long double.
std::vector<Wide> residual(const Problem& problem, const std::vector<double>& state) {
  const auto dim = static_cast<size_t>(problem.dim);
  std::vector<Wide> z(static_cast<size_t>(problem.n)), value(state.begin(), state.end());
  Wide top = -HUGE_VALL, sum = 0;
  for (size_t i = 0; i < z.size(); ++i) {
    for (size_t k = 0; k < dim; ++k)
      z[i] += static_cast<Wide>(problem.patterns[i * dim + k]) * state[k];
    z[i] = problem.beta * z[i] + (problem.log_weights.empty() ? 0 : problem.log_weights[i]);
    top = std::max(top, z[i]);
  }
  for (Wide& each : z) sum += each = std::exp(each - top);
  for (size_t i = 0; i < z.size(); ++i)
    for (size_t k = 0; k < dim; ++k) value[k] -= z[i] / sum * problem.patterns[i * dim + k];
  return value;
}

std::vector<Interval> random_box(const Problem& problem, double size, std::mt19937_64& random) {
  std::uniform_real_distribution<double> uniform;
  std::vector<Interval> box;
  const double weight = uniform(random);
  for (ptrdiff_t k = 0; k < problem.dim; ++k) {
    const auto pick = [&] {
      return problem.patterns[static_cast<size_t>(
          static_cast<ptrdiff_t>(random() % static_cast<unsigned>(problem.n)) * problem.dim + k)];
    };
    const double low = weight * pick() + (1 - weight) * pick();
    box.emplace_back(low, low + size * uniform(random));
  }
  return box;
}

// A corner of the box, or a point inside.
std::vector<double> sample(const std::vector<Interval>& box, bool corner, std::mt19937_64& random) {
  std::vector<double> state;
  for (const Interval& side : box) {
    const double share = static_cast<double>(random() >> 11) * 0x1p-53;
    const double at =
        corner ? (share < 0.5 ? side.lo : side.hi) : side.lo + share * (side.hi - side.lo);
    state.push_back(std::min(at, side.hi));
  }
  return state;
}

void test_enclosures_hold_the_residual() {
  std::mt19937_64 random(3);
  int boxes = 0, outside = 0, wider = 0, outside_narrower = 0, outside_a_point = 0;
  for (unsigned seed = 0; seed < 300; ++seed) {
    const Problem problem = random_problem(seed);
    const Network network = problem.network();
    const ResidualEnclosure enclosure(network);
    ResidualEnclosure::Workspace work;
    for (const double size : {0.0, 1e-12, 1e-6, 1e-3, 1e-2, 0.1, 0.5, 3.0, 50.0}) {
      const std::vector<Interval> box = random_box(problem, size, random);
      std::vector<Interval> coarse(box.size(), 0.0);
      enclosure.coarse(box.data(), coarse.data(), work);
      std::vector<Interval> fine = coarse;
      enclosure.refine(fine.data(), work);
      ++boxes;
      for (size_t k = 0; k < box.size(); ++k) wider += !coarse[k].contains(fine[k]);
      for (int s = 0; s < 30; ++s) {
        const std::vector<double> state = sample(box, s % 2 == 0, random);
        const std::vector<Wide> exact = residual(problem, state);
        // Of long double: logits of thousands, patterns of 30.
        constexpr Wide kSlack = 1e-14L;
        for (size_t k = 0; k < box.size(); ++k) {
          const auto leaves = [&](Wide low, Wide high) {
            return !(low <= exact[k] + kSlack && exact[k] - kSlack <= high);
          };
          const Wide middle = (static_cast<Wide>(fine[k].lo) + fine[k].hi) / 2;
          const Wide radius = (static_cast<Wide>(fine[k].hi) - fine[k].lo) / 2;
          outside += leaves(fine[k].lo, fine[k].hi);
          if (size > 0)
            outside_narrower += leaves(middle - 0.95L * radius, middle + 0.95L * radius);
          else  // without the rounding, a point of the enclosure is all there is
            outside_a_point += leaves(middle, middle);
        }
      }
    }
  }
  std::printf("%d boxes, samples outside: %d; of narrower ones: %d; without rounding: %d\n", boxes,
              outside, outside_narrower, outside_a_point);
  CHECK(outside == 0);
  CHECK(wider == 0);
  CHECK(outside_narrower > 1000);
  CHECK(outside_a_point > 100);
}

// On small boxes the residual is nearly linear, so that its range is that over the corners.
void test_enclosures_shrink_onto_the_residual() {
  std::mt19937_64 random(4);
  constexpr double kSize = 1e-5;
  int checked = 0;
  for (unsigned seed = 0; seed < 200; ++seed) {
    Problem problem = random_problem(seed);
    problem.beta = std::min(problem.beta, 20.0);
    const Network network = problem.network();
    const ResidualEnclosure enclosure(network);
    ResidualEnclosure::Workspace work;
    const std::vector<Interval> box = random_box(problem, kSize, random);
    std::vector<Interval> found(box.size(), 0.0);
    enclosure.coarse(box.data(), found.data(), work);
    enclosure.refine(found.data(), work);
    std::vector<Wide> low(box.size(), HUGE_VALL), high(box.size(), -HUGE_VALL);
    for (int s = 0; s < 200; ++s) {
      const std::vector<Wide> value = residual(problem, sample(box, true, random));
      for (size_t k = 0; k < box.size(); ++k) {
        low[k] = std::min(low[k], value[k]);
        high[k] = std::max(high[k], value[k]);
      }
    }
    for (size_t k = 0; k < box.size(); ++k, ++checked)
      CHECK(found[k].width() <= 1.05L * (high[k] - low[k]) + 3e-9L);
  }
  CHECK(checked > 300);
}

// A box around the middle of {-1, 1} at beta = 2, where f(x) = tanh(2 x), and one without it.
void test_known_degrees() {
  const Problem line{2, 1, 2.0, {-1, 1}, {}};
  const Network network = line.network();
  const hopfix::DegreeOptions options;
  const auto degree = [&](double low, double high) {
    return hopfix::brouwer_degree(network, &low, &high, options, hopfix::Execution{});
  };
  CHECK(degree(-0.5, 0.25).value == -1);
  CHECK(degree(0.5, 2).value == 1);
  CHECK(degree(-2, 0.25).value == 0);
  CHECK(degree(-2, 2).value == 1);
  CHECK(degree(1.5, 2).value == 0);
  CHECK(degree(-0.5, 0).failure == hopfix::DegreeFailure::boundary);
  CHECK(degree(-0.5, 0).state == std::vector<double>{0.0});
}

}  // namespace

int main() {
  test_enclosures_hold_the_residual();
  test_enclosures_shrink_onto_the_residual();
  test_known_degrees();
  return hopfix::test::finish();
}
