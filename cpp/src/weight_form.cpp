#include "weight_form.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "hopfix/interval.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

// Sums of coefficients below this do not overflow.
constexpr double kLargestCoefficient = 1e290;
constexpr double kUnitSquare = kUnitRoundoff * kUnitRoundoff;

double largest_norm(const Network<double>& network) {
  double largest = 0;
  for (ptrdiff_t i = 0; i < network.size(); ++i)
    largest = std::max(
        largest, norm_bound(network.patterns().data() + i * network.dim(), network.dim()).value());
  return largest;
}

PatternGroups alone(ptrdiff_t n) {
  PatternGroups groups;
  for (ptrdiff_t i = 0; i < n; ++i) groups.push_back({i});
  return groups;
}

// x . x of two groups' mean patterns, times beta. Within a group all squares are equal, and so are
// all other products. An average of entries has no larger error than they; to the rounding of its
// difference, quotient and sum, 40 u^2 of the largest entry at most.
DoubleDouble mean_product(const ScaledGram& gram, const std::vector<ptrdiff_t>& a,
                          const std::vector<ptrdiff_t>& b) {
  if (a.front() != b.front() || a.size() == 1) return gram(a.front(), b.front());
  const DoubleDouble square = gram(a[0], a[0]), other = gram(a[0], a[1]);
  return other + (square - other) / static_cast<double>(a.size());
}

}  // namespace

// Every partial sum is at most sum |x||x| <= |x_i||x_k| (1 + 1e-9), so dim additions of 3.1 u^2,
// and the product with beta, are within (4 dim + 4) u^2 of it; the last term is for products that
// underflow.
ScaledGram::ScaledGram(const Network<double>& network) : n_(network.size()) {
  const ptrdiff_t dim = network.dim();
  const double* x = network.patterns().data();
  products_.resize(static_cast<size_t>(n_ * n_));
  for (ptrdiff_t i = 0; i < n_; ++i)
    for (ptrdiff_t k = 0; k <= i; ++k) {
      DoubleDouble sum = 0.0;
      for (ptrdiff_t m = 0; m < dim; ++m) sum = sum + two_prod(x[i * dim + m], x[k * dim + m]);
      products_[static_cast<size_t>(i * n_ + k)] = products_[static_cast<size_t>(k * n_ + i)] =
          sum * network.beta();
    }
  const UpperBound norm(largest_norm(network));
  largest_ = UpperBound(network.beta()) * norm * norm;
  error_ = UpperBound(static_cast<double>(4 * dim + 4) * kUnitSquare) * largest_ +
           UpperBound(network.beta()) * UpperBound(kUnderflow);
}

WeightForm::WeightForm(const Network<double>& network) : WeightForm(network, ScaledGram(network)) {}

WeightForm::WeightForm(const Network<double>& network, const ScaledGram& gram)
    : WeightForm(network, gram, alone(network.size())) {}

WeightForm::WeightForm(const Network<double>& network, const ScaledGram& gram,
                       const PatternGroups& groups)
    : n_(static_cast<ptrdiff_t>(groups.size())) {
  const auto group = [&](ptrdiff_t i) -> const std::vector<ptrdiff_t>& {
    return groups[static_cast<size_t>(i)];
  };
  const auto log_weight = [&](ptrdiff_t i) {
    return network.log_weights().empty()
               ? 0.0
               : network.log_weights()[static_cast<size_t>(group(i).front())];
  };
  const auto log_size = [&](ptrdiff_t i) {
    const auto size = static_cast<double>(group(i).size());
    return Interval(log_down(size), log_up(size));
  };
  std::vector<DoubleDouble> products(static_cast<size_t>(n_ * n_));
  for (ptrdiff_t i = 0; i < n_; ++i)
    for (ptrdiff_t k = 0; k < n_; ++k)
      products[static_cast<size_t>(i * n_ + k)] = mean_product(gram, group(i), group(k));
  const auto product = [&](ptrdiff_t i, ptrdiff_t k) {
    return products[static_cast<size_t>(i * n_ + k)];
  };
  // Of four products, and of the three additions that make a coefficient of them.
  const UpperBound coefficient_error =
      4.0 * gram.error() + UpperBound(200 * kUnitSquare) * gram.largest();

  const size_t cube = static_cast<size_t>(n_ * n_ * n_), plane = static_cast<size_t>(n_ * n_);
  matrices_.resize(cube);
  orders_.resize(cube);
  for (auto* table : {&constants_, &errors_, &largest_}) table->resize(plane);
  for (ptrdiff_t r = 0; r < n_; ++r)
    for (ptrdiff_t i = 0; i < n_; ++i) {
      double* row = matrices_.data() + (r * n_ + i) * n_;
      double most = 0;
      for (ptrdiff_t k = 0; k < n_; ++k) {
        row[k] = ((product(i, k) - product(i, r)) - (product(r, k) - product(r, r))).hi;
        most = std::max(most, std::fabs(row[k]));
        in_range_ = in_range_ && std::fabs(row[k]) < kLargestCoefficient;
      }
      const DoubleDouble log_ratio = two_sum(log_weight(i), -log_weight(r));
      const Interval size_i = log_size(i), size_r = log_size(r);
      const double constant =
          ((product(i, r) - product(r, r)) + log_ratio + two_sum(size_i.hi, -size_r.hi)).hi;
      const UpperBound log_weights(std::fabs(log_weight(i)) + std::fabs(log_weight(r)) + size_i.hi +
                                   size_r.hi);
      // Taking the high part costs u of every number kept; weights sum to 1.
      const UpperBound error = 2.0 * coefficient_error +
                               UpperBound(40 * kUnitSquare) * log_weights +
                               UpperBound(size_i.width()) + UpperBound(size_r.width()) +
                               UpperBound(2 * kUnitRoundoff) * UpperBound(most) +
                               UpperBound(2 * kUnitRoundoff) * UpperBound(std::fabs(constant));
      constants_[place(i, r)] = constant;
      errors_[place(i, r)] = error.value();
      largest_[place(i, r)] = most;
      largest_of_all_ = std::max(largest_of_all_, most);
      in_range_ = in_range_ && error.value() < kLargestCoefficient &&
                  std::fabs(constant) < kLargestCoefficient;

      std::uint8_t* order = orders_.data() + (r * n_ + i) * n_;
      std::iota(order, order + n_, std::uint8_t{0});
      if (in_range_)
        std::sort(order, order + n_, [row](std::uint8_t a, std::uint8_t b) {
          return row[a] < row[b] || (row[a] == row[b] && a < b);
        });
    }
}

}  // namespace hopfix
