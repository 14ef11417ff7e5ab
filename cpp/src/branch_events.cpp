#include "branch_events.hpp"

#include <algorithm>
#include <cmath>

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

size_t at(ptrdiff_t i) { return static_cast<size_t>(i); }

// Interpolation reaches so far to both sides: at most this, and at most this share of the step,
// which is short where the branch is strongly curved. A step is halved down to a share of that.
constexpr double kLongestReach = 1e-2, kReachOfStep = 0.2, kShort = 0.4;
constexpr int kNodes = 8;
// Interpolation locates events to less than this, in eigenvalues and in coordinates.
constexpr double kSingular = 1e-6, kPolishMoves = 1e-4, kUnfolded = 1e-10;

bool turns(const CurvePoint& a, const CurvePoint& b) {
  return (a.tangent.back() > 0) != (b.tangent.back() > 0);
}

double along_tangent(const CurvePoint& a, const CurvePoint& b) {
  double sum = 0;
  for (size_t k = 0; k < a.z.size(); ++k) sum += (b.z[k] - a.z[k]) * a.tangent[k];
  return sum;
}

// (v, 0); (0, 1) of so many dimensions where there is no v.
Coordinates lifted(const std::vector<double>& v, ptrdiff_t rank = 0) {
  Coordinates out(v.empty() ? at(rank) : v.size());
  std::copy(v.begin(), v.end(), out.begin());
  out.push_back(v.empty() ? 1 : 0);
  return out;
}

bool differ(const CurvePoint& a, const CurvePoint& b) {
  return turns(a, b) || crossings(a.spectrum, b.spectrum) > 0.5;
}

// Barycentric interpolation (Berrut & Trefethen 2004) through arbitrary distinct nodes.
class Interpolant {
 public:
  explicit Interpolant(std::vector<double> nodes)
      : nodes_(std::move(nodes)), factors_(nodes_.size(), 1) {
    for (size_t i = 0; i < nodes_.size(); ++i)
      for (size_t j = 0; j < nodes_.size(); ++j)
        if (i != j) factors_[i] /= nodes_[i] - nodes_[j];
  }

  double operator()(const std::vector<double>& values, double x) const {
    double above = 0, below = 0;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (x == nodes_[i]) return values[i];
      const double factor = factors_[i] / (x - nodes_[i]);
      above += factor * values[i];
      below += factor;
    }
    return above / below;
  }

  // A root in [lo, hi] if the signs there differ; the end with the smaller value else.
  double root(const std::vector<double>& values, double lo, double hi) const {
    const double low = (*this)(values, lo), high = (*this)(values, hi);
    if ((low > 0) == (high > 0)) return std::fabs(low) < std::fabs(high) ? lo : hi;
    for (int step = 0; step < 60; ++step) {
      const double middle = lo + (hi - lo) / 2;
      (((*this)(values, middle) > 0) == (low > 0) ? lo : hi) = middle;
    }
    return lo + (hi - lo) / 2;
  }

 private:
  std::vector<double> nodes_, factors_;
};

template <class Get>
std::vector<double> values_of(const std::vector<CurvePoint>& nodes, const Get& get) {
  std::vector<double> out;
  for (const CurvePoint& node : nodes) out.push_back(get(node));
  return out;
}

// v' J v, from the spectrum.
double rayleigh(const Eigenpairs& spectrum, const std::vector<double>& v) {
  double sum = 0;
  for (size_t i = 0; i < spectrum.values.size(); ++i) {
    double along = 0;
    for (size_t k = 0; k < v.size(); ++k)
      along += v[k] * spectrum.vector(static_cast<ptrdiff_t>(i))[k];
    sum += spectrum.values[i] * along * along;
  }
  return sum;
}

// The eigenvector above 1 at one point that has least to do with those above 1 at the other, and
// how much that is.
std::pair<std::vector<double>, double> lost_vector(const Eigenpairs& from, const Eigenpairs& to) {
  const auto rank = static_cast<ptrdiff_t>(from.values.size());
  std::pair<std::vector<double>, double> best{{}, HUGE_VAL};
  for (ptrdiff_t i = rank - from.above(); i < rank; ++i) {
    double kept = 0;
    for (ptrdiff_t j = rank - to.above(); j < rank; ++j) {
      double cosine = 0;
      for (ptrdiff_t k = 0; k < rank; ++k) cosine += from.vector(i)[k] * to.vector(j)[k];
      kept += cosine * cosine;
    }
    if (kept < best.second) best = {{from.vector(i), from.vector(i) + rank}, kept};
  }
  return best;
}

std::vector<double> crossing_vector(const Eigenpairs& a, const Eigenpairs& b) {
  auto down = lost_vector(a, b), up = lost_vector(b, a);
  return down.second <= up.second ? std::move(down.first) : std::move(up.first);
}

ptrdiff_t singular_count(const Eigenpairs& spectrum) {
  return std::count_if(spectrum.values.begin(), spectrum.values.end(),
                       [](double value) { return std::fabs(value - 1) <= kSingular; });
}

// The eigenvector whose eigenvalue is closest to 1.
std::vector<double> nearest_vector(const Eigenpairs& spectrum) {
  const auto rank = static_cast<ptrdiff_t>(spectrum.values.size());
  ptrdiff_t best = 0;
  for (ptrdiff_t i = 1; i < rank; ++i)
    if (std::fabs(spectrum.values[at(i)] - 1) < std::fabs(spectrum.values[at(best)] - 1)) best = i;
  return {spectrum.vector(best), spectrum.vector(best) + rank};
}

// v on the space of all eigenvectors with eigenvalues close to those of the crossing ones; v itself
// where there are none.
std::vector<double> on_null_space(const Eigenpairs& spectrum, const std::vector<double>& v) {
  constexpr double kClose = 1e-3;
  const auto rank = static_cast<ptrdiff_t>(v.size());
  std::vector<double> out(v.size());
  for (ptrdiff_t i = 0; i < rank; ++i) {
    if (std::fabs(spectrum.values[at(i)] - 1) > kClose) continue;
    double along = 0;
    for (ptrdiff_t k = 0; k < rank; ++k) along += v[at(k)] * spectrum.vector(i)[k];
    for (ptrdiff_t k = 0; k < rank; ++k) out[at(k)] += along * spectrum.vector(i)[k];
  }
  const double length = norm(out);
  if (!(length > 0.1)) return v;
  for (double& value : out) value /= length;
  return out;
}

}  // namespace

bool EventFinder::find(const CurvePoint& a, const CurvePoint& b,
                       std::vector<LocatedEvent>& events) {
  reach_ = std::min(kLongestReach, kReachOfStep * (b.sigma - a.sigma));
  return search(a, b, events);
}

bool EventFinder::search(const CurvePoint& a, const CurvePoint& b,
                         std::vector<LocatedEvent>& events) {
  if (!differ(a, b)) return true;
  const double length = along_tangent(a, b);
  if (!(length > 0)) return false;
  if (length <= kShort * reach_) return locate(a, b, events);
  // A point that happens to be an event cannot be had: try another.
  for (const double share : {0.487, 0.529}) {
    const auto middle = curve_.between(a, b, share * length);
    if (!middle) continue;
    return search(a, *middle, events) && search(*middle, b, events);
  }
  return false;
}

// Points around `centre`, none too close to it: singular systems are avoided.
bool EventFinder::sample(const CurvePoint& a, const CurvePoint& b, double centre, Nodes& nodes) {
  nodes.clear();
  const double pi = std::acos(-1.0);
  for (int i = 0; i < kNodes; ++i) {
    const double distance = centre - reach_ * std::cos((2 * i + 1) * pi / (2 * kNodes)) - a.sigma;
    auto node = curve_.between(a, b, distance);
    if (!node) return false;
    nodes.push_back(std::move(*node));
  }
  return true;
}

// Where v' (I - J) v vanishes.
double EventFinder::crossing_of(const Nodes& nodes, const std::vector<double>& v, double lo,
                                double hi) {
  const Interpolant interpolant(values_of(nodes, [](const CurvePoint& n) { return n.sigma; }));
  return interpolant.root(
      values_of(nodes, [&](const CurvePoint& n) { return 1 - rayleigh(n.spectrum, v); }), lo, hi);
}

bool EventFinder::locate(const CurvePoint& a, const CurvePoint& b,
                         std::vector<LocatedEvent>& events) {
  const bool turning = turns(a, b);
  const bool changes = turning || a.morse_index() != b.morse_index();
  std::vector<double> v =
      turning ? nearest_vector(a.spectrum) : crossing_vector(a.spectrum, b.spectrum);
  const double length = along_tangent(a, b);
  double sigma = a.sigma + 0.51 * length;
  LocatedEvent event;
  Nodes nodes;
  // Each pass centres the nodes, and takes the null vector from the place found by the one before.
  for (int pass = 0; pass < 3; ++pass) {
    if (!sample(a, b, sigma, nodes)) return !changes;
    const Interpolant interpolant(values_of(nodes, [](const CurvePoint& n) { return n.sigma; }));
    const double slack = pass == 0 ? 0 : kShort * reach_ / 10;
    const double lo = a.sigma - slack, hi = a.sigma + length + slack;
    sigma = turning ? interpolant.root(
                          values_of(nodes, [](const CurvePoint& n) { return n.tangent.back(); }),
                          lo, hi)
                    : crossing_of(nodes, v, lo, hi);
    event.place.sigma = sigma;
    event.place.z.assign(a.z.size(), 0);
    event.place.tangent.assign(a.z.size(), 0);
    for (size_t k = 0; k < a.z.size(); ++k) {
      event.place.z[k] =
          interpolant(values_of(nodes, [k](const CurvePoint& n) { return n.z[k]; }), sigma);
      event.place.tangent[k] =
          interpolant(values_of(nodes, [k](const CurvePoint& n) { return n.tangent[k]; }), sigma);
    }
    const double size = norm(event.place.tangent);
    for (double& value : event.place.tangent) value /= size;
    event.place.spectrum =
        spectrum_of(curve_.evaluate(event.place.z).jacobian(), curve_.map().rank());
    if (!std::isfinite(event.place.spectrum.values.back())) return false;
    v = on_null_space(event.place.spectrum, v);
  }
  event.multiplicity = singular_count(event.place.spectrum);
  // Spaces that turn quickly look like a crossing but are none.
  if (event.multiplicity == 0) return !changes;
  if (!classify(a, b, event)) return false;
  events.push_back(std::move(event));
  return true;
}

bool EventFinder::classify(const CurvePoint& a, const CurvePoint& b, LocatedEvent& event) {
  if (event.multiplicity > 1) {
    event.kind = EventKind::multiple;
    return true;
  }
  std::vector<double> v = nearest_vector(event.place.spectrum);
  Coordinates z = event.place.z;
  const bool index_changes = a.morse_index() != b.morse_index();
  double unfolding = 0;
  const bool fold = turns(a, b) && index_changes;
  const bool polished = fold ? polish_fold(curve_, z, v) : polish_crossing(curve_, z, v, unfolding);
  double moved = 0;
  for (size_t k = 0; k < z.size(); ++k) moved = std::max(moved, std::fabs(z[k] - event.place.z[k]));
  event.null_vector = v;
  if (!polished || !(moved <= kPolishMoves) || std::fabs(unfolding) > kUnfolded) {
    // What looks like a crossing but is none is a jump between branches that pass close by.
    if (!fold) return false;
    event.null_vector = nearest_vector(event.place.spectrum);
    event.kind = EventKind::degenerate;
    return true;
  }
  event.place.z = z;
  const MapPoint& here = curve_.evaluate(z);
  event.place.spectrum = spectrum_of(here.jacobian(), curve_.map().rank());
  const std::vector<double> along = here.along(lifted(v));
  const bool symmetric =
      std::fabs(here.third(along, along, along)) <= kSingular * here.third_magnitude(along);
  event.kind = fold ? EventKind::fold : symmetric ? EventKind::pitchfork : EventKind::transcritical;
  return true;
}

namespace {

// The extended systems share all rows but the last: unknowns (eta, v, s) and, where `unfolded`, mu.
bool polish(BranchCurve& curve, Coordinates& z, std::vector<double>& v, double* mu) {
  constexpr int kSteps = 12;
  const ptrdiff_t r = curve.map().rank(), order = 2 * r + (mu == nullptr ? 1 : 2);
  double last = HUGE_VAL;
  for (int step = 0; step < kSteps; ++step) {
    const MapPoint& here = curve.evaluate(z);
    const std::vector<double> m = here.derivative_along(v.data());
    // e^2s sum p (u . v)(g - mean) u: what J v changes by with s, beside itself.
    const std::vector<double> along_v = here.along(lifted(v)), along_s = here.along(lifted({}, r));
    std::vector<double> products(along_v);
    for (size_t i = 0; i < products.size(); ++i) products[i] *= along_s[i];
    std::vector<double> turn = here.moment(products);
    for (double& value : turn) value *= here.inverse_temperature() * here.inverse_temperature();
    std::vector<double> matrix(at(order * order)), x(at(order));
    double square = -1, along = 0;
    for (ptrdiff_t i = 0; i < r; ++i) {
      double jv = 0;
      for (ptrdiff_t j = 0; j < r; ++j) {
        const double identity = i == j ? 1 : 0, jacobian = here.jacobian()[at(i * r + j)];
        matrix[at(i * order + j)] = identity - jacobian;
        matrix[at((r + i) * order + j)] = -m[at(i * r + j)];
        matrix[at((r + i) * order + r + j)] = identity - jacobian;
        jv += jacobian * v[at(j)];
      }
      matrix[at(i * order + 2 * r)] = -here.push()[at(i)];
      matrix[at((r + i) * order + 2 * r)] = -(jv + turn[at(i)]);
      matrix[at(2 * r * order + r + i)] = 2 * v[at(i)];
      x[at(i)] = -here.residual()[at(i)];
      x[at(r + i)] = jv - v[at(i)];
      square += v[at(i)] * v[at(i)];
      along += v[at(i)] * here.push()[at(i)];
      if (mu == nullptr) continue;
      matrix[at(i * order + r + i)] = *mu;
      matrix[at(i * order + 2 * r + 1)] = v[at(i)];
      x[at(i)] -= *mu * v[at(i)];
      matrix[at((2 * r + 1) * order + i)] = jv + turn[at(i)];
      matrix[at((2 * r + 1) * order + r + i)] = here.push()[at(i)];
    }
    x[at(2 * r)] = -square;
    if (mu != nullptr) {
      matrix[at((2 * r + 1) * order + 2 * r)] = along + here.third(along_v, along_s, along_s);
      x[at(2 * r + 1)] = -along;
    }
    if (!solve_system(matrix, x)) return false;
    for (ptrdiff_t k = 0; k < r; ++k) {
      z[at(k)] += x[at(k)];
      v[at(k)] += x[at(r + k)];
    }
    z.back() += x[at(2 * r)];
    if (mu != nullptr) *mu += x[at(2 * r + 1)];
    const double length = norm(x);
    if (length <= 1e-14 || (length <= 1e-10 && length > last / 4)) return true;
    if (length > 1 || (step > 3 && length > last)) return false;
    last = length;
  }
  return last <= 1e-11;
}

// v . D2F (a, b) up to its sign, see branch_events.hpp.
double second_form(const MapPoint& here, const std::vector<double>& v, const Coordinates& a,
                   const Coordinates& b) {
  const double ta = a.back(), tb = b.back();
  double va = 0, vb = 0, v_push = 0;
  for (size_t k = 0; k < v.size(); ++k) {
    va += v[k] * a[k];
    vb += v[k] * b[k];
    v_push += v[k] * here.push()[k];
  }
  return here.third(here.along(lifted(v)), here.along(a), here.along(b)) + tb * va + ta * vb +
         ta * tb * v_push;
}

// The part of `a` across the unit vector `b`.
Coordinates across(Coordinates a, const Coordinates& b) {
  const double along = dot(a, b);
  for (size_t k = 0; k < a.size(); ++k) a[k] -= along * b[k];
  return a;
}

}  // namespace

bool polish_fold(BranchCurve& curve, Coordinates& z, std::vector<double>& v) {
  return polish(curve, z, v, nullptr);
}

bool polish_crossing(BranchCurve& curve, Coordinates& z, std::vector<double>& v,
                     double& unfolding) {
  unfolding = 0;
  return polish(curve, z, v, &unfolding);
}

// At a crossing [I - J, -J eta] has a kernel of two dimensions, and v . D2F vanishes along both
// branches in it (the algebraic branching equation).
std::optional<Coordinates> other_branch(BranchCurve& curve, const LocatedEvent& event) {
  const ptrdiff_t r = curve.map().rank();
  const Eigenpairs& spectrum = event.place.spectrum;
  const MapPoint& here = curve.evaluate(event.place.z);
  const Coordinates& tangent = event.place.tangent;
  Coordinates along_v(event.null_vector), along_s(at(r + 1));
  along_v.push_back(0);
  along_s.back() = 1;
  for (ptrdiff_t i = 0; i < r; ++i) {
    if (std::fabs(spectrum.values[at(i)] - 1) <= kSingular) continue;
    double push = 0;
    for (ptrdiff_t k = 0; k < r; ++k) push += spectrum.vector(i)[k] * here.push()[at(k)];
    for (ptrdiff_t k = 0; k < r; ++k)
      along_s[at(k)] += push / (1 - spectrum.values[at(i)]) * spectrum.vector(i)[k];
  }
  Coordinates normal = across(along_v, tangent);
  const Coordinates second = across(along_s, tangent);
  if (norm(second) / norm(along_s) > norm(normal)) normal = second;
  const double length = norm(normal);
  for (double& value : normal) value /= length;
  const auto& v = event.null_vector;
  const double mixed = second_form(here, v, tangent, normal);
  const double square = second_form(here, v, normal, normal);
  if (!(std::fabs(mixed) > 1e-8 * (1 + std::fabs(square)))) return std::nullopt;
  Coordinates out(normal.size());
  for (size_t k = 0; k < out.size(); ++k) out[k] = normal[k] - square / (2 * mixed) * tangent[k];
  const double size = norm(out);
  for (double& value : out) value /= size;
  return out;
}

}  // namespace hopfix
