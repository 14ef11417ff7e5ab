#include "exchangeable.hpp"

#include <algorithm>
#include <cmath>

#include "hopfix/double_double.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

// A sum of doubles without rounding, as doubles that do not overlap: it is 0 if there are none
// (Shewchuk, "Adaptive precision floating-point arithmetic", 1997, section 2.4).
class ExactSum {
 public:
  void add(double term) {
    size_t kept = 0;
    for (const double part : parts_) {
      const DoubleDouble sum = two_sum(term, part);
      if (sum.lo != 0) parts_[kept++] = sum.lo;
      term = sum.hi;
    }
    parts_.resize(kept);
    if (term != 0) parts_.push_back(term);
  }
  // False where the product is not known without rounding.
  bool add_product(double a, double b) {
    if (a == 0 || b == 0) return true;
    if (!rounded::product_is_safe(a, b, a * b)) return false;
    const DoubleDouble product = two_prod(a, b);
    add(product.lo);
    add(product.hi);
    return true;
  }
  bool is_zero() const { return parts_.empty(); }

 private:
  std::vector<double> parts_;
};

// Whether a . b = c . d without any rounding.
bool products_agree(const double* a, const double* b, const double* c, const double* d,
                    ptrdiff_t dim) {
  ExactSum difference;
  for (ptrdiff_t m = 0; m < dim; ++m)
    if (!difference.add_product(a[m], b[m]) || !difference.add_product(-c[m], d[m])) return false;
  return difference.is_zero();
}

class Exchange {
 public:
  Exchange(const Network<double>& network, const ScaledGram& gram)
      : network_(network),
        gram_(gram),
        rounding_(
            (2.0 * gram.error() + UpperBound(40 * kUnitRoundoff * kUnitRoundoff) * gram.largest())
                .value()) {}

  bool identical(ptrdiff_t i, ptrdiff_t j) const {
    return std::equal(pattern(i), pattern(i) + network_.dim(), pattern(j));
  }

  bool possible(ptrdiff_t i, ptrdiff_t j) const {
    const auto& log_weights = network_.log_weights();
    if (!log_weights.empty() &&
        log_weights[static_cast<size_t>(i)] != log_weights[static_cast<size_t>(j)])
      return false;
    if (identical(i, j)) return true;
    const auto others = [&](const auto& agree) {
      for (ptrdiff_t k = 0; k < network_.size(); ++k)
        if (k != i && k != j && !agree(i, k, j, k)) return false;
      return agree(i, i, j, j);
    };
    // Most patterns differ by more than rounding.
    return others([this](ptrdiff_t a, ptrdiff_t b, ptrdiff_t c, ptrdiff_t d) {
             return std::fabs((gram_(a, b) - gram_(c, d)).hi) <= rounding_;
           }) &&
           others([this](ptrdiff_t a, ptrdiff_t b, ptrdiff_t c, ptrdiff_t d) {
             return products_agree(pattern(a), pattern(b), pattern(c), pattern(d), network_.dim());
           });
  }

  // beta (|x_i|^2 - x_i . x_j).
  Interval kappa(ptrdiff_t i, ptrdiff_t j) const {
    const DoubleDouble difference = gram_(i, i) - gram_(i, j);
    return Interval(difference.hi) + Interval(difference.lo) + Interval(-rounding_, rounding_);
  }

 private:
  const double* pattern(ptrdiff_t i) const {
    return network_.patterns().data() + i * network_.dim();
  }

  const Network<double>& network_;
  const ScaledGram& gram_;
  const double rounding_;  // of the difference of two entries
};

}  // namespace

Interval ExchangeableClass::threshold() const {
  return {kappa.hi > 0 ? rounded::divide_down(1, kappa.hi) : kInfinity,
          kappa.lo > 1 ? rounded::divide_up(1, kappa.lo) : 1};
}

std::vector<ExchangeableClass> exchangeable_classes(const Network<double>& network,
                                                    const ScaledGram& gram) {
  const Exchange exchange(network, gram);
  std::vector<ExchangeableClass> classes;
  for (ptrdiff_t i = 0; i < network.size(); ++i) {
    const auto same = std::find_if(classes.begin(), classes.end(), [&](const auto& known) {
      return exchange.possible(known.members.front(), i);
    });
    if (same == classes.end())
      classes.push_back({{i}, {}, false});
    else
      same->members.push_back(i);
  }
  const auto alone = [](const ExchangeableClass& c) { return c.size() == 1; };
  classes.erase(std::remove_if(classes.begin(), classes.end(), alone), classes.end());
  for (ExchangeableClass& c : classes) {
    c.identical = exchange.identical(c.members[0], c.members[1]);
    c.kappa = exchange.kappa(c.members[0], c.members[1]);
  }
  return classes;
}

}  // namespace hopfix
