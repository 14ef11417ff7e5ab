#include "power_cell.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace hopfix {

using std::ptrdiff_t;
using std::size_t;

namespace {

size_t at(ptrdiff_t i) { return static_cast<size_t>(i); }

// Points nearer to the origin than this (of the scale, with the weights' absolute sum) may be it.
constexpr double kOrigin = 1e-14;
// Sets that take so few primes are looked at exactly: patterns on a lattice.
constexpr size_t kFewPrimes = 12;

}  // namespace

double PowerCell::overall_bound(const PatternGram& gram, ExactFaces& exact) {
  std::vector<ptrdiff_t> all(at(gram.n));
  std::iota(all.begin(), all.end(), ptrdiff_t{0});
  return PowerCell(gram, exact, HUGE_VAL).upper_bound(all, {});
}

bool PowerCell::may_hold(const FaceNode& start, std::vector<ptrdiff_t>* candidates) {
  const size_t fixed = start.members().size();
  node_ = start;
  node_.weights(p_);
  const double upper = candidates == nullptr ? upper_ : upper_bound(start.members(), *candidates);
  for (int step = 0; step < 100; ++step) {
    if (at_origin(fixed) || lower_bound() > upper) return false;
    const ptrdiff_t k = most_violated();
    if (k < 0) return candidates == nullptr || drop_candidates(fixed, *candidates);
    if (!admit(k, fixed)) return outcome_;
  }
  return true;
}

double PowerCell::rounding(double absolute) const {
  const auto terms = static_cast<double>(gram_.dim + node_.size()) + 16;
  return 4 * terms * kUnitRoundoff * gram_.scale * (1 + absolute);
}

double PowerCell::absolute_sum() const {
  double sum = 0;
  for (const double weight : p_) sum += std::abs(weight);
  return sum;
}

// How far the weights' sum may be from 1.
double PowerCell::sum_excess() const {
  double sum = -1;
  for (const double weight : p_) sum += weight;
  return std::abs(sum) + 4 * static_cast<double>(p_.size()) * kUnitRoundoff * (1 + absolute_sum());
}

// p . (G p)
double PowerCell::square() const {
  double sum = 0;
  for (size_t i = 0; i < p_.size(); ++i)
    for (size_t j = 0; j < p_.size(); ++j)
      sum += p_[i] * p_[j] * gram_(node_.members()[i], node_.members()[j]);
  return sum;
}

// (1) of the header, without its first term.
double PowerCell::lower_bound() const {
  const double absolute = absolute_sum();
  double value = -0.5 * square();
  for (size_t i = 0; i < p_.size(); ++i) value -= p_[i] * gram_.offset(node_.members()[i]);
  // |c| is at most the scale, as xi is in the hull.
  return value - 2 * sum_excess() * gram_.scale - rounding(absolute) * (1 + absolute);
}

// (2) of the header, at points on the way to the largest value: pairwise Frank-Wolfe steps
// (Lacoste-Julien & Jaggi 2015).
double PowerCell::upper_bound(const std::vector<ptrdiff_t>& members,
                              const std::vector<ptrdiff_t>& candidates) {
  std::vector<ptrdiff_t> among(members);
  among.insert(among.end(), candidates.begin(), candidates.end());
  const size_t count = among.size(), start = members.size();
  shares_.assign(count, 0.0);
  own_scores_.assign(count, 0.0);
  for (size_t i = 0; i < count; ++i) {
    double sum = 0;
    for (size_t j = 0; j < start; ++j) sum += gram_(among[j], among[i]);
    own_scores_[i] = sum / static_cast<double>(start) + gram_.offset(among[i]);
  }
  for (size_t j = 0; j < start; ++j) shares_[j] = 1 / static_cast<double>(start);
  double best = HUGE_VAL;
  constexpr size_t kMostSteps = 40;
  const int steps = static_cast<int>(std::min(count + 8, kMostSteps));
  for (int step = 0; step < steps; ++step) {
    size_t low = 0, high = count;
    double half_square = 0;
    for (size_t i = 0; i < count; ++i) {
      if (own_scores_[i] < own_scores_[low]) low = i;
      if (shares_[i] <= 0) continue;
      half_square += shares_[i] * (own_scores_[i] - gram_.offset(among[i])) / 2;
      if (high == count || own_scores_[i] > own_scores_[high]) high = i;
    }
    best = std::min(best, half_square - own_scores_[low]);
    if (high == count || high == low) break;
    const ptrdiff_t from = among[high], to = among[low];
    const double distance = gram_(from, from) + gram_(to, to) - 2 * gram_(from, to);
    const double gain = own_scores_[high] - own_scores_[low];
    if (!(gain > 1e-10 * gram_.scale) || !(distance > 0)) break;
    const double move = std::min(shares_[high], gain / distance);
    shares_[high] -= move;
    shares_[low] += move;
    for (size_t i = 0; i < count; ++i)
      own_scores_[i] += move * (gram_(to, among[i]) - gram_(from, among[i]));
  }
  // Steps add up rounding: each moves a share of at most 1 between rows.
  return best + rounding(2) * (4 + static_cast<double>(steps));
}

// With the solution of the programme. False if none is left.
bool PowerCell::drop_candidates(size_t fixed, std::vector<ptrdiff_t>& candidates) {
  if (gram_.no_offsets && square() <= kOrigin * gram_.scale) return true;
  const double absolute = absolute_sum(), lower = lower_bound();
  add_scores(gram_, node_.members(), p_, 0, gram_.n, scores_.data());
  FaceNode base(gram_);
  base.start(node_.members()[0]);
  for (size_t i = 1; i < fixed; ++i)
    if (!base.push(node_.members()[i])) return true;
  std::vector<double> violations, lengths;
  for (const ptrdiff_t m : candidates) {
    const double square = std::max(base.project(m, mu_), 0.0);
    double violation = scores_[at(m)], weight = 1, sum = -1;
    for (size_t i = 0; i < fixed; ++i) {
      violation -= mu_[i] * scores_[at(base.members()[i])];
      weight += std::abs(mu_[i]);
      sum += mu_[i];
    }
    // The square of g is known to this; scores at e to their rounding; the sum of mu is not
    // quite 1.
    const double error = rounding(weight) * (1 + weight) * (1 + absolute);
    violations.push_back(std::abs(violation) - error - 2 * std::abs(sum) * gram_.scale);
    lengths.push_back(std::sqrt(square + error));
  }
  for (;;) {
    const double room = upper_bound(base.members(), candidates) - lower;
    if (room < 0) return false;
    const double radius = std::sqrt(2 * room) * (1 + 1e-12);
    size_t kept = 0;
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (violations[i] > lengths[i] * radius * (1 + 1e-12)) continue;
      candidates[kept] = candidates[i];
      violations[kept] = violations[i];
      lengths[kept++] = lengths[i];
    }
    if (kept == candidates.size()) return true;
    candidates.resize(kept);
    violations.resize(kept);
    lengths.resize(kept);
    if (kept == 0) return false;
  }
}

// Whether the weights show that critical supersets have their points at the origin, or so near to
// it that rounding cannot tell: then origin_radius_ says how near.
bool PowerCell::at_origin(size_t fixed) {
  if (!gram_.no_offsets) return false;
  const double absolute = absolute_sum();
  if (square() > kOrigin * gram_.scale * absolute * absolute) return false;
  double sum = 0;
  for (ptrdiff_t c = 0; c < gram_.dim; ++c) {
    double coordinate = 0;
    for (size_t i = 0; i < p_.size(); ++i)
      coordinate += p_[i] * gram_.pattern(node_.members()[i])[c];
    sum += coordinate * coordinate;
  }
  // No further than rounding of the weights may take it.
  const double doubt = 4 * static_cast<double>(p_.size()) * node_.weight_error(absolute);
  if (std::sqrt(sum) > doubt * std::sqrt(gram_.scale)) return false;
  // c s <= e . xi with s near 1, and c = |xi|^2.
  const double excess = sum_excess();
  if (excess > 0.25) return false;
  const double distance = (std::sqrt(sum) + rounding(absolute)) * (1 + 2 * excess);
  if (!origin_is_certain(fixed, distance)) origin_radius_ = std::max(origin_radius_, distance);
  return true;
}

// Whether weights with those signs exist for which e vanishes exactly.
bool PowerCell::origin_is_certain(size_t fixed, double distance) {
  // With dim + 1 independent patterns there are such weights, near the ones at hand.
  if (node_.size() == gram_.dim + 1) {
    const double reach = 4 * std::sqrt(node_.inverse_norm()) * distance;
    return std::all_of(p_.begin() + static_cast<ptrdiff_t>(fixed), p_.end(),
                       [&](double weight) { return weight + reach < 0; });
  }
  if (exact_.primes_for(p_.size()) > kFewPrimes) return false;
  const ExactFace face = exact_.solve(node_.members());
  return face.kind == ExactFace::Kind::independent && face.score == 0 &&
         std::all_of(face.weights.begin() + static_cast<ptrdiff_t>(fixed), face.weights.end(),
                     [](double weight) { return weight <= 0; });
}

ptrdiff_t PowerCell::most_violated() {
  add_scores(gram_, node_.members(), p_, 0, gram_.n, scores_.data());
  const double c = scores_[at(node_.members()[0])];
  for (const ptrdiff_t i : node_.members()) scores_[at(i)] = -HUGE_VAL;
  const auto most = std::max_element(scores_.begin(), scores_.end());
  violation_ = *most - c;
  return violation_ > node_.score_error(absolute_sum()) ? most - scores_.begin() : -1;
}

// Lets k join; false if the search is over, with outcome_ its result.
bool PowerCell::admit(ptrdiff_t k, size_t fixed) {
  double own = 0, left = violation_;
  while (true) {
    const double distance = node_.project(k, mu_);
    const bool dependent = !(distance > kDependent * gram_.scale);
    size_t blocking = 0;
    double step = dependent ? HUGE_VAL : left / distance;
    for (size_t l = fixed; l < p_.size(); ++l)
      if (mu_[l] > 0 && -p_[l] / mu_[l] < step) {
        step = -p_[l] / mu_[l];
        blocking = l;
      }
    if (step == HUGE_VAL) {
      outcome_ = !has_no_point(k);
      return false;
    }
    for (size_t i = 0; i < p_.size(); ++i) p_[i] += step * mu_[i];
    for (size_t l = fixed; l < p_.size(); ++l) p_[l] = std::min(p_[l], 0.0);
    own -= step;
    if (blocking == 0) {
      if (!node_.push(k)) {
        outcome_ = true;
        return false;
      }
      p_.push_back(own);
      return true;
    }
    left -= step * distance;
    remove(blocking);
  }
}

// The second inequality of the header, violated all over the hull by mu, which is <= 0 off J, and
// -1 for k.
bool PowerCell::has_no_point(ptrdiff_t k) {
  double absolute = 1, sum = -1, offset = -gram_.offset(k);
  for (size_t i = 0; i < mu_.size(); ++i) {
    absolute += std::abs(mu_[i]);
    sum += mu_[i];
    offset += mu_[i] * gram_.offset(node_.members()[i]);
  }
  double most = -HUGE_VAL;
  for (ptrdiff_t i = 0; i < gram_.n; ++i) {
    double along = -gram_(k, i);
    for (size_t j = 0; j < mu_.size(); ++j) along += mu_[j] * gram_(node_.members()[j], i);
    most = std::max(most, along);
  }
  return most + offset + 2 * std::abs(sum) * gram_.scale + 2 * rounding(absolute) < 0;
}

void PowerCell::remove(size_t which) {
  std::vector<ptrdiff_t> members = node_.members();
  members.erase(members.begin() + static_cast<ptrdiff_t>(which));
  p_.erase(p_.begin() + static_cast<ptrdiff_t>(which));
  node_.start(members[0]);
  for (size_t i = 1; i < members.size(); ++i) node_.push(members[i]);
}

}  // namespace hopfix
