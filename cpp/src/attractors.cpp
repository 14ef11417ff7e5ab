#include "attractors.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "anderson.hpp"
#include "state_softmax.hpp"
#include "sums.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

constexpr int kMostUpdates = 300;
constexpr int kPlainUpdates = 8;  // before acceleration, which may lead to another fixed point
constexpr double kMargin = 1.02;  // for the estimate of the eigenvalue
constexpr double kEigenvalueTolerance = 1e-3;
constexpr double kContraction = 0.99;

// About as small as rounding lets a residual become.
template <class T>
double smallest_residual(const T* state, ptrdiff_t dim) {
  const double unit = std::max(4 * static_cast<double>(std::numeric_limits<T>::epsilon()), 1e-14);
  return unit * std::max(1.0, norm(state, dim));
}

// kappa of the header, for s = beta (R + t) t.
double contraction(double eigenvalue, double s) {
  return s > 1e-8 ? eigenvalue * std::expm1(s) / s : eigenvalue;
}

// The largest t, to a part in a thousand, with kappa(t) <= kContraction; zero where there is none.
double reach_of(double eigenvalue, double beta, double radius) {
  const auto contracts = [&](double t) {
    return contraction(eigenvalue, beta * (radius + t) * t) <= kContraction;
  };
  if (!(eigenvalue < kContraction)) return 0;
  double inside = 0, outside = radius;
  if (contracts(outside)) return outside;
  while (outside - inside > 1e-3 * outside) {
    const double middle = (inside + outside) / 2;
    (contracts(middle) ? inside : outside) = middle;
  }
  return inside;
}

}  // namespace

template <class T>
Attractors<T>::Attractors(const Network<T>& network, const T* starts, ptrdiff_t count,
                          const Execution& execution) {
  const ptrdiff_t dim = network.dim();
  std::vector<T> states(starts, starts + count * dim), moved(states.size());
  std::vector<double> residuals(static_cast<size_t>(count));
  std::vector<Anderson<T>> accelerated(static_cast<size_t>(count));
  const auto settled = [&](ptrdiff_t s) {
    return residuals[static_cast<size_t>(s)] <= smallest_residual(states.data() + s * dim, dim);
  };
  for (int step = 0; step <= kMostUpdates; ++step) {
    network.update(states.data(), count, moved.data(), execution);
    if (execution.stop_requested && execution.stop_requested()) throw Interrupted();
    bool all = true;
    for (ptrdiff_t s = 0; s < count; ++s) {
      residuals[static_cast<size_t>(s)] =
          distance(states.data() + s * dim, moved.data() + s * dim, dim);
      all = all && settled(s);
    }
    if (all || step == kMostUpdates) break;
    for (ptrdiff_t s = 0; s < count; ++s) {
      if (settled(s)) continue;
      T* state = states.data() + s * dim;
      Anderson<T>& anderson = accelerated[static_cast<size_t>(s)];
      if (step == kPlainUpdates) anderson.start_unproved(dim, state);
      if (step < kPlainUpdates)
        std::copy_n(moved.data() + s * dim, dim, state);
      else
        anderson.advance(
            moved.data() + s * dim, residuals[static_cast<size_t>(s)], 0, 0, [] { return 0.0; },
            dim, state);
    }
  }
  for (ptrdiff_t s = 0; s < count; ++s)
    if (settled(s) && of(states.data() + s * dim) == nullptr)
      add(network, states.data() + s * dim, residuals[static_cast<size_t>(s)], execution);
}

template <class T>
void Attractors<T>::add(const Network<T>& network, const T* state, double residual,
                        const Execution& execution) {
  const ptrdiff_t dim = network.dim();
  StateSoftmax<T> softmax(network);
  softmax.compute(state, execution);
  const double eigenvalue =
      kMargin * largest_eigenvalue(softmax.map(execution), kEigenvalueTolerance);
  double radius = 0;
  for (ptrdiff_t i = 0; i < network.size(); ++i)
    radius = std::max(radius, distance(network.patterns().data() + i * dim, state, dim));
  const double reach = reach_of(eigenvalue, network.beta(), radius * (1 + 1e-9) + residual);
  if (reach > 1000 * residual) found_.push_back({{state, state + dim}, residual, reach});
}

template <class T>
const Attractor<T>* Attractors<T>::of(const T* state) const {
  for (const Attractor<T>& attractor : found_) {
    const auto dim = static_cast<ptrdiff_t>(attractor.state.size());
    if (distance(state, attractor.state.data(), dim) < attractor.reach) return &attractor;
  }
  return nullptr;
}

template class Attractors<float>;
template class Attractors<double>;

}  // namespace hopfix
