#include "face_solver.hpp"

#include <algorithm>
#include <cmath>

#include "hopfix/isa.hpp"
#include "kernels/table.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

// Weights below this share move a state by less than its rounding.
constexpr double kFelt = 1e-18;
// Systems of more weights than this cost more than a step in the space of states.
constexpr size_t kMostWeights = 256;

}  // namespace

FaceSolver::FaceSolver(const Network<double>& network)
    : network_(network), face_newton_(network), logits_(static_cast<size_t>(network.size())) {}

void FaceSolver::solve(const std::int64_t* members, ptrdiff_t size, const double* weights,
                       double* state) {
  face_.assign(members, members + size);
  weights_.assign(weights, weights + size);
  own_ = face_;
  own_weights_ = weights_;
  if (!face_newton_.solve(face_, weights_)) weights_ = own_weights_;
  place(state);
  add_felt_patterns(state);
  if (face_.size() > own_.size() && face_.size() <= kMostWeights) {
    const std::vector<double> start = weights_;
    if (!face_newton_.solve(face_, weights_)) weights_ = start;
    place(state);
  }
}

void FaceSolver::place(double* state) const {
  const ptrdiff_t dim = network_.dim();
  double total = 0;
  for (const double weight : weights_) total += weight;
  std::fill_n(state, dim, 0.0);
  for (size_t i = 0; i < face_.size(); ++i) {
    const double* x = network_.patterns().data() + face_[i] * dim;
    for (ptrdiff_t k = 0; k < dim; ++k) state[k] += weights_[i] / total * x[k];
  }
}

// At most half of what the lightest member has, since at finite beta the scores at the face alone
// overrate its neighbours.
void FaceSolver::add_felt_patterns(const double* state) {
  isa::table().dense->matrix_vector(network_.patterns().data(), state, network_.size(),
                                    network_.dim(), logits_.data());
  for (size_t k = 0; k < logits_.size(); ++k)
    logits_[k] = network_.beta() * logits_[k] +
                 (network_.log_weights().empty() ? 0.0 : network_.log_weights()[k]);
  const auto heaviest = std::max_element(weights_.begin(), weights_.end()) - weights_.begin();
  const double reference = logits_[static_cast<size_t>(face_[static_cast<size_t>(heaviest)])];
  const double top = weights_[static_cast<size_t>(heaviest)];
  const double most = *std::min_element(weights_.begin(), weights_.end()) / 2;
  for (const ptrdiff_t i : own_) logits_[static_cast<size_t>(i)] = -HUGE_VAL;
  for (size_t k = 0; k < logits_.size(); ++k) {
    const double weight = top * std::exp(std::min(0.0, logits_[k] - reference));
    if (!(weight > kFelt)) continue;
    face_.push_back(static_cast<ptrdiff_t>(k));
    weights_.push_back(std::min(weight, most));
  }
}

}  // namespace hopfix
