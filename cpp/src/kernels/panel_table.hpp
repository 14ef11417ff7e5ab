// The kernels of matrices in panels of one instruction-set level, and of losses over pairs.
//
// A panel matrix (rows x cols) is cut into panels of `lanes` columns: element (r, c) lies at
// panel[c / lanes][r * lanes + c % lanes], rows and columns padded with zeros to whole blocks of
// lanes x lanes. Every product in use here has the form C = P^T Q with P and Q of equally many
// rows, the depth: then both operands are read in the order in which they lie and nothing is
// packed.
#pragma once

#include <cstddef>

namespace hopfix::kernels {

// Exponents of pairs with inner product s (of unit features where normalised):
//   distance  -t max(0, square_i + square_j - 2 s), squares 1 where normalised
//   square    2 t (s^2 - 1)
// NaN stands for what is no pair: the diagonal, and the padding.
struct PairRule {
  enum class Exponent { distance, square };
  Exponent exponent;
  bool normalized;
  double t;
};

// Numbers per feature vector, padded to whole panels: inverse = 1 / |phi| and squares = 1 where
// normalised, else inverse = 1 and squares = |phi|^2.
template <class T>
struct PairScales {
  const T* inverse;
  const T* squares;
};

template <class T>
struct PanelKernels {
  std::ptrdiff_t lanes;
  // c (lanes x lanes) += factor times the sum over k < depth of p[k * lanes + i] q[k * lanes + j].
  void (*add_product)(const T* p, const T* q, std::ptrdiff_t depth, T factor, T* c);
  // The transpose of a block.
  void (*transpose)(const T* block, T* out);
  // y += a x.
  void (*add_scaled)(T a, const T* x, T* y, std::ptrdiff_t count);
  // sum of x y in double precision.
  double (*dot)(const T* x, const T* y, std::ptrdiff_t count);
  // The largest exponent of the pairs of a panel of the Gram matrix: its first lane is feature
  // `first`. -inf if there are none.
  T (*largest_exponent)(const PairRule& rule, const PairScales<T>& scales, const T* panel,
                        std::ptrdiff_t rows, std::ptrdiff_t first);
  // With weights w = exp(exponent - top) replaces s by the coefficient of feature i in the
  // gradient by feature j: c / (|phi_i| |phi_j|), c = 2 t w or 4 t s w; zero for what is no pair.
  // Per lane, sums of w in `weight` and, in `own`, of the c s (normalised), c (distance) or 0.
  void (*coefficients)(const PairRule& rule, const PairScales<T>& scales, T top, T* panel,
                       std::ptrdiff_t rows, std::ptrdiff_t first, double* weight, double* own);
  // a (rows x dim, row-major, rows <= dim) = l q with l (rows x rows) lower triangular and the rows
  // of q orthonormal, which overwrite a. Householder's method: l l^T = a a^T to a few ulp of its
  // norm, whatever the rank.
  void (*lq)(T* a, std::ptrdiff_t rows, std::ptrdiff_t dim, T* l);
};

struct PanelTable {
  PanelKernels<float> f32;
  PanelKernels<double> f64;
};

}  // namespace hopfix::kernels
