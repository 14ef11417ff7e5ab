// The softmax average of one state and the covariance of the patterns under it.
//
// The covariance is a sum of squares of centred, weighted rows a_i = sqrt(scale e_i) (x_i - mean).
// Rows are built group by group in panels: row k of panel j, its columns from j * lanes on, lies
// at panels[(j * kPanelRows + k) * lanes]. A group stays in the L1 or L2 cache while the blocks of
// the lower triangle, lanes x lanes each, are updated with it; the upper one is never computed.
#pragma once

#include "exp.hpp"
#include "few_queries.hpp"
#include "pair.hpp"
#include "table.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

template <class T>
struct Covariance {
  static constexpr std::ptrdiff_t W = kLanes<T>;
  static constexpr std::ptrdiff_t lanes = 2 * W;
  // Rows of C held in registers beside two vectors of columns; divides `lanes` at every level.
#if defined(__AVX512F__)
  static constexpr int R = 8;
#else
  static constexpr int R = 4;
#endif

  // A vector of partial sums for each of W rows, which a transpose turns into W sums.
  static void logits(const PatternBlock<T>& block, const T* query, T* z) {
    for (std::ptrdiff_t i = 0; i < block.count; i += W) {
      const std::ptrdiff_t height = least(W, block.count - i);
      Vec<T> partial[W] = {};
      for (std::ptrdiff_t r = 0; r < height; ++r)
        partial[r] = partial_sums(block.data + (i + r) * block.stride, query, block.dim);
      transpose<T>(partial);
      for (std::ptrdiff_t step = W / 2; step > 0; step /= 2)
        for (std::ptrdiff_t l = 0; l < step; ++l) partial[l] += partial[l + step];
      std::memcpy(z + i, &partial[0], static_cast<std::size_t>(height) * sizeof(T));
    }
    if (block.log_weights == nullptr) return;
    for (std::ptrdiff_t i = 0; i < block.count; ++i) z[i] += block.log_weights[i];
  }

  // Sums of exponentials below one and equal to one (the largest) are kept apart: `others`, the
  // sum without the largest, is then exact to rounding however small it is.
  static SoftmaxTotals exponentiate(T* z, std::ptrdiff_t count) {
    for (std::ptrdiff_t i = count; i % W != 0; ++i) z[i] = -__builtin_huge_valf();
    Vec<T> top = load(z);
    for (std::ptrdiff_t i = W; i < count; i += W) top = max(load(z + i), top);
    T largest = top[0];
    for (std::ptrdiff_t l = 1; l < W; ++l) largest = top[l] > largest ? top[l] : largest;
    const Vec<T> zero = {}, one = broadcast(T(1));
    Vec<T> below = {}, ones = {};
    for (std::ptrdiff_t i = 0; i < count; i += W) {
      const Vec<T> e = exp<T>(load(z + i) - broadcast(largest));
      store(z + i, e);
      below += e < one ? e : zero;
      ones += e < one ? zero : e;
    }
    double sum_below = 0, sum_ones = 0;
    for (std::ptrdiff_t l = 0; l < W; ++l) {
      sum_below += static_cast<double>(below[l]);
      sum_ones += static_cast<double>(ones[l]);
    }
    return {sum_below + sum_ones, sum_below + (sum_ones - 1)};
  }

  static void weighted_sum(const PatternBlock<T>& block, const T* weights, T* sum) {
    std::ptrdiff_t k = 0;
    for (; k + 4 * W <= block.dim; k += 4 * W) add_weighted<4>(block, weights, k, sum);
    for (; k + W <= block.dim; k += W) add_weighted<1>(block, weights, k, sum);
    for (; k < block.dim; ++k)
      for (std::ptrdiff_t i = 0; i < block.count; ++i)
        sum[k] += weights[i] * block.data[i * block.stride + k];
  }

  static std::ptrdiff_t packed_size(std::ptrdiff_t dim) {
    const std::ptrdiff_t panels = (dim + lanes - 1) / lanes;
    return panels * (panels + 1) / 2 * lanes * lanes;
  }

  static std::ptrdiff_t scratch_size(std::ptrdiff_t dim) {
    return (dim + lanes - 1) / lanes * lanes * kPanelRows;
  }

  static void accumulate(const PatternBlock<T>& block, const T* mean,
                         const WeightedRows<T>& weights, T* panels, T* packed) {
    const T root_scale = static_cast<T>(__builtin_sqrt(weights.scale));
    std::ptrdiff_t filled = 0;
    for (std::ptrdiff_t first = 0; first < block.count; first += kPanelRows) {
      const std::ptrdiff_t rows = least(kPanelRows, block.count - first);
      T root[kPanelRows];
      for (std::ptrdiff_t i = 0; i < rows; ++i)
        root[i] = root_scale * square_root(weights.e[first + i]);
      for (std::ptrdiff_t i = 0; i < rows; ++i) {
        if (weights.e[first + i] <= weights.threshold) continue;
        centre(block.data + (first + i) * block.stride, mean, block.dim, root[i],
               panels + filled * lanes);
        if (++filled < kPanelRows) continue;
        add_products(panels, filled, block.dim, packed);
        filled = 0;
      }
    }
    if (filled > 0) add_products(panels, filled, block.dim, packed);
  }

  static void apply(const PatternBlock<T>& block, const T* mean, const WeightedRows<T>& weights,
                    const double* v, double* y) {
    constexpr int kTogether = 8;
    const T* rows[kTogether];
    double scales[kTogether];
    int filled = 0;
    for (std::ptrdiff_t i = 0; i < block.count; ++i) {
      if (weights.e[i] <= weights.threshold) continue;
      rows[filled] = block.data + i * block.stride;
      scales[filled] = weights.scale * static_cast<double>(weights.e[i]);
      if (++filled < kTogether) continue;
      add_normal<kTogether>(rows, scales, mean, block.dim, v, y);
      filled = 0;
    }
    for (int r = 0; r < filled; ++r) add_normal<1>(rows + r, scales + r, mean, block.dim, v, y);
  }

  // out (dim x dim) from the packed lower triangle.
  static void unpack(const T* packed, std::ptrdiff_t dim, T* out) {
    for (std::ptrdiff_t first = 0; first < dim; first += lanes)
      for (std::ptrdiff_t column = 0; column <= first; column += lanes, packed += lanes * lanes)
        for (std::ptrdiff_t r = first; r < dim && r < first + lanes; ++r) {
          const T* from = packed + (r - first) * lanes;
          if (column < first)
            std::memcpy(out + r * dim + column, from, sizeof(T) * lanes);
          else
            for (std::ptrdiff_t k = column; k <= r; ++k) out[r * dim + k] = from[k - column];
        }
    for (std::ptrdiff_t first = 0; first < dim; first += W)
      for (std::ptrdiff_t column = 0; column <= first; column += W)
        if (column < first && first + W <= dim)
          mirror(out + first * dim + column, dim, out + column * dim + first);
        else
          for (std::ptrdiff_t r = first; r < dim && r < first + W; ++r)
            for (std::ptrdiff_t k = column; k < r && k < column + W; ++k)
              out[k * dim + r] = out[r * dim + k];
  }

  static constexpr CovarianceKernels<T> kernels() {
    return {logits,       exponentiate, weighted_sum, packed_size,
            scratch_size, accumulate,   apply,        unpack};
  }

 private:
  // to = the transpose of a square of W x W.
  static void mirror(const T* from, std::ptrdiff_t dim, T* to) {
    Vec<T> square[W];
    load_transposed<T>(from, dim, W, W, square);
    for (std::ptrdiff_t r = 0; r < W; ++r) store(to + r * dim, square[r]);
  }

  // The products x_k q_k, added up lane by lane; `query` is zero from dim on.
  static Vec<T> partial_sums(const T* x, const T* query, std::ptrdiff_t dim) {
    Vec<T> sum = {};
    std::ptrdiff_t k = 0;
    for (; k + W <= dim; k += W) sum = fma(load(x + k), load(query + k), sum);
    if (k == dim) return sum;
    T tail[W] = {};
    for (std::ptrdiff_t l = 0; k + l < dim; ++l) tail[l] = x[k + l];
    return fma(load(tail), load(query + k), sum);
  }

  // V vectors of columns from k on; each element a chain over ascending i.
  template <int V>
  static void add_weighted(const PatternBlock<T>& block, const T* weights, std::ptrdiff_t k,
                           T* sum) {
    Vec<T> total[V];
    for (int v = 0; v < V; ++v) total[v] = load(sum + k + v * W);
    for (std::ptrdiff_t i = 0; i < block.count; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v)
        total[v] =
            fma(broadcast(weights[i]), load(block.data + i * block.stride + k + v * W), total[v]);
    for (int v = 0; v < V; ++v) store(sum + k + v * W, total[v]);
  }

  // y += sum_r scale_r a_r (a_r . v) for some centred rows a_r.
  template <int Rows>
  static void add_normal(const T* const* rows, const double* scales, const T* mean,
                         std::ptrdiff_t dim, const double* v, double* y) {
    constexpr std::ptrdiff_t wide = kLanes<double>;
    const auto centred = [&](int r, std::ptrdiff_t k) {
      return static_cast<double>(rows[r][k]) - static_cast<double>(mean[k]);
    };
    Vec<double> sum[Rows] = {};
    double product[Rows];
    std::ptrdiff_t k = 0;
    for (; k + wide <= dim; k += wide) {
      const Vec<double> vk = load(v + k), mk = widen(mean + k);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) sum[r] = fma(widen(rows[r] + k) - mk, vk, sum[r]);
    }
    for (int r = 0; r < Rows; ++r) {
      product[r] = sum_of_lanes(sum[r]);
      for (std::ptrdiff_t j = k; j < dim; ++j) product[r] += centred(r, j) * v[j];
      product[r] *= scales[r];
    }
    for (k = 0; k + wide <= dim; k += wide) {
      const Vec<double> mk = widen(mean + k);
      Vec<double> yk = load(y + k);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) yk = fma(broadcast(product[r]), widen(rows[r] + k) - mk, yk);
      store(y + k, yk);
    }
    for (; k < dim; ++k)
      for (int r = 0; r < Rows; ++r) y[k] += product[r] * centred(r, k);
  }

  static float square_root(float x) { return __builtin_sqrtf(x); }
  static double square_root(double x) { return __builtin_sqrt(x); }

  // One row of every panel; columns beyond dim become zero.
  static void centre(const T* x, const T* mean, std::ptrdiff_t dim, T root, T* row) {
    for (std::ptrdiff_t k = 0; k < dim; k += lanes, row += kPanelRows * lanes)
      for (std::ptrdiff_t l = 0; l < lanes; l += W)
        if (k + l + W <= dim) {
          store(row + l, broadcast(root) * (load(x + k + l) - load(mean + k + l)));
        } else {
          store(row + l, Vec<T>{});
          for (std::ptrdiff_t c = k + l; c < dim; ++c) row[c - k] = root * (x[c] - mean[c]);
        }
  }

  static void add_products(const T* panels, std::ptrdiff_t rows, std::ptrdiff_t dim, T* packed) {
    constexpr std::ptrdiff_t panel = kPanelRows * lanes;
    for (std::ptrdiff_t i = 0; i * lanes < dim; ++i)
      for (std::ptrdiff_t j = 0; j <= i; ++j, packed += lanes * lanes)
        for (std::ptrdiff_t r = 0; r < lanes && i * lanes + r < dim; r += R) {
          const T *a = panels + i * panel + r, *b = panels + j * panel;
          T* c = packed + r * lanes;
          // On the diagonal, columns up to r + R - 1 are enough.
          const std::ptrdiff_t columns = i == j ? r + R : lanes;
          if (columns <= kNarrowLanes<T> && kNarrowLanes<T> < W)
            add_rows<0, 1>(a, b, rows, c);
          else if (columns <= W)
            add_rows<1, 0>(a, b, rows, c);
          else if (columns <= W + kNarrowLanes<T> && kNarrowLanes<T> < W)
            add_rows<1, 1>(a, b, rows, c);
          else
            add_rows<2, 0>(a, b, rows, c);
        }
  }

  // c (R rows) += a^T b over `depth` rows of two panels, for V vectors of columns and H narrow ones
  // behind them.
  template <int V, int H>
  static void add_rows(const T* a, const T* b, std::ptrdiff_t depth, T* c) {
    constexpr std::ptrdiff_t behind = V * W;
    Vec<T> sum[R][V + 1];
    Narrow<T> half[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sum[r][v] = load(c + r * lanes + v * W);
      if constexpr (H > 0) half[r] = load_narrow(c + r * lanes + behind);
    }
    for (std::ptrdiff_t k = 0; k < depth; ++k, a += lanes, b += lanes) {
      Vec<T> bk[V + 1];
      Narrow<T> hk = {};
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) bk[v] = load(b + v * W);
      if constexpr (H > 0) hk = load_narrow(b + behind);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) sum[r][v] = fma(broadcast(a[r]), bk[v], sum[r][v]);
        if constexpr (H > 0) half[r] = fma(broadcast_narrow(a[r]), hk, half[r]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) store(c + r * lanes + v * W, sum[r][v]);
      if constexpr (H > 0) store_narrow(c + r * lanes + behind, half[r]);
    }
  }
};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
