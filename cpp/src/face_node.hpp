// Index sets grown one pattern at a time, with their points and scores, for critical_faces.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "hopfix/rounding.hpp"
#include "pattern_gram.hpp"

namespace hopfix {

// |x_m - its projection on the hull of the others|^2 below this times the scale is dependence.
inline constexpr double kDependent = 1e-12;

// A stack of affinely independent patterns. Level k holds the inverse Cholesky factor's k-th row
// and the affine weights lambda of x_1 .. x_k relative to x_0 that make all scores equal.
class FaceNode {
 public:
  explicit FaceNode(const PatternGram& gram) : gram_(&gram) {}

  std::ptrdiff_t size() const { return static_cast<std::ptrdiff_t>(members_.size()); }
  const std::vector<std::ptrdiff_t>& members() const { return members_; }

  void start(std::ptrdiff_t i) {
    members_.assign(1, i);
    levels_.clear();
  }

  // False, and nothing done, if x_m depends affinely on the members.
  bool push(std::ptrdiff_t m) {
    const PatternGram& g = *gram_;
    const std::ptrdiff_t o = members_[0];
    const std::size_t k = levels_.size();
    Level level;
    level.row.assign(k + 1, 0.0);
    double rest = g.difference(m, m, o);
    for (std::size_t i = 0; i < k; ++i) {
      double w = 0;
      const std::vector<double>& row = levels_[i].row;
      for (std::size_t j = 0; j <= i; ++j) w += row[j] * g.difference(m, members_[j + 1], o);
      rest -= w * w;
      for (std::size_t j = 0; j <= i; ++j) level.row[j] -= w * row[j];
    }
    if (!(rest > kDependent * g.scale)) return false;
    const double inverse = 1 / std::sqrt(rest);
    for (std::size_t j = 0; j < k; ++j) level.row[j] *= inverse;
    level.row[k] = inverse;
    level.right = -(g.offset(m) - g.offset(o)) - (g(m, o) - g(o, o));
    double y = level.row[k] * level.right, norm = 0;
    for (std::size_t j = 0; j < k; ++j) y += level.row[j] * levels_[j].right;
    for (const double value : level.row) norm += value * value;
    level.inverse_norm = norm + (k == 0 ? 0 : levels_[k - 1].inverse_norm);
    level.lambda.assign(k + 1, 0.0);
    for (std::size_t j = 0; j <= k; ++j)
      level.lambda[j] = (j < k ? levels_[k - 1].lambda[j] : 0.0) + y * level.row[j];
    levels_.push_back(std::move(level));
    members_.push_back(m);
    return true;
  }

  void pop() {
    members_.pop_back();
    levels_.pop_back();
  }

  // p over the members: sum 1, equal scores.
  void weights(std::vector<double>& p) const {
    p.assign(1, 1.0);
    if (levels_.empty()) return;
    for (const double value : levels_.back().lambda) {
      p.push_back(value);
      p[0] -= value;
    }
  }

  // The trace of the inverse of the Gram matrix of the differences, which bounds its norm.
  double inverse_norm() const { return levels_.empty() ? 0 : levels_.back().inverse_norm; }

  // Bounds on the errors of the weights and, from them, of score differences.
  double weight_error(double absolute_sum) const {
    const double inverse = levels_.empty() ? 0 : levels_.back().inverse_norm;
    return 16 * static_cast<double>(size()) * kUnitRoundoff *
           (inverse * gram_->scale * (1 + absolute_sum) + absolute_sum);
  }
  double score_error(double absolute_sum) const {
    const auto k = static_cast<double>(size());
    return gram_->scale *
           (2 * k * weight_error(absolute_sum) + 16 * k * kUnitRoundoff * (1 + absolute_sum));
  }

  // The affine weights mu of the members whose point is the projection of x_m on their hull;
  // returns the squared distance.
  double project(std::ptrdiff_t m, std::vector<double>& mu) const {
    const PatternGram& g = *gram_;
    const std::ptrdiff_t o = members_[0];
    mu.assign(members_.size(), 0.0);
    mu[0] = 1;
    double rest = g.difference(m, m, o);
    for (std::size_t i = 0; i < levels_.size(); ++i) {
      const std::vector<double>& row = levels_[i].row;
      double w = 0;
      for (std::size_t j = 0; j <= i; ++j) w += row[j] * g.difference(m, members_[j + 1], o);
      rest -= w * w;
      for (std::size_t j = 0; j <= i; ++j) {
        mu[j + 1] += w * row[j];
        mu[0] -= w * row[j];
      }
    }
    return rest;
  }

 private:
  struct Level {
    std::vector<double> row, lambda;
    double right = 0, inverse_norm = 0;
  };
  const PatternGram* gram_;
  std::vector<std::ptrdiff_t> members_;
  std::vector<Level> levels_;
};

// s_k = sum_i p_i x_i . x_k + a_k for all patterns k in [begin, end).
inline void add_scores(const PatternGram& gram, const std::vector<std::ptrdiff_t>& members,
                       const std::vector<double>& p, std::ptrdiff_t begin, std::ptrdiff_t end,
                       double* scores) {
  for (std::ptrdiff_t k = begin; k < end; ++k) scores[k] = gram.offset(k);
  for (std::size_t i = 0; i < members.size(); ++i) {
    const double weight = p[i];
    const double* row = gram.row(members[i]);
    for (std::ptrdiff_t k = begin; k < end; ++k) scores[k] += weight * row[k];
  }
}

}  // namespace hopfix
