#include "residual_enclosure.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "hopfix/rounding.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;
using namespace rounded;

// Below exp of this a pattern counts as dead; beyond this variation the mean-value form is void.
constexpr double kDead = -34, kMostVariation = 30;
// Live patterns up to which their logits are compared in pairs.
constexpr size_t kPairsUpTo = 128;

size_t at(ptrdiff_t i) { return static_cast<size_t>(i); }

Interval symmetric(double radius) { return {-radius, radius}; }

Interval intersection(Interval a, Interval b) {
  return {std::max(a.lo, b.lo), std::min(a.hi, b.hi)};
}

}  // namespace

ResidualEnclosure::ResidualEnclosure(const Network<double>& network)
    : network_(network), n_(network.size()), dim_(network.dim()), orders_(at(n_ * dim_)) {
  for (ptrdiff_t k = 0; k < dim_; ++k) {
    const auto first = orders_.begin() + k * n_, last = first + n_;
    std::iota(first, last, ptrdiff_t{0});
    std::sort(first, last, [&](ptrdiff_t a, ptrdiff_t b) {
      return pattern(a, k) < pattern(b, k) || (pattern(a, k) == pattern(b, k) && a < b);
    });
    ranges_.emplace_back(pattern(*first, k), pattern(*(last - 1), k));
  }
}

ptrdiff_t ResidualEnclosure::most_likely(const Workspace& w) const {
  return *std::max_element(w.live.begin(), w.live.end(), [&](ptrdiff_t a, ptrdiff_t c) {
    return w.logits[at(a)] < w.logits[at(c)];
  });
}

// Logits at the middle of the box and the live patterns; false where logits overflow.
bool ResidualEnclosure::weigh(const Interval* box, Workspace& w) const {
  w.middle.resize(at(dim_));
  w.radius.resize(at(dim_));
  for (ptrdiff_t k = 0; k < dim_; ++k) {
    const double middle = box[k].lo + (box[k].hi - box[k].lo) / 2;
    w.middle[at(k)] = middle;
    w.radius[at(k)] = std::max(add_up(box[k].hi, -middle), add_up(middle, -box[k].lo));
  }
  const auto& log_weights = network_.log_weights();
  const UpperBound beta(network_.beta()), gamma = gamma_bound(dim_ + 4);
  w.logits.resize(at(n_));
  w.logit_errors.resize(at(n_));
  ptrdiff_t top = 0;
  for (ptrdiff_t i = 0; i < n_; ++i) {
    double product = 0, size = 0;
    for (ptrdiff_t k = 0; k < dim_; ++k) {
      const double term = pattern(i, k) * w.middle[at(k)];
      product += term;
      size += std::fabs(term);
    }
    const double b = log_weights.empty() ? 0 : log_weights[at(i)];
    w.logits[at(i)] = network_.beta() * product + b;
    w.logit_errors[at(i)] =
        (beta * (2.0 * gamma * UpperBound(size) + UpperBound(kUnderflow)) +
         UpperBound(4 * kUnitRoundoff) * UpperBound(std::fabs(w.logits[at(i)]) + std::fabs(b)))
            .value();
    if (!std::isfinite(w.logits[at(i)]) || !std::isfinite(w.logit_errors[at(i)])) return false;
    if (w.logits[at(i)] > w.logits[at(top)]) top = i;
  }

  w.live.clear();
  w.dead = 0;
  for (ptrdiff_t i = 0; i < n_; ++i) {
    const double highest = -lowest_difference(top, i, w);
    if (highest < kDead)
      w.dead = add_up(w.dead, exp_up(highest));
    else
      w.live.push_back(i);
  }
  return true;
}

// Of z_i - z_j over the box. Fewer than 2 dim + 8 roundings of terms of one sign in the variation.
double ResidualEnclosure::lowest_difference(ptrdiff_t i, ptrdiff_t j, const Workspace& w) const {
  if (i == j) return 0;
  const double low = add_down(add_down(w.logits[at(i)], -w.logit_errors[at(i)]),
                              -add_up(w.logits[at(j)], w.logit_errors[at(j)]));
  return add_down(low, -variation(i, j, w));
}

double ResidualEnclosure::variation(ptrdiff_t i, ptrdiff_t j, const Workspace& w) const {
  double sum = 0;
  for (ptrdiff_t k = 0; k < dim_; ++k)
    sum += std::fabs(pattern(i, k) - pattern(j, k)) * w.radius[at(k)];
  return (UpperBound(network_.beta()) * (UpperBound(1) + gamma_bound(2 * dim_ + 8)) *
          (UpperBound(sum) + UpperBound(kUnderflow)))
      .value();
}

void ResidualEnclosure::bound_weights(Workspace& w) const {
  w.least.assign(at(n_), 0.0);
  w.most.assign(at(n_), 0.0);
  if (w.live.size() <= kPairsUpTo)
    bound_weights_by_pairs(w);
  else
    bound_weights_by_reference(w);
}

// Of q_a = 1 / sum_c exp(z_c - z_a), the weights among the live patterns.
void ResidualEnclosure::bound_weights_by_pairs(Workspace& w) const {
  const size_t live = w.live.size();
  w.exponentials.resize(live * live);
  w.variation = 0;
  for (size_t a = 0; a < live; ++a)
    for (size_t c = 0; c < live; ++c) {
      w.exponentials[a * live + c] = exp_down(lowest_difference(w.live[a], w.live[c], w));
      if (c < a) w.variation = std::max(w.variation, variation(w.live[a], w.live[c], w));
    }
  for (size_t a = 0; a < live; ++a) {
    double low = 0, high = 0;  // of the sum
    for (size_t c = 0; c < live; ++c) {
      low = add_down(low, w.exponentials[c * live + a]);
      const double inverse = w.exponentials[a * live + c];
      high = add_up(high, inverse > 0 ? divide_up(1, inverse) : kInfinity);
    }
    w.least[at(w.live[a])] = std::isinf(high) ? 0 : std::max(0.0, divide_down(1, high));
    w.most[at(w.live[a])] = std::min(1.0, divide_up(1, low));
  }
}

// From e_a = exp(z_a - z_r) alone, q_a = e_a / (e_a + the others): O(live dim), less sharp.
void ResidualEnclosure::bound_weights_by_reference(Workspace& w) const {
  const ptrdiff_t r = most_likely(w);
  const size_t live = w.live.size();
  std::vector<Interval>& e = w.weights;
  e.clear();
  double low = 0, high = 0;  // of the sum
  for (const ptrdiff_t i : w.live) {
    e.emplace_back(exp_down(lowest_difference(i, r, w)), exp_up(-lowest_difference(r, i, w)));
    low = add_down(low, e.back().lo);
    high = add_up(high, e.back().hi);
  }
  for (size_t a = 0; a < live; ++a) {
    const double others_low = std::max(0.0, add_down(low, -e[a].lo));
    const double others_high = std::isinf(high) ? high : add_up(high, -e[a].hi);
    w.most[at(w.live[a])] =
        std::isinf(e[a].hi) ? 1 : std::min(1.0, divide_up(e[a].hi, add_down(e[a].hi, others_low)));
    w.least[at(w.live[a])] = std::max(0.0, divide_down(e[a].lo, add_up(e[a].lo, others_high)));
  }
  UpperBound sum(0);
  for (ptrdiff_t k = 0; k < dim_; ++k) {
    Interval among(pattern(r, k));
    for (const ptrdiff_t i : w.live)
      among = {std::min(among.lo, pattern(i, k)), std::max(among.hi, pattern(i, k))};
    sum = sum + UpperBound(among.width()) * UpperBound(w.radius[at(k)]);
  }
  w.variation = (UpperBound(network_.beta()) * sum).value();
}

// A lower bound of sum q_i x_i (x := -x where negated) over the weights q within their bounds that
// sum to 1, by duality: for every t the sum is t + sum q_i (x_i - t), and t is best at the pattern
// where handing out the mass to the smallest x first ends.
double ResidualEnclosure::least_average(ptrdiff_t k, bool negated, const Workspace& w) const {
  const ptrdiff_t* order = orders_.data() + k * n_;
  const double sign = negated ? -1 : 1;
  double rest = 1;
  for (const ptrdiff_t i : w.live) rest -= w.least[at(i)];
  double t = 0;
  for (ptrdiff_t s = 0; s < n_; ++s) {
    const ptrdiff_t i = order[negated ? n_ - 1 - s : s];
    if (w.most[at(i)] == 0) continue;
    t = sign * pattern(i, k);
    rest -= w.most[at(i)] - w.least[at(i)];
    if (rest <= 0) break;
  }
  double sum = t;
  for (const ptrdiff_t i : w.live) {
    const double excess = add_down(sign * pattern(i, k), -t);
    sum = add_down(sum, multiply_down(excess >= 0 ? w.least[at(i)] : w.most[at(i)], excess));
  }
  return sum;
}

void ResidualEnclosure::coarse(const Interval* box, Interval* residual, Workspace& w) const {
  if (!weigh(box, w)) {
    for (ptrdiff_t k = 0; k < dim_; ++k) residual[k] = box[k] - range(k);
    w.live.clear();
    return;
  }
  bound_weights(w);
  for (ptrdiff_t k = 0; k < dim_; ++k) {
    const Interval average(least_average(k, false, w), -least_average(k, true, w));
    const Interval others = symmetric(w.dead) * Interval(range(k).width());
    residual[k] = box[k] - intersection(average + others, range(k));
  }
}

// q and sum q_a x_a at the middle; w.mean is their enclosure.
void ResidualEnclosure::average_at_middle(Workspace& w) const {
  const ptrdiff_t top = most_likely(w);
  Interval sum = 0;
  w.weights.clear();
  for (const ptrdiff_t i : w.live) {
    const Interval logit = Interval(w.logits[at(i)]) + symmetric(w.logit_errors[at(i)]);
    w.weights.push_back(exp(logit - w.logits[at(top)]));
    sum = sum + w.weights.back();
  }
  w.mean.assign(at(dim_), 0.0);
  for (size_t a = 0; a < w.live.size(); ++a) {
    w.weights[a] = w.weights[a] / sum;
    for (ptrdiff_t k = 0; k < dim_; ++k)
      w.mean[at(k)] =
          w.mean[at(k)] + w.weights[a] * (Interval(pattern(w.live[a], k)) - pattern(top, k));
  }
  for (ptrdiff_t k = 0; k < dim_; ++k) w.mean[at(k)] = w.mean[at(k)] + pattern(top, k);
}

// beta (sum q y y' - e e'), y = x - c and e = f - c for a point c near f.
void ResidualEnclosure::jacobian_at_middle(Workspace& w) const {
  std::vector<Interval>& y = w.offsets;
  y.resize(at(dim_));
  w.jacobian.assign(at(dim_ * dim_), 0.0);
  const auto centre = [&](ptrdiff_t k) { return w.mean[at(k)].lo / 2 + w.mean[at(k)].hi / 2; };
  const auto add_products = [&](Interval factor) {
    for (ptrdiff_t k = 0; k < dim_; ++k) {
      const Interval scaled = factor * y[at(k)];
      for (ptrdiff_t l = 0; l <= k; ++l)
        w.jacobian[at(k * dim_ + l)] = w.jacobian[at(k * dim_ + l)] + scaled * y[at(l)];
    }
  };
  for (size_t a = 0; a < w.live.size(); ++a) {
    for (ptrdiff_t k = 0; k < dim_; ++k) y[at(k)] = Interval(pattern(w.live[a], k)) - centre(k);
    add_products(w.weights[a]);
  }
  for (ptrdiff_t k = 0; k < dim_; ++k) y[at(k)] = w.mean[at(k)] - centre(k);
  add_products(-1.0);
  for (ptrdiff_t k = 0; k < dim_; ++k)
    for (ptrdiff_t l = 0; l <= k; ++l)
      w.jacobian[at(l * dim_ + k)] = w.jacobian[at(k * dim_ + l)] =
          w.jacobian[at(k * dim_ + l)] * network_.beta();
}

void ResidualEnclosure::refine(Interval* residual, Workspace& w) const {
  if (w.live.empty() || !(w.variation < kMostVariation)) return;
  average_at_middle(w);
  jacobian_at_middle(w);
  const auto size = [](Interval x) { return std::max(std::fabs(x.lo), std::fabs(x.hi)); };
  UpperBound form(0);  // of v . J v over the box
  for (ptrdiff_t k = 0; k < dim_; ++k)
    for (ptrdiff_t l = 0; l < dim_; ++l)
      form = form + UpperBound(size(w.jacobian[at(k * dim_ + l)])) *
                        (UpperBound(w.radius[at(k)]) * UpperBound(w.radius[at(l)]));
  const UpperBound growth(std::max(0.0, add_up(exp_up(w.variation), -1)) / 2);
  for (ptrdiff_t c = 0; c < dim_; ++c) {
    const UpperBound variance(std::max(0.0, w.jacobian[at(c * dim_ + c)].hi));
    UpperBound spread =
        growth * (sqrt(variance) * sqrt(form)) + UpperBound(w.dead) * UpperBound(range(c).width());
    for (ptrdiff_t l = 0; l < dim_; ++l) {
      const Interval slope = Interval(c == l ? 1 : 0) - w.jacobian[at(c * dim_ + l)];
      spread = spread + UpperBound(size(slope)) * UpperBound(w.radius[at(l)]);
    }
    if (!std::isfinite(spread.value())) continue;
    const Interval at_middle = Interval(w.middle[at(c)]) - w.mean[at(c)];
    residual[c] = intersection(residual[c], at_middle + symmetric(spread.value()));
  }
}

}  // namespace hopfix
