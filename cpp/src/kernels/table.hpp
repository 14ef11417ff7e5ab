// The functions that exist once per instruction-set level, and how the core calls them.
//
// Only raw pointers and strides cross this boundary: a container here would be compiled at every
// level and the linker would keep one copy of its members, possibly one that this CPU cannot run.
//
// Queries travel in tiles: element k of query b sits at tile[k * lanes + b], so that one vector
// holds the same element of neighbouring queries. Every sum runs in an order fixed by the number
// of patterns and the dimension alone; a query's result never depends on its neighbours.
#pragma once

#include <cstddef>
#include <cstdint>

#include "association_table.hpp"
#include "attention_table.hpp"
#include "binary_table.hpp"
#include "derivative_table.hpp"
#include "panel_table.hpp"
#include "screen_table.hpp"
#include "separation_table.hpp"
#include "similarity_table.hpp"

namespace hopfix::kernels {

// Rows of patterns, row i at data + i * stride, with optional log-weights (nullptr: all zero) and
// one more optional number for each, of which an average is wanted, too.
template <class T>
struct PatternBlock {
  const T* data;
  std::ptrdiff_t stride;
  std::ptrdiff_t count;
  std::ptrdiff_t dim;
  const T* log_weights;
  const T* extra = nullptr;
  // Rows that lie behind these, and will be asked for next.
  std::ptrdiff_t following = 0;
};

// A softmax average under way: per lane the running maximum of the logits, the sum of
// exp(logit - max) (both of `width` numbers, see TileKernels), and (unless mean is nullptr) the
// sums of exp(logit - max) x, dim * lanes, and (unless extra is nullptr) those of exp(logit - max)
// times the block's extra numbers, `width`.
template <class T>
struct SoftmaxSums {
  T* max;
  T* sum;
  T* mean;
  T* extra = nullptr;
};

// The same with a tangent t per lane, y = x . t and m the mean of y under the softmax: sums of
// exp(logit - max) (y - m) x in `derivative`. `mean` is needed for a merge alone.
template <class T>
struct TangentSums {
  T* max;
  T* sum;
  T* mean_product;
  T* derivative;
  T* mean;
};

// Patterns are processed in groups of this many rows, the last of which may be longer, since every
// group costs a walk over the averages; scratch holds kMostGroupRows of `width`.
inline constexpr std::ptrdiff_t kGroupRows = 96;
inline constexpr std::ptrdiff_t kMostGroupRows = kGroupRows + kGroupRows / 2;
inline constexpr std::ptrdiff_t kTileSlack = 16;
// Shapes per level, for 1, up to 4, and one or two vectors of queries.
inline constexpr int kTileShapes = 4;

// The functions of one tile shape. Arrays of dim * lanes or rows * lanes may be read and written
// up to kTileSlack numbers beyond their end.
template <class T>
struct TileKernels {
  std::ptrdiff_t lanes;
  // Numbers per lane are kept `width` >= lanes long, repeating after `lanes`.
  std::ptrdiff_t width;

  // tile[k * lanes + b] = factor rows[b * dim + k]; lanes b >= count become zero.
  void (*pack)(const T* rows, std::ptrdiff_t count, std::ptrdiff_t dim, T factor, T* tile);
  // rows[b * dim + k] = tile[k * lanes + b] / divisor[b] for b < count.
  void (*unpack)(const T* tile, const T* divisor, std::ptrdiff_t count, std::ptrdiff_t dim,
                 T* rows);
  // sums (+)= the patterns of the block. `queries` is already multiplied by beta.
  void (*accumulate)(const PatternBlock<T>& block, const T* queries, const SoftmaxSums<T>& sums,
                     T* scratch);
  // into := the softmax average of the union of both.
  void (*merge)(const SoftmaxSums<T>& into, const SoftmaxSums<T>& other, std::ptrdiff_t dim);
  // weights[i * lanes + b] = exp(logit - max) / sum.
  void (*weights)(const PatternBlock<T>& block, const T* queries, const SoftmaxSums<T>& sums,
                  T* weights);
  // sums := those of the block; scratch holds tangent_scratch(block.count) numbers.
  void (*tangent)(const PatternBlock<T>& block, const T* queries, const T* tangents,
                  const TangentSums<T>& sums, T* scratch);
  std::ptrdiff_t (*tangent_scratch)(std::ptrdiff_t rows);
  // into := the sums of the union of both.
  void (*merge_tangent)(const TangentSums<T>& into, const TangentSums<T>& other,
                        std::ptrdiff_t dim);
};

// Dense linear algebra in double precision, row-major. The order of every sum depends on shapes
// only, not on where the arrays lie in memory.
struct DenseKernels {
  // y (m) = a x for a of m x k.
  void (*matrix_vector)(const double* a, const double* x, std::ptrdiff_t m, std::ptrdiff_t k,
                        double* y);
  // y (k) = a^T x for a of m x k.
  void (*vector_matrix)(const double* x, const double* a, std::ptrdiff_t m, std::ptrdiff_t k,
                        double* y);
  // c (m x n) = a b for a of m x k and b of k x n.
  void (*product)(const double* a, const double* b, std::ptrdiff_t m, std::ptrdiff_t k,
                  std::ptrdiff_t n, double* c);
  // c = a^T a (k x k), and c = a a^T (n x n), for a of n x k; both triangles written.
  void (*gram_columns)(const double* a, std::ptrdiff_t n, std::ptrdiff_t k, double* c);
  void (*gram_rows)(const double* a, std::ptrdiff_t n, std::ptrdiff_t k, double* c);
  // Eigenvalues of the symmetric a (n x n), ascending; eigenvectors as the columns of `vectors`
  // unless that is nullptr. Returns false when the iteration did not converge.
  bool (*symmetric_eigen)(const double* a, std::ptrdiff_t n, double* values, double* vectors);
  // a = l l^T for the symmetric a (n x n), overwritten by the lower triangular l; false where a is
  // not positive definite.
  bool (*cholesky)(double* a, std::ptrdiff_t n);
  // Solves a x = b by LU with partial pivoting; b is overwritten by x. The second one returns an
  // estimate of the smallest singular value of a, in the 1-norm: 1 / |a^-1|.
  void (*solve)(const double* a, std::ptrdiff_t n, double* b);
  double (*solve_estimating)(const double* a, std::ptrdiff_t n, double* b);
};

// exp of `count` numbers <= 0, for the accuracy test.
template <class T>
using ExpFunction = void (*)(const T* x, T* y, std::ptrdiff_t count);

struct Table {
  const char* level;
  // kTileShapes of each.
  const TileKernels<float>* tile32;
  const TileKernels<double>* tile64;
  const ScreenKernels* screen;
  const DenseKernels* dense;
  const DerivativeTable* derivatives;
  const SeparationTable* separation;
  const SimilarityTable* similarity;
  // kAttentionShapes of them.
  const AttentionKernels* attention;
  const PanelTable* panels;
  const BinaryKernels* binary;
  const AssociationTable* association;
  ExpFunction<float> exp32;
  ExpFunction<double> exp64;
  ExpFunction<float> tanh32;  // of any numbers
  ExpFunction<double> tanh64;
};

}  // namespace hopfix::kernels
