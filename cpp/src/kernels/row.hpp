// Passes over one row of numbers: its maximum, the entries above a cut, functions of its entries.
#pragma once

#include <limits>

#include "separation_table.hpp"
#include "simd.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

template <class T>
inline constexpr T kMinusInfinity = -std::numeric_limits<T>::infinity();

// Whether any lane of x is at least that of y.
inline bool any_at_least(Vec<float> x, Vec<float> y) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask(x, y, _CMP_GE_OQ) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_ps(_mm256_cmp_ps(x, y, _CMP_GE_OQ)) != 0;
#elif defined(HOPFIX_X86_64)
  return _mm_movemask_ps(_mm_cmpge_ps(x, y)) != 0;
#else
  for (int l = 0; l < kLanes<float>; ++l)
    if (x[l] >= y[l]) return true;
  return false;
#endif
}

inline bool any_at_least(Vec<double> x, Vec<double> y) {
#if defined(__AVX512F__)
  return _mm512_cmp_pd_mask(x, y, _CMP_GE_OQ) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_pd(_mm256_cmp_pd(x, y, _CMP_GE_OQ)) != 0;
#elif defined(HOPFIX_X86_64)
  return _mm_movemask_pd(_mm_cmpge_pd(x, y)) != 0;
#else
  for (int l = 0; l < kLanes<double>; ++l)
    if (x[l] >= y[l]) return true;
  return false;
#endif
}

// The numbers of a vector, rounded to the type of p.
inline void narrow(double* p, Vec<double> v) { store(p, v); }
inline void narrow(float* p, Vec<double> v) {
  typedef float Half __attribute__((vector_size(HOPFIX_VECTOR_BYTES / 2)));
  const Half half = __builtin_convertvector(v, Half);
  std::memcpy(p, &half, sizeof half);
}

// each(pointer, index) for whole groups of `lanes` entries; the last group is a copy padded with
// -inf. Returns through `each` only: nothing is written back.
template <int lanes, class T, class Each>
inline void for_groups(const T* z, std::ptrdiff_t n, const Each& each) {
  std::ptrdiff_t i = 0;
  for (; i + lanes <= n; i += lanes) each(z + i, i);
  if (i == n) return;
  T tail[lanes];
  for (int l = 0; l < lanes; ++l) tail[l] = i + l < n ? z[i + l] : kMinusInfinity<T>;
  each(tail, i);
}

// Stores the first min(lanes, n - i) of `lanes` numbers at out + i; `write` stores all at a
// pointer.
template <int lanes, class T, class Write>
inline void put_group(T* out, std::ptrdiff_t n, std::ptrdiff_t i, const Write& write) {
  if (i + lanes <= n) return write(out + i);
  T tail[lanes];
  write(tail);
  std::memcpy(out + i, tail, static_cast<std::size_t>(n - i) * sizeof(T));
}

// Finds the maximum; -inf is allowed in a row, but not only that, and neither NaN nor +inf.
template <class T>
inline RowFault find_max(const T* z, std::ptrdiff_t n, T* maximum) {
  constexpr int kChains = 4, lanes = kLanes<T>;
  Vec<T> top[kChains], nan[kChains] = {};
  for (Vec<T>& t : top) t = broadcast(kMinusInfinity<T>);
  for_groups<kChains * lanes>(z, n, [&](const T* group, std::ptrdiff_t) {
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) {
      const Vec<T> x = load(group + c * lanes);
      top[c] = max(x, top[c]);
      nan[c] = x == x ? nan[c] : broadcast(T(1));
    }
  });
  const Vec<T> tops = max(max(top[0], top[1]), max(top[2], top[3]));
  const Vec<T> nans = (nan[0] + nan[1]) + (nan[2] + nan[3]);
  T best = kMinusInfinity<T>, found = 0;
  for (int l = 0; l < lanes; ++l) {
    best = tops[l] > best ? tops[l] : best;
    found += nans[l];
  }
  if (found > 0 || best == -kMinusInfinity<T>) return RowFault::not_finite;
  if (best == kMinusInfinity<T>) return RowFault::all_minus_infinity;
  *maximum = best;
  return RowFault::none;
}

// each(entry, place, kept) for the entries of all groups in which any is >= cut, in order; kept:
// the entry itself is.
template <class T, class Each>
inline void for_groups_at_least(const T* z, std::ptrdiff_t n, T cut, const Each& each) {
  for_groups<kLanes<T>>(z, n, [&](const T* group, std::ptrdiff_t i) {
    if (!any_at_least(load(group), broadcast(cut))) return;
    const std::ptrdiff_t size = n - i < kLanes<T> ? n - i : kLanes<T>;
    for (std::ptrdiff_t l = 0; l < size; ++l) each(group[l], i + l, group[l] >= cut);
  });
}

// Copies the entries >= cut, in order, and pads them with -inf to whole vectors. Returns their
// number. `out` has room for n + kLanes<double> numbers.
template <class T>
inline std::ptrdiff_t collect(const T* z, std::ptrdiff_t n, T cut, double* out) {
  std::ptrdiff_t count = 0;
  for_groups_at_least(z, n, cut, [&](T entry, std::ptrdiff_t, bool kept) {
    out[count] = static_cast<double>(entry);
    count += kept;
  });
  for (int l = 0; l < kLanes<double>; ++l) out[count + l] = kMinusInfinity<double>;
  return count;
}

// Medians of three values at places that any fixed sequence makes unlikely to be bad ones.
class Pivots {
 public:
  double operator()(const double* values, std::ptrdiff_t n) {
    const double a = values[place(n)], b = values[place(n)], c = values[place(n)];
    return a < b ? (b < c ? b : (a < c ? c : a)) : (a < c ? a : (b < c ? c : b));
  }

 private:
  std::ptrdiff_t place(std::ptrdiff_t n) {
    random_ = random_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::ptrdiff_t>((random_ >> 33) % static_cast<std::uint64_t>(n));
  }

  std::uint64_t random_ = 1;
};

// The smallest of `count` > 0 values that is kept, given that the largest one is and that a value
// is kept if a smaller one is. Expected O(count) and O(log count) calls of kept(value).
// `undecided` is scratch for count + kLanes<double> numbers.
template <class Kept>
inline double smallest_kept(const double* values, std::ptrdiff_t count, double maximum,
                            double* undecided, const Kept& kept) {
  double lowest = maximum;
  Pivots pick;
  std::ptrdiff_t left = 0;
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    undecided[left] = values[i];
    left += values[i] < maximum;
  }
  while (left > 0) {
    const double pivot = pick(undecided, left);
    const bool keep = kept(pivot);
    if (keep) lowest = pivot;
    std::ptrdiff_t next = 0;
    for (std::ptrdiff_t i = 0; i < left; ++i) {
      const double value = undecided[i];
      undecided[next] = value;
      next += keep ? value < pivot : value > pivot;
    }
    left = next;
  }
  return lowest;
}

// Moves the values that belong to the front, and returns their number.
template <class Belongs>
inline std::ptrdiff_t partition(double* values, std::ptrdiff_t count, const Belongs& belongs) {
  std::ptrdiff_t front = 0;
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const double value = values[i];
    values[i] = values[front];
    values[front] = value;
    front += belongs(value);
  }
  return front;
}

struct Ranked {
  double value;
  std::ptrdiff_t equal;  // how many of the k largest equal it
};

// The k-th largest of `count` values, 1 <= k <= count, which are put in another order. Expected
// O(count).
inline Ranked kth_largest(double* values, std::ptrdiff_t count, std::ptrdiff_t k) {
  Pivots pick;
  for (;;) {
    const double pivot = pick(values, count);
    const std::ptrdiff_t above = partition(values, count, [&](double x) { return x > pivot; });
    if (k <= above) {
      count = above;
      continue;
    }
    values += above;
    count -= above;
    k -= above;
    const std::ptrdiff_t below = partition(values, count, [&](double x) { return x < pivot; });
    if (k <= count - below) return {pivot, k};
    k -= count - below;
    count = below;
  }
}

}  // namespace hopfix::kernels::HOPFIX_LEVEL
