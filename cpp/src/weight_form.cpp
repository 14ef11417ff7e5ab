#include "weight_form.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "hopfix/double_double.hpp"
#include "hopfix/rounding.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

// Sums of coefficients below this do not overflow.
constexpr double kLargestCoefficient = 1e290;
constexpr double kUnitSquare = kUnitRoundoff * kUnitRoundoff;

// beta x_i . x_k in double-double. Every partial sum is at most sum |x||x| <= |x_i||x_k| (1 +
// 1e-9), so dim additions of 3.1 u^2, and the product with beta, are within (4 dim + 4) u^2 of it.
std::vector<DoubleDouble> gram(const Network<double>& network) {
  const ptrdiff_t n = network.size(), dim = network.dim();
  const double* x = network.patterns().data();
  std::vector<DoubleDouble> products(static_cast<size_t>(n * n));
  for (ptrdiff_t i = 0; i < n; ++i)
    for (ptrdiff_t k = 0; k <= i; ++k) {
      DoubleDouble sum = 0.0;
      for (ptrdiff_t m = 0; m < dim; ++m) sum = sum + two_prod(x[i * dim + m], x[k * dim + m]);
      products[static_cast<size_t>(i * n + k)] = products[static_cast<size_t>(k * n + i)] =
          sum * network.beta();
    }
  return products;
}

double largest_norm(const Network<double>& network) {
  double largest = 0;
  for (ptrdiff_t i = 0; i < network.size(); ++i)
    largest = std::max(
        largest, norm_bound(network.patterns().data() + i * network.dim(), network.dim()).value());
  return largest;
}

}  // namespace

WeightForm::WeightForm(const Network<double>& network) : n_(network.size()) {
  const std::vector<DoubleDouble> products = gram(network);
  const auto product = [&](ptrdiff_t i, ptrdiff_t k) {
    return products[static_cast<size_t>(i * n_ + k)];
  };
  const auto log_weight = [&](ptrdiff_t i) {
    return network.log_weights().empty() ? 0.0 : network.log_weights()[static_cast<size_t>(i)];
  };
  const UpperBound norm(largest_norm(network));
  const UpperBound square = UpperBound(network.beta()) * norm * norm;
  // Of one product, and of the three additions of four of them that make a coefficient; the last
  // term is for products that underflow.
  const UpperBound product_error =
      UpperBound(static_cast<double>(4 * network.dim() + 4) * kUnitSquare) * square +
      UpperBound(network.beta()) * UpperBound(kUnderflow);
  const UpperBound coefficient_error = 4.0 * product_error + UpperBound(40 * kUnitSquare) * square;

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
      const double constant = ((product(i, r) - product(r, r)) + log_ratio).hi;
      const UpperBound log_weights(std::fabs(log_weight(i)) + std::fabs(log_weight(r)));
      // Taking the high part costs u of every number kept; weights sum to 1.
      const UpperBound error = 2.0 * coefficient_error +
                               UpperBound(40 * kUnitSquare) * log_weights +
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
