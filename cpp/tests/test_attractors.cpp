// From anywhere in the ball of an attractor plain iteration ends in it, towards the nearest basin
// boundary, too.
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "attractors.hpp"
#include "check.hpp"
#include "sums.hpp"

namespace {

using std::ptrdiff_t;

struct Worst {
  double largest_reach = 0;  // over the distance of a state that ends elsewhere
  int captured = 0, tried = 0;
};

template <class T>
bool ends_in(const hopfix::Network<T>& network, const std::vector<T>& attractor,
             std::vector<T> state) {
  std::vector<T> moved(state.size());
  double far = 1;
  for (int step = 0; step < 1000 && far > 1e-4; ++step) {
    network.update(state.data(), 1, moved.data(), {});
    state.swap(moved);
    far = hopfix::distance(state.data(), attractor.data(), network.dim());
  }
  return far <= 1e-4;
}

// Two or three clusters of random patterns; states on the ball of an attractor and beyond, towards
// the other clusters and elsewhere.
template <class T>
void try_network(unsigned seed, Worst& worst) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  const ptrdiff_t n = 40, dim = 1 + static_cast<ptrdiff_t>(seed % 4);
  const double apart = uniform(random) * 1.5, beta = std::exp(0.5 + 0.7 * normal(random));
  std::vector<T> patterns, log_weights;
  for (ptrdiff_t i = 0; i < n; ++i) {
    for (ptrdiff_t k = 0; k < dim; ++k)
      patterns.push_back(static_cast<T>(0.5 * normal(random) + (k > 0        ? 0
                                                                : i % 3 == 0 ? apart
                                                                             : -apart)));
    log_weights.push_back(static_cast<T>(normal(random)));
  }
  const hopfix::Network<T> network(patterns.data(), n, dim, beta, log_weights.data());
  const hopfix::Attractors<T> attractors(network, patterns.data(), 7, {});
  for (int s = 0; s < 12; ++s) {
    std::vector<T> state(static_cast<std::size_t>(dim));
    for (T& x : state) x = static_cast<T>(2 * normal(random));
    const hopfix::Attractor<T>* attractor = nullptr;
    for (int step = 0; step < 50 && attractor == nullptr; ++step) {
      std::vector<T> moved(state.size());
      network.update(state.data(), 1, moved.data(), {});
      state = moved;
      attractor = attractors.of(state.data());
    }
    ++worst.tried;
    if (attractor == nullptr) continue;
    ++worst.captured;
    std::vector<double> direction(state.size());
    for (double& x : direction) x = s % 4 == 0 ? normal(random) : 0.0;
    direction[0] += s % 4 == 0 ? 0.0 : attractor->state[0] > 0 ? -1.0 : 1.0;
    const double norm = hopfix::norm(direction.data(), dim);
    for (const double factor : {0.999, 1.2, 1.5, 2.0, 3.0}) {
      std::vector<T> edge(state.size());
      for (std::size_t k = 0; k < edge.size(); ++k)
        edge[k] =
            attractor->state[k] + static_cast<T>(factor * attractor->reach * direction[k] / norm);
      const bool ends = ends_in(network, attractor->state, edge);
      if (factor < 1) CHECK(ends);
      if (!ends) worst.largest_reach = std::max(worst.largest_reach, 1 / factor);
    }
  }
}

template <class T>
void test_balls() {
  Worst worst;
  for (unsigned seed = 0; seed < 50; ++seed) try_network<T>(seed, worst);
  std::printf("attractors: %d of %d captured, the closest boundary at reach / %.2f\n",
              worst.captured, worst.tried, worst.largest_reach);
  CHECK(worst.captured > worst.tried / 2);
  CHECK(worst.largest_reach >= 0.3);  // a bound that says something
}

// Patterns -1 and 1 in one dimension: f = tanh(beta x), stable at x* = tanh(beta x*), unstable at
// 0, where beta > 1.
void test_two_patterns() {
  const double patterns[] = {-1, 1};
  for (const double beta : {1.5, 2.0, 5.0, 50.0}) {
    const hopfix::Network<double> network(patterns, 2, 1, beta, nullptr);
    const hopfix::Attractors<double> attractors(network, patterns, 2, {});
    const double saddle = 0, left = -1e-9, right = 1;
    CHECK(attractors.of(&saddle) == nullptr);
    CHECK(attractors.of(&left) == nullptr);
    CHECK(attractors.of(&right) != nullptr);
  }
}

}  // namespace

int main() {
  test_balls<float>();
  test_balls<double>();
  test_two_patterns();
  return hopfix::test::finish();
}
