#include "hopfix/cips.hpp"

#include <algorithm>
#include <cmath>

#include "hopfix/rounding.hpp"
#include "matrix_game.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

// The games of one face after another.
class FaceMargin {
 public:
  FaceMargin(const double* patterns, ptrdiff_t n, ptrdiff_t dim, ptrdiff_t size)
      : patterns_(patterns),
        n_(n),
        dim_(dim),
        m_(size),
        game_(size),
        inner_(static_cast<size_t>(size * size)),
        payoffs_(static_cast<size_t>(size * size)),
        products_(static_cast<size_t>(size)),
        in_face_(static_cast<size_t>(n)) {}

  void bound(const std::int64_t* face, double longest, double& lower, double& upper) {
    std::fill(in_face_.begin(), in_face_.end(), char{0});
    for (ptrdiff_t i = 0; i < m_; ++i) {
      in_face_[static_cast<size_t>(face[i])] = 1;
      for (ptrdiff_t k = 0; k < m_; ++k)
        inner_[static_cast<size_t>(i * m_ + k)] = inner_product(face[i], face[k]);
    }
    // An inner product of n terms errs by gamma(n) |x| |y|, a payoff by two of them and its own
    // rounding, and a strategy's sum and product by gamma(2m + 4) of the largest payoff: all
    // payoffs are at most 2 longest^2 (1 + gamma).
    const UpperBound square = UpperBound(longest) * UpperBound(longest);
    const UpperBound error = UpperBound(2) * square *
                                 (gamma_bound(dim_ + 2) + UpperBound(2) * gamma_bound(2 * m_ + 8)) *
                                 UpperBound(1.001) +
                             UpperBound(kUnderflow);
    lower = upper = HUGE_VAL;
    if (m_ < n_ && !((UpperBound(16.0 * static_cast<double>(m_)) * square).value() < HUGE_VAL)) {
      lower = -HUGE_VAL;  // sums of payoffs may overflow: no bound
      return;
    }
    for (ptrdiff_t j = 0; j < n_; ++j) {
      if (in_face_[static_cast<size_t>(j)]) continue;
      for (ptrdiff_t k = 0; k < m_; ++k)
        products_[static_cast<size_t>(k)] = inner_product(j, face[k]);
      for (ptrdiff_t i = 0; i < m_; ++i)
        for (ptrdiff_t k = 0; k < m_; ++k)
          payoffs_[static_cast<size_t>(i * m_ + k)] =
              inner_[static_cast<size_t>(i * m_ + k)] - products_[static_cast<size_t>(k)];
      game_.solve(payoffs_);
      const double above = step_up(most_of_columns() + error.value());
      const double below = -step_up(error.value() - least_of_rows());
      lower = std::min(lower, below);
      upper = std::min(upper, above);
    }
  }

 private:
  static double step_up(double x) { return std::nextafter(x, HUGE_VAL); }

  double inner_product(std::int64_t i, std::int64_t j) const {
    const double *x = patterns_ + i * dim_, *y = patterns_ + j * dim_;
    double sum = 0;
    for (ptrdiff_t k = 0; k < dim_; ++k) sum += x[k] * y[k];
    return sum;
  }

  // What the column player concedes at most with this strategy.
  double most_of_columns() const {
    double total = 0, most = -HUGE_VAL;
    for (const double weight : game_.columns) total += weight;
    for (ptrdiff_t i = 0; i < m_; ++i) {
      double sum = 0;
      for (ptrdiff_t k = 0; k < m_; ++k)
        sum += payoffs_[static_cast<size_t>(i * m_ + k)] * game_.columns[static_cast<size_t>(k)];
      most = std::max(most, sum / total);
    }
    return most;
  }

  double least_of_rows() const {
    double total = 0, least = HUGE_VAL;
    for (const double weight : game_.rows) total += weight;
    for (ptrdiff_t k = 0; k < m_; ++k) {
      double sum = 0;
      for (ptrdiff_t i = 0; i < m_; ++i)
        sum += payoffs_[static_cast<size_t>(i * m_ + k)] * game_.rows[static_cast<size_t>(i)];
      least = std::min(least, sum / total);
    }
    return least;
  }

  const double* patterns_;
  ptrdiff_t n_, dim_, m_;
  MatrixGame game_;
  std::vector<double> inner_, payoffs_, products_;
  std::vector<char> in_face_;
};

}  // namespace

CipsMargins cips_margins(const double* patterns, ptrdiff_t n, ptrdiff_t dim,
                         const std::int64_t* faces, ptrdiff_t count, ptrdiff_t size,
                         const Execution& execution) {
  double longest = 0;
  for (ptrdiff_t i = 0; i < n; ++i)
    longest = std::max(longest, norm_bound(patterns + i * dim, dim).value());
  CipsMargins margins;
  margins.lower.resize(static_cast<size_t>(count));
  margins.upper.resize(static_cast<size_t>(count));
  constexpr ptrdiff_t kBlock = 16;
  parallel_for((count + kBlock - 1) / kBlock, execution, [&](ptrdiff_t block, int) {
    FaceMargin margin(patterns, n, dim, size);
    for (ptrdiff_t f = block * kBlock; f < std::min(count, (block + 1) * kBlock); ++f)
      margin.bound(faces + f * size, longest, margins.lower[static_cast<size_t>(f)],
                   margins.upper[static_cast<size_t>(f)]);
  });
  return margins;
}

}  // namespace hopfix
