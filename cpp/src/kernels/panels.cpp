// Products of panel matrices, and losses over the pairs of a Gram matrix; see panel_table.hpp.
#include <Eigen/QR>

#include "exp.hpp"
#include "level.hpp"
#include "tile_product.hpp"
#include "transpose.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

namespace {

constexpr int kVectors = 2;  // per row of a panel
template <class T>
constexpr std::ptrdiff_t kPanelLanes = kVectors * kLanes<T>;

// Rows of C in registers: must divide the lanes.
#if defined(__AVX512F__)
constexpr int kBlockRows = 8;
#else
constexpr int kBlockRows = 4;
#endif

template <class T>
struct AddMultiple {
  Vec<T> factor;
  void operator()(T* c, Vec<T> product, int) const { store(c, fma(factor, product, load(c))); }
};

template <class T>
void add_product(const T* p, const T* q, std::ptrdiff_t depth, T factor, T* c) {
  constexpr std::ptrdiff_t lanes = kPanelLanes<T>;
  const AddMultiple<T> finish{broadcast(factor)};
  for (std::ptrdiff_t i = 0; i < lanes; i += kBlockRows)
    row_block<T, kVectors, kBlockRows, false>(p + i, 1, lanes, depth, q, c + i * lanes, finish);
}

template <class T>
void transpose_block(const T* block, T* out) {
  constexpr std::ptrdiff_t W = kLanes<T>, lanes = kPanelLanes<T>;
  for (std::ptrdiff_t i = 0; i < lanes; i += W)
    for (std::ptrdiff_t j = 0; j < lanes; j += W) {
      Vec<T> square[W];
      load_transposed<T>(block + i * lanes + j, lanes, W, W, square);
#pragma GCC unroll 16
      for (std::ptrdiff_t r = 0; r < W; ++r) store(out + (j + r) * lanes + i, square[r]);
    }
}

// count: a multiple of the lanes, as of all whole panel matrices.
template <class T>
void add_scaled(T a, const T* x, T* y, std::ptrdiff_t count) {
  const Vec<T> factor = broadcast(a);
  for (std::ptrdiff_t i = 0; i < count; i += kLanes<T>)
    store(y + i, fma(factor, load(x + i), load(y + i)));
}

template <class T>
double dot_product(const T* x, const T* y, std::ptrdiff_t count) {
  constexpr std::ptrdiff_t W = kLanes<double>;
  Vec<double> sum[2] = {};
  for (std::ptrdiff_t i = 0; i < count; i += 2 * W)
    for (int v = 0; v < 2; ++v) sum[v] = fma(widen(x + i + v * W), widen(y + i + v * W), sum[v]);
  const Vec<double> all = sum[0] + sum[1];
  double total = 0;
  for (int l = 0; l < W; ++l) total += all[l];
  return total;
}

template <class T, bool Square>
inline Vec<T> exponent_of(Vec<T> s, Vec<T> squares, Vec<T> t) {
  const Vec<T> none = broadcast(-static_cast<T>(__builtin_inf()));
  if constexpr (Square) {
    const Vec<T> e = (t + t) * (s * s - broadcast(T(1)));
    return s == s ? e : none;
  } else {
    const Vec<T> e = -t * max(squares - (s + s), Vec<T>{});
    return s == s ? e : none;
  }
}

// visit(place, v, s, squares, units) for the vectors of some rows of a panel: s in the units of the
// rule, the sum of the squares of both features, and 1 / (|phi_i| |phi_j|).
template <class T, class Visit>
inline void for_pairs(const PairScales<T>& scales, const T* panel, std::ptrdiff_t begin,
                      std::ptrdiff_t end, std::ptrdiff_t first, const Visit& visit) {
  constexpr std::ptrdiff_t W = kLanes<T>;
  Vec<T> inverse[kVectors], squares[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    inverse[v] = load(scales.inverse + first + v * W);
    squares[v] = load(scales.squares + first + v * W);
  }
  for (std::ptrdiff_t i = begin; i < end; ++i) {
    const Vec<T> own_inverse = broadcast(scales.inverse[i]);
    const Vec<T> own_square = broadcast(scales.squares[i]);
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      const std::ptrdiff_t place = i * kPanelLanes<T> + v * W;
      const Vec<T> units = own_inverse * inverse[v];
      visit(place, v, load(panel + place) * units, own_square + squares[v], units);
    }
  }
}

template <class T, bool Square>
T largest(const PairRule& rule, const PairScales<T>& scales, const T* panel, std::ptrdiff_t rows,
          std::ptrdiff_t first) {
  const Vec<T> t = broadcast(static_cast<T>(rule.t));
  Vec<T> top[kVectors];
  for (Vec<T>& each : top) each = broadcast(-static_cast<T>(__builtin_inf()));
  for_pairs<T>(scales, panel, 0, rows, first,
               [&](std::ptrdiff_t, int v, Vec<T> s, Vec<T> squares, Vec<T>) {
                 top[v] = max(exponent_of<T, Square>(s, squares, t), top[v]);
               });
  const Vec<T> all = max(top[0], top[1]);
  T result = all[0];
  for (int l = 1; l < kLanes<T>; ++l) result = all[l] > result ? all[l] : result;
  return result;
}

template <class T>
T largest_exponent(const PairRule& rule, const PairScales<T>& scales, const T* panel,
                   std::ptrdiff_t rows, std::ptrdiff_t first) {
  const auto run =
      rule.exponent == PairRule::Exponent::square ? largest<T, true> : largest<T, false>;
  return run(rule, scales, panel, rows, first);
}

// Sums of at most so many numbers are formed in T; these are added up in double.
constexpr std::ptrdiff_t kShortSum = 32;

template <class T, bool Square, bool Normalized>
void weigh(const PairRule& rule, const PairScales<T>& scales, T top, T* panel, std::ptrdiff_t rows,
           std::ptrdiff_t first, double* weight, double* own) {
  constexpr std::ptrdiff_t W = kLanes<T>;
  const Vec<T> t = broadcast(static_cast<T>(rule.t)), shift = broadcast(top);
  const Vec<T> factor = Square ? t + t + t + t : t + t;
  for (std::ptrdiff_t l = 0; l < kPanelLanes<T>; ++l) weight[l] = own[l] = 0;
  for (std::ptrdiff_t begin = 0; begin < rows; begin += kShortSum) {
    const std::ptrdiff_t end = begin + kShortSum < rows ? begin + kShortSum : rows;
    Vec<T> weights[kVectors] = {}, owns[kVectors] = {};
    for_pairs<T>(scales, panel, begin, end, first,
                 [&](std::ptrdiff_t place, int v, Vec<T> s, Vec<T> squares, Vec<T> units) {
                   const Vec<T> w = exp<T>(exponent_of<T, Square>(s, squares, t) - shift);
                   const Vec<T> known = s == s ? s : Vec<T>{};
                   const Vec<T> c = Square ? factor * w * known : factor * w;
                   weights[v] += w;
                   if constexpr (Normalized)
                     owns[v] = fma(c, known, owns[v]);
                   else if constexpr (!Square)
                     owns[v] += c;
                   store(panel + place, c * units);
                 });
    for (int v = 0; v < kVectors; ++v)
      for (std::ptrdiff_t l = 0; l < W; ++l) {
        weight[v * W + l] += static_cast<double>(weights[v][l]);
        own[v * W + l] += static_cast<double>(owns[v][l]);
      }
  }
}

template <class T>
void coefficients(const PairRule& rule, const PairScales<T>& scales, T top, T* panel,
                  std::ptrdiff_t rows, std::ptrdiff_t first, double* weight, double* own) {
  const auto run = rule.exponent == PairRule::Exponent::square
                       ? (rule.normalized ? weigh<T, true, true> : weigh<T, true, false>)
                       : (rule.normalized ? weigh<T, false, true> : weigh<T, false, false>);
  run(rule, scales, top, panel, rows, first, weight, own);
}

// Eigen's matrices are aligned, which mapped memory need not be: see dense.cpp.
template <class T>
void lq(T* a, std::ptrdiff_t rows, std::ptrdiff_t dim, T* l) {
  using Columns = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;
  Eigen::Map<Columns> given(a, dim, rows), lower(l, rows, rows);
  const Eigen::HouseholderQR<Columns> qr(given);
  lower = qr.matrixQR().topRows(rows).template triangularView<Eigen::Upper>();
  Columns q = Columns::Identity(dim, rows);
  q.applyOnTheLeft(qr.householderQ());
  given = q;
}

template <class T>
constexpr PanelKernels<T> kernels_of() {
  return {kPanelLanes<T>, add_product<T>,      transpose_block<T>, add_scaled<T>,
          dot_product<T>, largest_exponent<T>, coefficients<T>,    lq<T>};
}

}  // namespace

const PanelTable panels = {kernels_of<float>(), kernels_of<double>()};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
