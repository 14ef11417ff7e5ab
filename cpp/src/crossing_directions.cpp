#include "crossing_directions.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;
using Vector = std::vector<double>;

size_t at(ptrdiff_t i) { return static_cast<size_t>(i); }

constexpr double kSameLine = 1e-2;
constexpr double kSingular = 1e-6;  // as in branch_events.cpp
constexpr size_t kMostStarts = size_t{1} << 14;
constexpr size_t kRandomStarts = 32;  // for each dimension of V

double inner(const double* a, const double* b, size_t count) {
  double sum = 0;
  for (size_t k = 0; k < count; ++k) sum += a[k] * b[k];
  return sum;
}

bool normalise(Vector& x) {
  const double length = norm(x);
  if (!(length > 1e-8)) return false;
  for (double& value : x) value /= length;
  return true;
}

// The equations of the directions in coordinates (alpha, tau) of the kernel.
class DirectionEquations {
 public:
  DirectionEquations(BranchCurve& curve, const LocatedEvent& event)
      : here_(curve.evaluate(event.place.z)),
        rank_(at(curve.map().rank())),
        n_(at(curve.map().size())) {
    const Eigenpairs& spectrum = event.place.spectrum;
    Coordinates along_s(rank_ + 1);
    along_s.back() = 1;
    for (size_t i = 0; i < rank_; ++i) {
      const double* vector = spectrum.vector(static_cast<ptrdiff_t>(i));
      const double gap = 1 - spectrum.values[i];
      if (std::fabs(gap) <= kSingular) {
        kernel_.emplace_back(vector, vector + rank_);
        kernel_.back().push_back(0);
        continue;
      }
      others_.emplace_back(vector, vector + rank_);
      gaps_.push_back(gap);
      const double push = inner(vector, here_.push().data(), rank_);
      for (size_t k = 0; k < rank_; ++k) along_s[k] += push / gap * vector[k];
    }
    normalise(along_s);
    kernel_.push_back(along_s);
    for (const Coordinates& k : kernel_) features_.push_back(here_.along(k));
    for (const Vector& v : others_) {
      Coordinates lifted(v);
      lifted.push_back(0);
      other_features_.push_back(here_.along(lifted));
    }
  }

  size_t order() const { return kernel_.size(); }
  size_t multiplicity() const { return kernel_.size() - 1; }

  // The sum over a subset of the patterns' parts in V.
  Vector subset(const std::vector<size_t>& members) const {
    Vector alpha(order());
    for (const size_t i : members)
      for (size_t j = 0; j < multiplicity(); ++j) alpha[j] += features_[j][i];
    return alpha;
  }

  // |third cumulant along alpha| beside its terms.
  double oddness(const Vector& alpha) const {
    const Vector y = combination(alpha);
    const double unit = here_.third_magnitude(y);
    double most = 0;
    for (size_t j = 0; j < multiplicity(); ++j)
      most = std::max(most, std::fabs(here_.third(features_[j], y, y)));
    return unit > 0 ? most / unit : 0;
  }

  // The last unknown such that the equations hold along alpha.
  double balance(const Vector& alpha, bool odd) const {
    const Vector y = combination(alpha);
    const double slope = mixed(y, alpha, alpha);
    if (slope == 0) return 0;
    if (!odd) return -here_.third(y, y, y) / (2 * slope);
    return -(fourth(y, y, y) / 6 + here_.third(y, y, bend(y, y)) / 2) / slope;
  }

  // value: v_j . D2F(k, k) for all j, and |k|^2 - 1; matrix: its derivative.
  void quadratic(const Vector& x, Vector& value, Vector& matrix) const {
    const size_t m = multiplicity(), size = order();
    const Vector y = combination(x);
    const double t = kernel_.back().back(), tau = x.back();
    for (size_t j = 0; j < m; ++j) {
      value[j] = here_.third(features_[j], y, y) + 2 * tau * t * x[j];
      for (size_t l = 0; l < size; ++l)
        matrix[j * size + l] =
            2 * here_.third(features_[j], y, features_[l]) + (l == j ? 2 * tau * t : 0);
      matrix[j * size + m] += 2 * t * x[j];
    }
    sphere(x, size, value, matrix);
  }

  // value: the cubic equations for (alpha, l), and |alpha|^2 - 1; matrix: its derivative.
  void cubic(const Vector& x, Vector& value, Vector& matrix) const {
    const size_t m = multiplicity(), size = order();
    Vector alpha(x);
    alpha.back() = 0;
    const Vector y = combination(alpha);
    const Vector w = bend(y, y);
    for (size_t j = 0; j < m; ++j) {
      value[j] = fourth(features_[j], y, y) / 6 + here_.third(features_[j], y, w) / 2 +
                 x.back() * linear(j, alpha);
      matrix[j * size + m] = linear(j, alpha);
    }
    for (size_t l = 0; l < m; ++l) {
      Vector unit(size);
      unit[l] = 1;
      const Vector turned = bend(y, features_[l]);
      for (size_t j = 0; j < m; ++j)
        matrix[j * size + l] = fourth(features_[j], y, features_[l]) / 2 +
                               here_.third(features_[j], features_[l], w) / 2 +
                               here_.third(features_[j], y, turned) + x.back() * linear(j, unit);
    }
    sphere(x, m, value, matrix);
  }

  Coordinates direction(const Vector& x) const {
    Coordinates out(rank_ + 1);
    for (size_t l = 0; l < order(); ++l)
      for (size_t k = 0; k < out.size(); ++k) out[k] += x[l] * kernel_[l][k];
    return out;
  }

  // Of a solution (alpha, l) of the cubic equations: the branch is alpha r + bend r^2 + O(r^3).
  Coordinates second_order(const Vector& x) const {
    Vector alpha(x);
    alpha.back() = 0;
    const Vector y = combination(alpha);
    Coordinates out(rank_ + 1);
    for (size_t k = 0; k < others_.size(); ++k) {
      const double factor = here_.third(other_features_[k], y, y) / (2 * gaps_[k]);
      for (size_t c = 0; c < rank_; ++c) out[c] += factor * others_[k][c];
    }
    for (size_t c = 0; c < out.size(); ++c) out[c] += x.back() * kernel_.back()[c];
    return out;
  }

 private:
  Vector combination(const Vector& x) const {
    Vector y(n_);
    for (size_t l = 0; l < order(); ++l)
      for (size_t i = 0; i < n_; ++i) y[i] += x[l] * features_[l][i];
    return y;
  }

  // v_j . D2F(alpha, (t, 1)), up to its sign; the same with v in place of v_j.
  double linear(size_t j, const Vector& alpha) const {
    Vector unit(order());
    unit[j] = 1;
    return mixed(features_[j], unit, alpha);
  }
  double mixed(const Vector& feature, const Vector& v, const Vector& alpha) const {
    return here_.third(feature, combination(alpha), features_.back()) +
           kernel_.back().back() * inner(v.data(), alpha.data(), multiplicity());
  }

  // The features of (I - J)^+ D2f(a, b), off V.
  Vector bend(const Vector& a, const Vector& b) const {
    Vector out(n_);
    for (size_t k = 0; k < others_.size(); ++k) {
      const double factor = here_.third(other_features_[k], a, b) / gaps_[k];
      for (size_t i = 0; i < n_; ++i) out[i] += factor * other_features_[k][i];
    }
    return out;
  }

  // c . D3f(a, a, b), by the fourth cumulant.
  double fourth(const Vector& c, const Vector& a, const Vector& b) const {
    double moment = 0, aa = 0, cb = 0, ab = 0, ca = 0;
    for (size_t i = 0; i < n_; ++i) {
      const double p = here_.weights()[i];
      moment += p * a[i] * a[i] * b[i] * c[i];
      aa += p * a[i] * a[i];
      cb += p * c[i] * b[i];
      ab += p * a[i] * b[i];
      ca += p * c[i] * a[i];
    }
    return std::pow(here_.inverse_temperature(), 3) * (moment - aa * cb - 2 * ab * ca);
  }

  void sphere(const Vector& x, size_t count, Vector& value, Vector& matrix) const {
    const size_t m = multiplicity(), size = order();
    value[m] = -1;
    for (size_t l = 0; l < size; ++l) {
      matrix[m * size + l] = l < count ? 2 * x[l] : 0;
      if (l < count) value[m] += x[l] * x[l];
    }
  }

  const MapPoint& here_;
  size_t rank_, n_;
  std::vector<Coordinates> kernel_;  // of dF, m + 1 unit vectors, that along s last
  std::vector<Vector> others_;       // eigenvectors across V
  Vector gaps_;                      // 1 - their eigenvalues
  std::vector<Vector> features_, other_features_;
};

enum class Solution { none, isolated, continuum };

// Newton's method from x.
Solution solve_directions(const DirectionEquations& equations, bool odd, Vector& x) {
  constexpr int kSteps = 30;
  constexpr double kSettled = 1e-13, kLargest = 0.5, kIsolated = 1e-6;
  const size_t order = equations.order();
  Vector value(order), matrix(order * order);
  for (int step = 0; step < kSteps; ++step) {
    if (odd)
      equations.cubic(x, value, matrix);
    else
      equations.quadratic(x, value, matrix);
    double largest = 0;
    for (const double entry : matrix) largest = std::max(largest, std::fabs(entry));
    // In a continuum Newton's steps are rounding: look at the residual.
    if (norm(value) <= kSettled * largest) {
      // A vector of no particular direction shows whether the matrix is nearly singular.
      Vector probe(order);
      for (size_t l = 0; l < order; ++l) probe[l] = std::cos(1.0 + static_cast<double>(l));
      const bool regular = solve_system(matrix, probe) && norm(probe) * largest * kIsolated < 1;
      return regular ? Solution::isolated : Solution::continuum;
    }
    Vector delta(value);
    if (!solve_system(matrix, delta)) return Solution::none;
    const double damping = std::min(1.0, kLargest / norm(delta));
    for (size_t l = 0; l < order; ++l) x[l] -= damping * delta[l];
  }
  return Solution::none;
}

// The first subsets by size, then lexicographically, without that of all.
std::vector<std::vector<size_t>> subsets(size_t n) {
  std::vector<std::vector<size_t>> out;
  for (size_t size = 1; size < n; ++size) {
    std::vector<size_t> members(size);
    for (size_t i = 0; i < size; ++i) members[i] = i;
    for (;;) {
      if (out.size() == kMostStarts) return out;
      out.push_back(members);
      size_t last = size;
      while (last > 0 && members[last - 1] == n - size + last - 1) --last;
      if (last == 0) break;
      ++members[last - 1];
      for (size_t i = last; i < size; ++i) members[i] = members[i - 1] + 1;
    }
  }
  return out;
}

// Between the first entries, that of s apart.
double moved(const Vector& from, const Vector& to) {
  double most = 0;
  for (size_t l = 0; l + 1 < from.size(); ++l) most = std::max(most, std::fabs(to[l] - from[l]));
  return most;
}

// Numbers in [-1, 1], the same everywhere (Steele, Lea & Flood 2014).
class SplitMix {
 public:
  double next() {
    state_ += 0x9e3779b97f4a7c15U;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    z ^= z >> 31U;
    return static_cast<double>(z >> 11U) * 0x1p-52 - 1;
  }

 private:
  std::uint64_t state_ = 0;
};

// Sums of subsets, then others; `symmetric` becomes the number of the former.
std::vector<Vector> start_vectors(const DirectionEquations& equations, size_t n, size_t& symmetric,
                                  const std::function<bool()>& stop) {
  std::vector<Vector> starts;
  LineSet seen;
  const auto add = [&](Vector alpha) {
    if (normalise(alpha) && seen.insert(alpha)) starts.push_back(std::move(alpha));
  };
  for (const auto& members : subsets(n)) {
    if (stop()) break;
    add(equations.subset(members));
  }
  symmetric = starts.size();
  SplitMix random;
  for (size_t k = 0; k < kRandomStarts * equations.multiplicity(); ++k) {
    Vector alpha(equations.order());
    for (size_t l = 0; l < equations.multiplicity(); ++l) alpha[l] = random.next();
    add(std::move(alpha));
  }
  return starts;
}

}  // namespace

LineSet::Entry LineSet::make_entry(const Coordinates& unit) {
  Entry entry{0, unit};
  for (size_t k = 0; k < unit.size(); ++k)
    entry.key += unit[k] * std::cos(1.0 + static_cast<double>(k));
  // A line may be near the plane on which the sign changes: its square says nothing about it.
  entry.key = std::fabs(entry.key);
  return entry;
}

bool LineSet::contains(const Coordinates& unit) const {
  const Entry wanted = make_entry(unit);
  const double slack = kSameLine * std::sqrt(static_cast<double>(unit.size()));
  const auto below = [](const Entry& entry, double key) { return entry.key < key; };
  for (auto entry = std::lower_bound(entries_.begin(), entries_.end(), wanted.key - slack, below);
       entry != entries_.end() && entry->key <= wanted.key + slack; ++entry)
    if (std::fabs(dot(entry->unit, unit)) > 1 - kSameLine * kSameLine / 2) return true;
  return false;
}

bool LineSet::insert(const Coordinates& unit) {
  if (contains(unit)) return false;
  Entry entry = make_entry(unit);
  const auto after =
      std::upper_bound(entries_.begin(), entries_.end(), entry.key,
                       [](double key, const Entry& other) { return key < other.key; });
  entries_.insert(after, std::move(entry));
  return true;
}

std::vector<CrossingDirection> crossing_directions(BranchCurve& curve, const LocatedEvent& event,
                                                   const std::function<bool()>& stop) {
  const DirectionEquations equations(curve, event);
  size_t symmetric = 0;
  const std::vector<Vector> starts =
      start_vectors(equations, at(curve.map().size()), symmetric, stop);
  bool odd = true;
  for (size_t k = 0; odd && k < starts.size() && !stop(); ++k)
    odd = equations.oddness(starts[k]) <= kSingular;
  std::vector<CrossingDirection> out;
  LineSet found;
  const auto add = [&](const Vector& x, Coordinates bend, bool isolated) {
    Coordinates direction = equations.direction(x);
    if (normalise(direction) && found.insert(direction))
      out.push_back({std::move(direction), std::move(bend), isolated});
  };
  const Coordinates straight(event.place.z.size());
  Vector along_s(equations.order());
  along_s.back() = 1;
  if (solve_directions(equations, false, along_s) == Solution::isolated)
    add(along_s, straight, true);
  for (size_t k = 0; k < starts.size() && !stop(); ++k) {
    const Vector& start = starts[k];
    Vector x(start);
    x.back() = equations.balance(start, odd);
    if (!odd) normalise(x);
    const Solution solution = solve_directions(equations, odd, x);
    if (solution == Solution::none) continue;
    // In a continuum the lines that symmetries fix are the likely ones.
    if (solution == Solution::continuum && (k >= symmetric || moved(start, x) > kSingular))
      continue;
    Coordinates bend = odd ? equations.second_order(x) : straight;
    if (odd) x.back() = 0;
    add(x, std::move(bend), solution == Solution::isolated);
  }
  return out;
}

}  // namespace hopfix
