#include "hopfix/newton.hpp"

#include <algorithm>
#include <cmath>

#include "hopfix/isa.hpp"
#include "kernels/table.hpp"

namespace hopfix {

namespace {

double norm(const std::vector<double>& x) {
  double sum = 0;
  for (const double value : x) sum += value * value;
  return std::sqrt(sum);
}

}  // namespace

NewtonSolver::NewtonSolver(const Network<double>& network) : network_(network), scale_(0) {
  const auto n = static_cast<std::size_t>(network.size());
  const auto dim = static_cast<std::size_t>(network.dim());
  weights_.resize(n);
  for (auto* vector : {&difference_, &step_, &trial_}) vector->resize(dim);
  for (std::size_t i = 0; i < n; ++i) {
    double square = 0;
    for (std::size_t k = 0; k < dim; ++k)
      square += network.patterns()[i * dim + k] * network.patterns()[i * dim + k];
    scale_ = std::max(scale_, std::sqrt(square));
  }
}

double NewtonSolver::residual(const double* state) {
  const auto n = network_.size(), dim = network_.dim();
  const double* x = network_.patterns().data();
  isa::table().dense->matrix_vector(x, state, n, dim, weights_.data());
  double top = -HUGE_VAL;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    weights_[i] *= network_.beta();
    if (!network_.log_weights().empty()) weights_[i] += network_.log_weights()[i];
    top = std::max(top, weights_[i]);
  }
  for (double& z : weights_) z -= top;
  isa::table().exp64(weights_.data(), weights_.data(), n);
  double sum = 0;
  for (const double e : weights_) sum += e;
  for (double& e : weights_) e /= sum;
  isa::table().dense->vector_matrix(weights_.data(), x, n, dim, difference_.data());
  for (std::size_t k = 0; k < difference_.size(); ++k) difference_[k] -= state[k];
  return norm(difference_);
}

void NewtonSolver::newton_step() {
  const auto dim = network_.dim();
  rows_.clear();
  // Centred at f = state + difference; step_ holds the state here.
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    if (weights_[i] == 0) continue;
    const double root = std::sqrt(network_.beta() * weights_[i]);
    const double* x = network_.patterns().data() + static_cast<std::ptrdiff_t>(i) * dim;
    for (std::size_t k = 0; k < difference_.size(); ++k)
      rows_.push_back(root * (x[k] - (step_[k] + difference_[k])));
  }
  const auto active = static_cast<std::ptrdiff_t>(rows_.size()) / dim;
  step_ = difference_;
  if (active < dim)
    solve_by_patterns(active);
  else
    solve_by_components(active);
}

// (I - A^T A) step = f - state, A the rows.
void NewtonSolver::solve_by_components(std::ptrdiff_t active) {
  const auto& dense = *isa::table().dense;
  const auto dim = network_.dim();
  matrix_.resize(static_cast<std::size_t>(dim * dim));
  dense.gram_columns(rows_.data(), active, dim, matrix_.data());
  subtract_from_identity(dim);
  dense.solve(matrix_.data(), dim, step_.data());
}

// The same as (I + A^T (I - A A^T)^-1 A) (f - state).
void NewtonSolver::solve_by_patterns(std::ptrdiff_t active) {
  const auto& dense = *isa::table().dense;
  const auto dim = network_.dim();
  matrix_.resize(static_cast<std::size_t>(active * active));
  dense.gram_rows(rows_.data(), active, dim, matrix_.data());
  subtract_from_identity(active);
  coefficients_.resize(static_cast<std::size_t>(active));
  dense.matrix_vector(rows_.data(), difference_.data(), active, dim, coefficients_.data());
  dense.solve(matrix_.data(), active, coefficients_.data());
  dense.vector_matrix(coefficients_.data(), rows_.data(), active, dim, trial_.data());
  for (std::size_t k = 0; k < step_.size(); ++k) step_[k] += trial_[k];
}

void NewtonSolver::subtract_from_identity(std::ptrdiff_t size) {
  for (double& entry : matrix_) entry = -entry;
  for (std::ptrdiff_t k = 0; k < size; ++k) matrix_[static_cast<std::size_t>(k * (size + 1))] += 1;
}

bool NewtonSolver::solve(double* state, int max_iterations) {
  const auto dim = static_cast<std::size_t>(network_.dim());
  const double rounding = 1e-13 * std::max(scale_, 1e-300);
  constexpr int kHalvings = 12;
  double here = residual(state);
  int stagnant = 0;
  for (int iteration = 0; iteration < max_iterations && here > 0 && stagnant < 3; ++iteration) {
    const std::vector<double> plain = difference_;
    step_.assign(state, state + dim);
    newton_step();
    // A step beyond the hull is a sign of a nearly singular I - J, not of progress.
    const double length = norm(step_);
    double t = length > 2 * scale_ ? 2 * scale_ / length : 1.0;
    if (!std::isfinite(length)) t = 0;
    double there = HUGE_VAL;
    for (int halving = 0; t > 0 && halving < kHalvings; ++halving, t /= 2) {
      for (std::size_t k = 0; k < dim; ++k) trial_[k] = state[k] + t * step_[k];
      there = residual(trial_.data());
      if (there <= (1 - t / 4) * here || (t == 1.0 && here <= rounding)) break;
    }
    if (here <= rounding && !(there < here)) {
      ++stagnant;
      if (there > here) break;
    } else if (!(there < here)) {
      for (std::size_t k = 0; k < dim; ++k) trial_[k] = state[k] + plain[k];
      there = residual(trial_.data());
    }
    std::copy(trial_.begin(), trial_.end(), state);
    here = there;
  }
  return residual(state) <= rounding;
}

}  // namespace hopfix
