// The separation functions of hopfix/separation.hpp, one row at a time.
#include "entmax.hpp"
#include "level.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

namespace {

constexpr int W = kLanes<double>;

template <class T>
void widen_row(const T* x, std::ptrdiff_t n, double* out) {
  for (std::ptrdiff_t i = 0; i < n; ++i) out[i] = static_cast<double>(x[i]);
}

// p = exp(z - maximum), returned with its sum.
template <class T>
double exponentials(const T* z, std::ptrdiff_t n, T maximum, T* p) {
  constexpr int lanes = kLanes<T>;
  CompensatedSum<T> sum;
  for_groups<lanes>(z, n, [&](const T* group, std::ptrdiff_t i) {
    const Vec<T> e = exp<T>(load(group) - maximum);
    sum.add(e);
    put_group<lanes>(p, n, i, [&](T* out) { store(out, e); });
  });
  return sum.total();
}

template <class T>
void divide(T* p, std::ptrdiff_t n, T divisor) {
  constexpr int lanes = kLanes<T>;
  for_groups<lanes>(p, n, [&](const T* group, std::ptrdiff_t i) {
    const Vec<T> quotient = load(group) / divisor;
    put_group<lanes>(p, n, i, [&](T* out) { store(out, quotient); });
  });
}

template <class T>
RowFault softmax(const T* z, std::ptrdiff_t n, const RowResult<T>& result) {
  T maximum;
  const RowFault fault = find_max(z, n, &maximum);
  if (fault != RowFault::none) return fault;
  const double sum = exponentials(z, n, maximum, result.probabilities);
  divide(result.probabilities, n, static_cast<T>(sum));
  if (result.slopes != nullptr) widen_row(result.probabilities, n, result.slopes);
  if (result.conjugate != nullptr)
    *result.conjugate = static_cast<T>(static_cast<double>(maximum) + __builtin_log(sum));
  return RowFault::none;
}

// Everything about a row whose threshold is known.
template <class T, class Solution>
void evaluate(const Solution& solution, double slope_unit, const T* z, std::ptrdiff_t n, double a,
              double maximum, const RowResult<T>& result) {
  const Vec<double> lowest = broadcast(solution.lowest() - 4e-16 * __builtin_fabs(maximum));
  Vec<double> shifted = {};
  for_groups<W>(z, n, [&](const T* group, std::ptrdiff_t i) {
    const Vec<double> entries = widen(group);
    Values values = {};
    if (any_at_least(entries, lowest)) {
      values = solution(entries);
      shifted += values.p > 0 ? values.p * (entries - maximum) : Vec<double>{};
    }
    put_group<W>(result.probabilities, n, i, [&](T* out) { narrow(out, values.p); });
    if (result.slopes != nullptr) store(result.slopes + i, values.slope * slope_unit);
  });
  if (result.conjugate == nullptr) return;
  // p.z + H(p), with sum_i p_i^alpha = sum_i p_i y_i put in.
  const double gain = (solution.log_gain() + a * sum_of_lanes(shifted)) / (1 + a);
  *result.conjugate = static_cast<T>(maximum + gain);
}

template <class T, class Power>
void shallow_entmax(Power power, const T* z, std::ptrdiff_t n, double a, double maximum,
                    const double* candidates, std::ptrdiff_t count, const RowResult<T>& result) {
  Shallow<Power> solution(a, maximum, power);
  solution.solve(candidates, count);
  evaluate(solution, 1.0, z, n, a, maximum, result);
}

template <class T>
RowFault entmax(const T* z, std::ptrdiff_t n, double alpha, const RowResult<T>& result,
                double* scratch) {
  T top;
  const RowFault fault = find_max(z, n, &top);
  if (fault != RowFault::none) return fault;
  const double maximum = static_cast<double>(top), width = 1 / (alpha - 1);
  // Beyond 2^900 only the width matters: y^(1/a) is 1 for every positive y.
  const double a = alpha - 1 < 0x1p900 ? alpha - 1 : 0x1p900;
  // Rounded down, so that nothing that counts is lost; in the limit only the maximum counts.
  const double guard = 4.0 * static_cast<double>(std::numeric_limits<T>::epsilon());
  const T cut =
      width == 0 ? top : static_cast<T>(maximum - width - guard * __builtin_fabs(maximum));
  const std::ptrdiff_t count = collect(z, n, cut, scratch);
  if (a == 1) {
    shallow_entmax(Identity{}, z, n, a, maximum, scratch, count, result);
  } else if (a == 0.5) {
    shallow_entmax(Square{}, z, n, a, maximum, scratch, count, result);
  } else if (a < 1) {
    shallow_entmax(AnyPower{reciprocal(a)}, z, n, a, maximum, scratch, count, result);
  } else {
    Steep solution(a, maximum);
    solution.solve(scratch, count, scratch + n + kRowSlack);
    evaluate(solution, Steep::kSlopeUnit, z, n, a, maximum, result);
  }
  return RowFault::none;
}

// A number that at least k entries of a row reach, and few others if k is small: the k-th largest
// of the maxima of about 4 k groups.
template <class T>
T bound_of_kth(const T* z, std::ptrdiff_t n, std::ptrdiff_t k, double* scratch) {
  constexpr int lanes = kLanes<T>;
  const std::ptrdiff_t depth = n / (4 * (k > lanes ? k : lanes)), step = depth * lanes;
  if (depth < 2) return kMinusInfinity<T>;
  std::ptrdiff_t groups = 0;
  for (std::ptrdiff_t i = 0; i + step <= n; i += step) {
    Vec<T> top = load(z + i);
    for (std::ptrdiff_t j = lanes; j < step; j += lanes) top = max(load(z + i + j), top);
    for (int l = 0; l < lanes; ++l) scratch[groups++] = static_cast<double>(top[l]);
  }
  return static_cast<T>(kth_largest(scratch, groups, k).value);
}

template <class T>
RowFault topk(const T* z, std::ptrdiff_t n, std::ptrdiff_t k, const RowResult<T>& result,
              double* scratch) {
  T maximum;
  const RowFault fault = find_max(z, n, &maximum);
  if (fault != RowFault::none) return fault;
  const std::ptrdiff_t candidates = collect(z, n, bound_of_kth(z, n, k, scratch), scratch);
  const Ranked least = kth_largest(scratch, candidates, k);
  double *chosen = scratch, *places = scratch + n + kRowSlack;
  std::ptrdiff_t count = 0, ties = least.equal;
  const T lowest = static_cast<T>(least.value);
  for_groups_at_least(z, n, lowest, [&](T entry, std::ptrdiff_t place, bool kept) {
    chosen[count] = static_cast<double>(entry);
    places[count] = static_cast<double>(place);
    const bool tie = entry == lowest;
    count += kept && (!tie || ties > 0);
    ties -= tie;
  });
  const double sum = exponentials(chosen, k, static_cast<double>(maximum), chosen);
  divide(chosen, k, sum);
  for (std::ptrdiff_t i = 0; i < n; ++i) result.probabilities[i] = 0;
  for (std::ptrdiff_t i = 0; i < k; ++i)
    result.probabilities[static_cast<std::ptrdiff_t>(places[i])] = static_cast<T>(chosen[i]);
  if (result.slopes != nullptr) {
    for (std::ptrdiff_t i = 0; i < n; ++i) result.slopes[i] = 0;
    for (std::ptrdiff_t i = 0; i < k; ++i)
      result.slopes[static_cast<std::ptrdiff_t>(places[i])] = chosen[i];
  }
  if (result.conjugate != nullptr)
    *result.conjugate = static_cast<T>(static_cast<double>(maximum) + __builtin_log(sum));
  return RowFault::none;
}

// x^exponent, exponent >= 0.
Pair integer_power(Pair x, std::ptrdiff_t exponent) {
  if (exponent == 0) return Pair{broadcast(1.0), Vec<double>{}};
  std::ptrdiff_t bit = 1;
  while (bit <= exponent / 2) bit *= 2;
  Pair result = x;
  while ((bit /= 2) > 0) {
    result = result * result;
    if (exponent & bit) result = result * x;
  }
  return result;
}

// x / divisor in twice the precision, for x and divisor scaled to at most 1.
Pair quotient(Vec<double> x, double divisor) {
  const Vec<double> hi = x / divisor;
  const Pair back = two_product(hi, broadcast(divisor));
  return {hi, ((x - back.hi) - back.lo) / divisor};
}

template <class T>
RowFault polynomial(const T* z, std::ptrdiff_t n, std::ptrdiff_t power, bool rectified,
                    const RowResult<T>& result, double* scratch) {
  T* base = result.probabilities;
  for (std::ptrdiff_t i = 0; i < n; ++i) base[i] = z[i] < 0 ? (rectified ? T(0) : -z[i]) : z[i];
  T largest;
  const RowFault fault = find_max(base, n, &largest);
  if (fault != RowFault::none) return fault;
  if (largest == 0) return RowFault::all_zero;
  int exponent;
  const double divisor = __builtin_frexp(static_cast<double>(largest), &exponent);
  const double half = __builtin_ldexp(1.0, -exponent / 2);
  const double rest = __builtin_ldexp(1.0, -exponent - (-exponent / 2));
  double* lower = scratch + n + kRowSlack;
  CompensatedSum<double> sum;
  for_groups<W>(base, n, [&](const T* group, std::ptrdiff_t i) {
    const Vec<double> given = widen(group);
    const Vec<double> x = given > 0 ? given : Vec<double>{};  // the padding is negative
    const Pair ratio = quotient(x * half * rest, divisor);
    const Pair less = integer_power(ratio, power - 1), full = less * ratio;
    sum.add(full.hi + full.lo);
    store(scratch + i, full.hi + full.lo);
    store(lower + i, x > 0 ? less.hi + less.lo : Vec<double>{});
  });
  const double total = sum.total();
  const double slope = static_cast<double>(power) / total / divisor * half * rest;
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    result.probabilities[i] = static_cast<T>(scratch[i] / total);
    if (result.slopes != nullptr) result.slopes[i] = (z[i] < 0 ? -lower[i] : lower[i]) * slope;
  }
  return RowFault::none;
}

// The limit of out = s (t - shift) as one of the slopes grows to infinity: what flows into the
// others comes from that entry.
template <class T>
void infinitely_steep_jvp(const double* slopes, const T* t, std::ptrdiff_t n, double origin,
                          T* out) {
  const auto infinite = [&](std::ptrdiff_t i) {
    return slopes[i] > std::numeric_limits<double>::max();
  };
  double moment = 0, infinities = 0;
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    moment += infinite(i) ? 0 : slopes[i] * (static_cast<double>(t[i]) - origin);
    infinities += infinite(i);
  }
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    const double gap = static_cast<double>(t[i]) - origin;
    const double flow = infinite(i) && gap == 0 ? -moment / infinities : slopes[i] * gap;
    out[i] = static_cast<T>(flow);
  }
}

// out = s (t - shift), for tangents shifted by that of the largest slope: where that slope is far
// above all others, nothing cancels.
template <class T>
void symmetric_jvp(double* slopes, const T* t, std::ptrdiff_t n, T* out) {
  const Vec<double> zero = {};
  store(slopes + n, zero);
  Vec<double> top = {};
  for (std::ptrdiff_t i = 0; i < n; i += W) top = max(load(slopes + i), top);
  double largest = 0;
  for (int l = 0; l < W; ++l) largest = top[l] > largest ? top[l] : largest;
  std::ptrdiff_t steepest = 0;
  while (!any_at_least(load(slopes + steepest), broadcast(largest))) steepest += W;
  while (slopes[steepest] < largest) ++steepest;
  const double origin = static_cast<double>(t[steepest]);
  if (largest > std::numeric_limits<double>::max())
    return infinitely_steep_jvp(slopes, t, n, origin, out);
  int exponent;
  __builtin_frexp(largest, &exponent);
  const double unit = __builtin_ldexp(1.0, -exponent);  // the sums must not overflow
  Vec<double> weight = {}, moment = {};
  for_groups<W>(t, n, [&](const T* group, std::ptrdiff_t i) {
    const Vec<double> s = load(slopes + i) * unit;
    weight += s;
    moment += s > 0 ? s * (widen(group) - origin) : zero;  // the padding is infinite
  });
  const double mean = sum_of_lanes(moment) / sum_of_lanes(weight);
  for_groups<W>(t, n, [&](const T* group, std::ptrdiff_t i) {
    const Vec<double> change = load(slopes + i) * ((widen(group) - origin) - mean);
    put_group<W>(out, n, i, [&](T* to) { narrow(to, change); });
  });
}

template <class T>
void polynomial_jvp(double* slopes, const T* probabilities, const T* t, std::ptrdiff_t n, T* out) {
  const Vec<double> zero = {};
  store(slopes + n, zero);
  CompensatedSum<double> sum;
  for_groups<W>(t, n, [&](const T* group, std::ptrdiff_t i) {
    const Vec<double> s = load(slopes + i);
    const Vec<double> gain = s != 0 ? s * widen(group) : zero;  // the padding is infinite
    store(slopes + i, gain);
    sum.add(gain);
  });
  const double flow = sum.total();
  for_groups<W>(probabilities, n, [&](const T* group, std::ptrdiff_t i) {
    const Vec<double> change = load(slopes + i) - widen(group) * flow;
    put_group<W>(out, n, i, [&](T* to) { narrow(to, change); });
  });
}

template <class T>
constexpr SeparationKernels<T> kernels_of() {
  return {softmax<T>, entmax<T>, topk<T>, polynomial<T>, symmetric_jvp<T>, polynomial_jvp<T>};
}

}  // namespace

const SeparationTable separation = {kernels_of<float>(), kernels_of<double>()};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
