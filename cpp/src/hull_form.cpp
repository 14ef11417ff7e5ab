#include "hull_form.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "hopfix/affine_hull.hpp"
#include "hopfix/double_double.hpp"
#include "hopfix/rounding.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

constexpr double kLargestCoefficient = 1e290;
constexpr double kUnitSquare = kUnitRoundoff * kUnitRoundoff;
// Weights known to e^(this) and no better are of no use.
constexpr double kLargestLogitError = 1e-3;

UpperBound largest(UpperBound a, UpperBound b) { return a.value() < b.value() ? b : a; }

}  // namespace

HullForm::HullForm(const Network<double>& network)
    : n_(network.size()), dim_(network.dim()), beta_(network.beta()) {
  choose_coordinates(network);
  if (rank_ > kHighestRank) return;
  bound_errors(network);
  usable_ = logit_error_ < kLargestLogitError;
  for (const auto* list : {&slopes_, &constants_, &coordinates_})
    for (const double value : *list) usable_ = usable_ && std::fabs(value) < kLargestCoefficient;
  if (!usable_) return;
  orders_.resize(static_cast<size_t>(n_ * rank_));
  for (ptrdiff_t k = 0; k < rank_; ++k) {
    std::int32_t* first = orders_.data() + k * n_;
    const double* y = coordinate(k);
    std::iota(first, first + n_, 0);
    std::sort(first, first + n_, [y](std::int32_t a, std::int32_t b) {
      return y[a] < y[b] || (y[a] == y[b] && a < b);
    });
  }
}

// In full rank the coordinates are those of the states, moved to the mean of the patterns.
void HullForm::choose_coordinates(const Network<double>& network) {
  const double* x = network.patterns().data();
  AffineHull hull = affine_hull(x, n_, dim_);
  // Where all patterns are the same, one coordinate that is always zero.
  rank_ = std::max<ptrdiff_t>(hull.rank, 1);
  if (rank_ > kHighestRank) return;
  base_ = network.extent().mean;
  basis_ = std::move(hull.basis);
  basis_.resize(static_cast<size_t>(rank_ * dim_));
  if (hull.rank == dim_) {
    std::fill(basis_.begin(), basis_.end(), 0.0);
    for (ptrdiff_t k = 0; k < dim_; ++k) basis_[static_cast<size_t>(k * (dim_ + 1))] = 1;
  }
  coordinates_.assign(static_cast<size_t>(n_ * rank_), 0.0);
  slopes_.resize(coordinates_.size());
  extents_.assign(static_cast<size_t>(rank_), 0.0);
  for (ptrdiff_t k = 0; k < rank_; ++k)
    for (ptrdiff_t i = 0; i < n_; ++i) {
      double& y = coordinates_[static_cast<size_t>(k * n_ + i)];
      for (ptrdiff_t m = 0; m < dim_; ++m)
        y += (x[i * dim_ + m] - base_[static_cast<size_t>(m)]) *
             basis_[static_cast<size_t>(k * dim_ + m)];
      slopes_[static_cast<size_t>(k * n_ + i)] = beta_ * y;
      double& extent = extents_[static_cast<size_t>(k)];
      extent = std::max(extent, std::fabs(y));
    }
}

// With x_i = base + Q y_i + e_i and xi = base + Q eta + sum p_k e_k,
//
//   x_i . xi = [base . Q eta + base . sum p e] + x_i . base
//            + y_i . eta + y_i . (Q'Q - 1) eta + e_i . Q eta + (Q y_i + e_i) . sum p e,
//
// the bracket being common to all patterns. The constants are c_i = beta (x_i - base) . base + b_i,
// less that of pattern 0, in double-double.
void HullForm::bound_errors(const Network<double>& network) {
  const double* x = network.patterns().data();
  const UpperBound base_norm = norm_bound(base_.data(), dim_);
  const UpperBound gamma = gamma_bound(3 * rank_ + 12);

  double gram_square = 0;
  for (ptrdiff_t a = 0; a < rank_; ++a)
    for (ptrdiff_t b = 0; b < rank_; ++b) {
      double entry = a == b ? -1 : 0;
      for (ptrdiff_t m = 0; m < dim_; ++m)
        entry +=
            basis_[static_cast<size_t>(a * dim_ + m)] * basis_[static_cast<size_t>(b * dim_ + m)];
      gram_square += entry * entry;
    }
  // |Q'Q - 1| by Frobenius, the rounding of an entry being at most gamma (1 + |q_a||q_b|).
  const UpperBound gram =
      1.01 * sqrt(UpperBound(gram_square)) + static_cast<double>(3 * rank_) * gamma_bound(dim_ + 2);

  UpperBound offset(0), norm(0), logit_size(0), constant_error(0), difference_norm(0);
  std::vector<double> rest(static_cast<size_t>(dim_)), sizes(static_cast<size_t>(dim_));
  constants_.resize(static_cast<size_t>(n_));
  DoubleDouble first = 0.0;
  for (ptrdiff_t i = 0; i < n_; ++i) {
    DoubleDouble product = 0.0;
    double square = 0, size = 0;
    for (ptrdiff_t m = 0; m < dim_; ++m) {
      const auto at = static_cast<size_t>(m);
      const DoubleDouble difference = two_sum(x[i * dim_ + m], -base_[at]);
      product = product + difference * base_[at];
      rest[at] = difference.hi;
      sizes[at] = std::fabs(difference.hi);
    }
    difference_norm = largest(difference_norm, norm_bound(rest.data(), dim_));
    for (ptrdiff_t k = 0; k < rank_; ++k) {
      const double y = coordinate(k)[i];
      square += y * y;
      size += std::fabs(slope(k)[i]) * extents_[static_cast<size_t>(k)];
      for (ptrdiff_t m = 0; m < dim_; ++m) {
        const double part = y * basis_[static_cast<size_t>(k * dim_ + m)];
        rest[static_cast<size_t>(m)] -= part;
        sizes[static_cast<size_t>(m)] += std::fabs(part);
      }
    }
    offset =
        largest(offset, norm_bound(rest.data(), dim_) + gamma * norm_bound(sizes.data(), dim_));
    norm = largest(norm, sqrt(UpperBound(square) * (UpperBound(1) + gamma)));

    const double b =
        network.log_weights().empty() ? 0 : network.log_weights()[static_cast<size_t>(i)];
    DoubleDouble constant = product * beta_ + b;
    if (i == 0) first = constant;
    constant = constant - first;
    constants_[static_cast<size_t>(i)] = constant.hi;
    constant_error = largest(constant_error,
                             UpperBound(2 * kUnitRoundoff) * UpperBound(std::fabs(constant.hi)) +
                                 UpperBound(16 * kUnitSquare) *
                                     (UpperBound(std::fabs(b)) + UpperBound(std::fabs(first.hi))));
    logit_size = largest(logit_size, 1.01 * UpperBound(size) + UpperBound(std::fabs(constant.hi)));
  }
  const UpperBound beta(beta_), stretch = UpperBound(1) + gram;
  constant_error =
      constant_error + 2.0 * beta *
                           (UpperBound(static_cast<double>(12 * dim_ + 24) * kUnitSquare) *
                                difference_norm * base_norm +
                            UpperBound(kUnderflow));
  const UpperBound coordinate_error = beta * (norm * norm * gram + 2.0 * offset * stretch * norm +
                                              offset * offset + UpperBound(kUnderflow));
  logit_error_ =
      (coordinate_error + constant_error + 2.1 * gamma * logit_size + UpperBound(kUnderflow))
          .value();
  embedding_norm_ = stretch.value();
  embedding_error_ =
      (offset + gamma * (base_norm + static_cast<double>(rank_) * stretch * norm)).value();
}

std::vector<double> HullForm::embed(const double* eta) const {
  std::vector<double> state = base_;
  for (ptrdiff_t k = 0; k < rank_; ++k)
    for (ptrdiff_t m = 0; m < dim_; ++m)
      state[static_cast<size_t>(m)] += eta[k] * basis_[static_cast<size_t>(k * dim_ + m)];
  return state;
}

}  // namespace hopfix
