#include "hopfix/face_newton.hpp"

#include <algorithm>
#include <cmath>

#include "hopfix/isa.hpp"
#include "kernels/table.hpp"

namespace hopfix {

bool FaceNewton::solve(const std::vector<std::ptrdiff_t>& face, std::vector<double>& weights) {
  constexpr int kSteps = 40;
  const auto dim = network_.dim();
  const std::size_t m = face.size(), order = m + 1;
  rows_.clear();
  for (const std::ptrdiff_t i : face)
    rows_.insert(rows_.end(), network_.patterns().begin() + i * dim,
                 network_.patterns().begin() + (i + 1) * dim);
  gram_.resize(m * m);
  isa::table().dense->gram_rows(rows_.data(), static_cast<std::ptrdiff_t>(m), dim, gram_.data());
  matrix_.resize(order * order);
  step_.resize(order);

  for (int step = 0; step < kSteps; ++step) {
    // [diag(1/p) - beta G, -1; 1^T, 0] [dp; c] = [-(log p - beta G p - b); 1 - sum p]
    double missing = 1;
    for (std::size_t i = 0; i < m; ++i) {
      double field = network_.log_weights().empty()
                         ? 0.0
                         : network_.log_weights()[static_cast<std::size_t>(face[i])];
      for (std::size_t j = 0; j < m; ++j) {
        const double coupling = network_.beta() * gram_[i * m + j];
        field += coupling * weights[j];
        matrix_[i * order + j] = -coupling;
      }
      matrix_[i * order + i] += 1 / weights[i];
      matrix_[i * order + m] = -1;
      matrix_[m * order + i] = 1;
      step_[i] = field - std::log(weights[i]);
      missing -= weights[i];
    }
    matrix_[m * order + m] = 0;
    step_[m] = missing;
    isa::table().dense->solve(matrix_.data(), static_cast<std::ptrdiff_t>(order), step_.data());

    // Weights stay positive: none loses more than nine tenths of itself in one step.
    double fall = 0, change = 0;
    for (std::size_t i = 0; i < m; ++i) {
      fall = std::max(fall, -step_[i] / weights[i]);
      change = std::max(change, std::fabs(step_[i]) / weights[i]);
    }
    if (!std::isfinite(change)) return false;
    const double t = fall > 0.9 ? 0.9 / fall : 1.0;
    for (std::size_t i = 0; i < m; ++i) weights[i] += t * step_[i];
    if (change < 1e-6) return true;
    // A weight on its way to zero: the face has no equilibrium of its own.
    if (*std::min_element(weights.begin(), weights.end()) < 1e-300) return false;
  }
  return false;
}

}  // namespace hopfix
