// Small matrix games by the simplex method.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace hopfix {

// Strategies of the game with payoffs A (m rows, maximising; m columns, minimising). They are
// non-negative and of positive sum, but not normalised and only as good as double precision makes
// them: bound what they give.
class MatrixGame {
 public:
  explicit MatrixGame(std::ptrdiff_t m)
      : m_(m),
        width_(2 * m + 1),
        tableau_(static_cast<std::size_t>((m + 1) * width_)),
        basis_(static_cast<std::size_t>(m)),
        rows(static_cast<std::size_t>(m)),
        columns(static_cast<std::size_t>(m)) {}

  // max sum(y), B y <= 1, y >= 0 for B = (A + shift) / scale > 0: y is the columns' strategy, the
  // dual solution the rows'.
  void solve(const std::vector<double>& payoffs) {
    start(payoffs);
    const std::ptrdiff_t most = 50 * m_ + 100, bland = 10 * m_ + 20;
    for (std::ptrdiff_t step = 0; step < most; ++step) {
      const std::ptrdiff_t entering = choose_column(step >= bland);
      if (entering < 0) break;
      const std::ptrdiff_t leaving = choose_row(entering);
      if (leaving < 0) break;
      pivot(leaving, entering);
    }
    finish();
  }

 private:
  std::ptrdiff_t m_, width_;
  std::vector<double> tableau_;
  std::vector<std::ptrdiff_t> basis_;

  double& at(std::ptrdiff_t row, std::ptrdiff_t column) {
    return tableau_[static_cast<std::size_t>(row * width_ + column)];
  }

  void start(const std::vector<double>& payoffs) {
    const auto [least, greatest] = std::minmax_element(payoffs.begin(), payoffs.end());
    const double range = *greatest - *least;
    const double scale = range > 0 ? range : 1;
    std::fill(tableau_.begin(), tableau_.end(), 0.0);
    for (std::ptrdiff_t i = 0; i < m_; ++i) {
      for (std::ptrdiff_t k = 0; k < m_; ++k)
        at(i, k) = 1 + (payoffs[static_cast<std::size_t>(i * m_ + k)] - *least) / scale;
      at(i, m_ + i) = 1;
      at(i, 2 * m_) = 1;
      at(m_, i) = -1;
      basis_[static_cast<std::size_t>(i)] = m_ + i;
    }
  }

  // The most negative reduced cost, or Bland's first one, which cannot cycle.
  std::ptrdiff_t choose_column(bool first) {
    std::ptrdiff_t best = -1;
    double least = -1e-14;
    for (std::ptrdiff_t k = 0; k < 2 * m_; ++k) {
      if (!(at(m_, k) < least)) continue;
      best = k;
      if (first) break;
      least = at(m_, k);
    }
    return best;
  }

  std::ptrdiff_t choose_row(std::ptrdiff_t entering) {
    std::ptrdiff_t best = -1;
    double least = 0;
    for (std::ptrdiff_t i = 0; i < m_; ++i) {
      if (!(at(i, entering) > 1e-13)) continue;
      const double ratio = at(i, 2 * m_) / at(i, entering);
      const bool better = best < 0 || ratio < least ||
                          (ratio == least && basis_[static_cast<std::size_t>(i)] <
                                                 basis_[static_cast<std::size_t>(best)]);
      if (better) {
        best = i;
        least = ratio;
      }
    }
    return best;
  }

  void pivot(std::ptrdiff_t row, std::ptrdiff_t column) {
    const double inverse = 1 / at(row, column);
    for (std::ptrdiff_t k = 0; k < width_; ++k) at(row, k) *= inverse;
    for (std::ptrdiff_t i = 0; i <= m_; ++i) {
      const double factor = at(i, column);
      if (i == row || factor == 0) continue;
      for (std::ptrdiff_t k = 0; k < width_; ++k) at(i, k) -= factor * at(row, k);
    }
    basis_[static_cast<std::size_t>(row)] = column;
  }

  static void make_strategy(std::vector<double>& weights) {
    double sum = 0;
    for (double& weight : weights) sum += weight = weight > 0 ? weight : 0;
    if (!(sum > 0)) std::fill(weights.begin(), weights.end(), 1.0);
  }

  void finish() {
    std::fill(columns.begin(), columns.end(), 0.0);
    for (std::ptrdiff_t i = 0; i < m_; ++i) {
      const std::ptrdiff_t variable = basis_[static_cast<std::size_t>(i)];
      if (variable < m_) columns[static_cast<std::size_t>(variable)] = at(i, 2 * m_);
      rows[static_cast<std::size_t>(i)] = at(m_, m_ + i);
    }
    make_strategy(columns);
    make_strategy(rows);
  }

 public:
  std::vector<double> rows, columns;
};

}  // namespace hopfix
