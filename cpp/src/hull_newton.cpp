#include "hull_newton.hpp"

#include <algorithm>
#include <cmath>

#include "hopfix/interval.hpp"
#include "hopfix/rounding.hpp"
#include "plain_sums.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

constexpr double kUnit = kUnitRoundoff;

}  // namespace

HullNewton::Outcome HullNewton::narrow(const HullForm& form, const HullWeights& weights,
                                       HullBox& box) {
  rank_ = box.rank();
  live_ = weights.live();
  gamma_ = static_cast<double>(4 * live_ + 64) * kUnit;
  bend_.fill(0);
  linearise(form, weights, box);
  if (!set_up_side(form, weights, box)) return Outcome::useless;
  set_up_matrix(form.beta(), weights.radius());
  if (!invert()) return Outcome::useless;
  solve(weights.radius());
  for (ptrdiff_t k = 0; k < rank_; ++k)
    if (!std::isfinite(step_[at(k)]) || !std::isfinite(reach_[at(k)])) return Outcome::useless;
  if (live_ <= kFew && !narrow_weights(form, weights, box)) return Outcome::empty;
  for (ptrdiff_t k = 0; k < rank_; ++k) {
    const double centre = weights.centre()[at(k)], to = centre + step_[at(k)];
    const double reach =
        (reach_[at(k)] + 4 * kUnit * (std::fabs(centre) + std::fabs(step_[at(k)]))) * kAbove +
        kTiny;
    if (!box.narrow(k, to - reach, to + reach)) return Outcome::empty;
  }
  return Outcome::done;
}

// Chords (any slopes would do) and the range of rho = exp(t) - s (t - t0), convex in t: least at
// t = log s, largest at an end. The errors of the logits, s of which each adds, go into its radius:
// one for t0 and one for every coefficient of delta, twice.
void HullNewton::linearise(const HullForm& form, const HullWeights& weights, const HullBox& box) {
  for (auto* list : {&chord_, &rho_, &rho_radius_}) list->resize(at(live_));
  for (ptrdiff_t a = 0; a < live_; ++a) {
    const double low = weights.lo()[a], high = weights.hi()[a], start = weights.start(a);
    const double from = box.log_lo[at(a)] - start, to = box.log_hi[at(a)] - start;
    double s = to - from > 1e-5 ? (high - low) / (to - from) : low + (high - low) / 2;
    double least = low, most = high;
    if (s > 1e-280) {
      const double log_s = log_near(s);
      const double error =
          8 * kUnit *
          (high + s * (2 + std::fabs(start) + std::fabs(log_s) + std::fabs(from) + std::fabs(to)));
      least = s * (1 + (start - log_s)) - error;
      most = std::max(high - s * to, low - s * from) + error;
    } else {
      s = 0;
    }
    chord_[at(a)] = s;
    rho_[at(a)] = least / 2 + most / 2;
    rho_radius_[at(a)] =
        (std::max(0.0, most - least) / 2 + 2 * kUnit * (std::fabs(least) + std::fabs(most)) +
         4 * form.logit_error() * s) *
            kAbove +
        kTiny;
  }
}

// a, u and the right-hand side. mu less beta a . delta, which multiplies the rounding of sum s u,
// is (t - t0) - beta u . delta of any pattern: of the one with the steepest chord.
bool HullNewton::set_up_side(const HullForm& form, const HullWeights& weights, const HullBox& box) {
  offset_.resize(at(rank_ * live_));
  chords_ = sum_of(live_, [&](ptrdiff_t a) { return chord_[at(a)]; });
  if (!(chords_ > 0)) return false;
  const ptrdiff_t top = std::max_element(chord_.begin(), chord_.end()) - chord_.begin();
  double multiplier = std::max(std::fabs(box.log_lo[at(top)] - weights.start(top)),
                               std::fabs(box.log_hi[at(top)] - weights.start(top))) +
                      4 * form.logit_error();
  HullVector moments{};
  imbalance_ = 0;
  for (ptrdiff_t k = 0; k < rank_; ++k) {
    const double *y = weights.coordinate(k), centre = weights.centre()[at(k)];
    const double origin =
        sum_of(live_, [&](ptrdiff_t a) { return chord_[at(a)] * y[a]; }) / chords_;
    double* u = offset(k);
    for (ptrdiff_t a = 0; a < live_; ++a) u[a] = y[a] - origin;
    const double moment = sum_of(live_, [&](ptrdiff_t a) { return chord_[at(a)] * u[a]; });
    const double sizes =
        sum_of(live_, [&](ptrdiff_t a) { return chord_[at(a)] * std::fabs(u[a]); });
    const double force = sum_of(live_, [&](ptrdiff_t a) { return rho_[at(a)] * u[a]; });
    spread_[at(k)] = sum_of(live_, [&](ptrdiff_t a) {
      return (std::fabs(rho_[at(a)]) + rho_radius_[at(a)]) * std::fabs(u[a]);
    });
    moments[at(k)] = (std::fabs(moment) + gamma_ * sizes) * kAbove;
    imbalance_ += form.beta() * moments[at(k)] * weights.radius()[at(k)];
    multiplier += form.beta() * std::fabs(u[top]) * weights.radius()[at(k)];
    shift_[at(k)] = origin - centre;
    side_[at(k)] = shift_[at(k)] + force;
    // The dropped patterns pull with their share of at most twice the extent.
    side_error_[at(k)] = gamma_ * (std::fabs(origin) + std::fabs(centre) + spread_[at(k)]) +
                         2 * box.dropped * form.extent(k) + kTiny;
  }
  for (ptrdiff_t k = 0; k < rank_; ++k)
    side_error_[at(k)] = (side_error_[at(k)] + multiplier * kAbove * moments[at(k)]) * kAbove;
  return true;
}

// The rounding of K_jl is at most gamma beta sum s |u_j||u_l| <= gamma sqrt(K_jj K_ll), about, and
// acts on |delta| <= radius.
void HullNewton::set_up_matrix(double beta, const HullVector& radius) {
  HullVector root{};
  for (ptrdiff_t j = 0; j < rank_; ++j)
    for (ptrdiff_t l = 0; l <= j; ++l) {
      const double *u = offset(j), *v = offset(l);
      const double entry =
          beta * sum_of(live_, [&](ptrdiff_t a) { return chord_[at(a)] * u[a] * v[a]; });
      matrix_[at(j)][at(l)] = matrix_[at(l)][at(j)] = (j == l ? 1 : 0) - entry;
      if (j == l) root[at(j)] = std::sqrt(entry);
    }
  double moved = 0;
  for (ptrdiff_t l = 0; l < rank_; ++l) moved += root[at(l)] * radius[at(l)];
  for (ptrdiff_t j = 0; j < rank_; ++j)
    side_error_[at(j)] += gamma_ * (1.01 * root[at(j)] * moved + radius[at(j)]) * kAbove;
}

// Gauss-Jordan with partial pivoting; false where a pivot vanishes. Whatever comes out is only an
// approximation, judged by its residual.
bool HullNewton::invert() {
  std::array<size_t, HullForm::kHighestRank> pivots{};
  const size_t order = at(rank_);
  inverse_ = matrix_;
  Matrix& y = inverse_;
  for (size_t c = 0; c < order; ++c) {
    size_t pivot = c;
    for (size_t a = c + 1; a < order; ++a)
      if (std::fabs(y[a][c]) > std::fabs(y[pivot][c])) pivot = a;
    pivots[c] = pivot;
    if (!(std::fabs(y[pivot][c]) > 0)) return false;
    std::swap(y[pivot], y[c]);
    const double scale = 1 / y[c][c];
    y[c][c] = 1;
    for (size_t k = 0; k < order; ++k) y[c][k] *= scale;
    for (size_t a = 0; a < order; ++a) {
      if (a == c) continue;
      const double factor = y[a][c];
      y[a][c] = 0;
      for (size_t k = 0; k < order; ++k) y[a][k] -= factor * y[c][k];
    }
  }
  for (size_t c = order; c-- > 0;)
    for (size_t a = 0; a < order; ++a) std::swap(y[a][c], y[a][pivots[c]]);
  return true;
}

// delta = Y side + (1 - Y (1 - K)) delta + Y errors, Y the approximate inverse, row by row.
void HullNewton::solve(const HullVector& radius) {
  image_.resize(at(rank_ * live_));
  influence_.resize(at(live_));
  for (ptrdiff_t k = 0; k < rank_; ++k) {
    const HullVector& row = inverse_[at(k)];
    double step = 0, shift_step = 0, error = 0;
    for (ptrdiff_t j = 0; j < rank_; ++j) {
      step += row[at(j)] * side_[at(j)];
      shift_step += row[at(j)] * shift_[at(j)];
      // The rounding of what is made of the row: of step, shift_step and the images' forms in rho.
      error += std::fabs(row[at(j)]) *
               (side_error_[at(j)] +
                gamma_ * (std::fabs(side_[at(j)]) + std::fabs(shift_[at(j)]) + spread_[at(j)]));
    }
    for (ptrdiff_t l = 0; l < rank_; ++l) {
      double residual = k == l ? 1 : 0, size = 1;
      for (ptrdiff_t j = 0; j < rank_; ++j) {
        const double product = row[at(j)] * matrix_[at(j)][at(l)];
        residual -= product;
        size += std::fabs(product);
      }
      error += (std::fabs(residual) + gamma_ * size) * radius[at(l)];
    }
    double* image_row = image(k);
    for (ptrdiff_t a = 0; a < live_; ++a) {
      double sum = 0;
      for (ptrdiff_t j = 0; j < rank_; ++j) sum += row[at(j)] * offset(j)[a];
      image_row[a] = sum;
      influence_[at(a)] = std::fabs(sum) * rho_radius_[at(a)];
    }
    for (ptrdiff_t l = 0; l < rank_; ++l)
      bend_[at(l)] += radius[at(l)] * sum_of(live_, [&](ptrdiff_t a) {
                        return influence_[at(a)] * std::fabs(offset(l)[a]);
                      });
    step_[at(k)] = step;
    shift_step_[at(k)] = shift_step;
    error_[at(k)] = error * kAbove;
    reach_[at(k)] = error + sum_of(live_, [&](ptrdiff_t a) { return influence_[at(a)]; });
  }
}

// By sum p = 1 less the dropped share, t_i - t_i0 = beta u_i . delta - nu with
// nu sum s = sum rho - 1 + dropped + beta sum s_j u_j . delta, the last being rounding: a form in
// the rho with the coefficients c_ij = beta u_i . (Y u_j) - 1 / sum s.
bool HullNewton::narrow_weights(const HullForm& form, const HullWeights& weights,
                                HullBox& box) const {
  std::array<double, kFew> c{};
  const double sizes =
      sum_of(live_, [&](ptrdiff_t a) { return std::fabs(rho_[at(a)]) + rho_radius_[at(a)]; });
  HullVector slack{};
  for (ptrdiff_t k = 0; k < rank_; ++k) {
    const double image_sizes = sum_of(live_, [&](ptrdiff_t a) {
      return std::fabs(image(k)[a]) * (std::fabs(rho_[at(a)]) + rho_radius_[at(a)]);
    });
    slack[at(k)] = error_[at(k)] + gamma_ * (image_sizes + std::fabs(shift_step_[at(k)]));
  }
  for (ptrdiff_t i = 0; i < live_; ++i) {
    std::fill_n(c.begin(), live_, -1 / chords_);
    double centre = 1 / chords_;
    double error =
        4 * form.logit_error() + (imbalance_ + box.dropped + gamma_ * (1 + sizes)) / chords_;
    for (ptrdiff_t k = 0; k < rank_; ++k) {
      const double u = form.beta() * offset(k)[i];
      for (ptrdiff_t j = 0; j < live_; ++j) c[at(j)] += u * image(k)[j];
      centre += u * shift_step_[at(k)];
      error += std::fabs(u) * slack[at(k)];
    }
    double reach = error;
    for (ptrdiff_t j = 0; j < live_; ++j) {
      centre += c[at(j)] * rho_[at(j)];
      if (j != i) reach += std::fabs(c[at(j)]) * rho_radius_[at(j)];
    }
    if (!narrow_weight(i, weights.start(i), centre, reach, c[at(i)], weights, box)) return false;
  }
  return true;
}

// t_i is within `reach`, plus own times rho_i's radius, of start + centre, and so
// p_i = s (t_i - start) + rho_i within s reach + |1 + s own| times that radius of s centre + rho_i.
bool HullNewton::narrow_weight(ptrdiff_t i, double start, double centre, double reach, double own,
                               const HullWeights& weights, HullBox& box) const {
  const double s = chord_[at(i)], radius = rho_radius_[at(i)];
  const double rounding = 8 * kUnit * (std::fabs(centre) + std::fabs(start));
  const double to = start + centre;
  const double log_reach = (reach + std::fabs(own) * radius + rounding) * kAbove + kTiny;
  const double weight = s * centre + rho_[at(i)];
  const double weight_reach =
      (s * (reach + rounding) +
       (std::fabs(1 + s * own) + 4 * kUnit * (1 + s * std::fabs(own))) * radius +
       8 * kUnit * (std::fabs(rho_[at(i)]) + s * std::fabs(centre))) *
          kAbove +
      kTiny;
  if (!std::isfinite(to) || !std::isfinite(log_reach) || !std::isfinite(weight_reach)) return true;
  double &lo = box.log_lo[at(i)], &hi = box.log_hi[at(i)];
  lo = std::max(lo, to - log_reach);
  hi = std::min(hi, to + log_reach);
  const double least = next_down(weight - weight_reach), most = next_up(weight + weight_reach);
  if (most < 0) return false;
  if (most < weights.hi()[i]) hi = std::min(hi, log_up(most));
  if (least > weights.lo()[i]) lo = std::max(lo, log_down(least));
  return lo <= hi;
}

}  // namespace hopfix
