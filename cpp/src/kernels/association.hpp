// Associations of one tile of queries with the patterns and values of a head.
//
// A forward pass is that of softmax_tile.hpp, with values apart from patterns. The adjoint visits
// the patterns once: with the logarithms of the sums known, weights are exp(logit - log sum), and
// with the average f known the mean of v . c is f . c (Dao et al. 2022).
#pragma once

#include <limits>

#include "association_table.hpp"
#include "row_norm.hpp"
#include "softmax_tile.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

template <class T>
void copy_rows(const T* from, std::ptrdiff_t from_stride, std::ptrdiff_t rows, std::ptrdiff_t dim,
               T factor, T* to, std::ptrdiff_t to_stride) {
  constexpr std::ptrdiff_t W = kLanes<T>;
  const Vec<T> by = broadcast(factor);
  for (std::ptrdiff_t i = 0; i < rows; ++i, from += from_stride, to += to_stride) {
    std::ptrdiff_t k = 0;
    for (; k + W <= dim; k += W) store(to + k, load(from + k) * by);
    if (k < dim) store_some(to + k, load_some(from + k, dim - k) * by, dim - k);
  }
}

template <class T>
void row_products(const T* a, std::ptrdiff_t a_stride, const T* b, std::ptrdiff_t b_stride,
                  std::ptrdiff_t rows, std::ptrdiff_t dim, T* out) {
  constexpr std::ptrdiff_t W = kLanes<T>;
  for (std::ptrdiff_t i = 0; i < rows; ++i, a += a_stride, b += b_stride) {
    Vec<T> sum = {};
    std::ptrdiff_t k = 0;
    for (; k + W <= dim; k += W) sum = fma(load(a + k), load(b + k), sum);
    if (k < dim) sum = fma(load_some(a + k, dim - k), load_some(b + k, dim - k), sum);
    T total = 0;
    for (std::ptrdiff_t l = 0; l < W; ++l) total += sum[l];
    out[i] = total;
  }
}

template <class Shape>
struct AssociationTile {
  using Tile = SoftmaxTile<Shape>;
  using T = typename Shape::Scalar;
  using Block = AssociationBlock<T>;
  static constexpr std::ptrdiff_t W = kLanes<T>;
  static constexpr std::ptrdiff_t lanes = Tile::lanes;
  static constexpr std::ptrdiff_t width = Tile::width;
  // Below every logit, and finite: with -inf a group without patterns would give inf - inf.
  static constexpr T kLowest = -std::numeric_limits<T>::max() / 4;

  static void logits(const Block& block, std::ptrdiff_t first, std::ptrdiff_t rows,
                     const T* queries, T* out) {
    Shape::products(block.patterns + first * block.pattern_stride, block.pattern_stride, rows,
                    block.dim, queries, out, block.count - first);
    if (block.log_weights != nullptr)
      for (std::ptrdiff_t i = 0; i < rows; ++i)
        for (std::ptrdiff_t b = 0; b < lanes; ++b)
          out[i * lanes + b] += block.log_weights[first + i];
    if (block.bias == nullptr) return;
    const T* bias = block.bias + first * lanes;
    for (std::ptrdiff_t at = 0; at < rows * lanes; at += W)
      store(out + at, load(out + at) + load(bias + at));
  }

  static void average(const Block& block, const T* queries, const SoftmaxSums<T>& sums,
                      T* scratch) {
    reset(sums, block.value_dim);
    for (std::ptrdiff_t first = 0, rows; first < block.count; first += rows) {
      rows = group(block.count - first);
      T scale[width];
      logits(block, first, rows, queries, scratch);
      Tile::exponentiate(scratch, rows, sums, scale);
      Shape::mix(block.values + first * block.value_stride, block.value_stride, rows,
                 block.value_dim, scratch, scale, sums.mean);
    }
  }

  static void update(const Block& block, const T* queries, const KeptWeights<T>& kept, T* mean) {
    const SoftmaxSums<T> sums{kept.max, kept.sum, mean};
    reset(sums, block.dim);
    T* top = kept.tops;
    for (std::ptrdiff_t first = 0, rows; first < block.count; first += rows, top += width) {
      rows = group(block.count - first);
      T scale[width], *weights = kept.weights + first * lanes;
      logits(block, first, rows, queries, weights);
      Tile::exponentiate(weights, rows, sums, scale);
      std::memcpy(top, sums.max, sizeof scale);
      Shape::mix(block.patterns + first * block.pattern_stride, block.pattern_stride, rows,
                 block.dim, weights, scale, mean);
    }
  }

  static void probabilities(const Block& block, const T* queries, T* p, T* max, T* sum) {
    for (std::ptrdiff_t first = 0, rows; first < block.count; first += rows) {
      rows = group(block.count - first);
      logits(block, first, rows, queries, p + first * lanes);
    }
    for (std::ptrdiff_t l = 0; l < width; ++l) {
      max[l] = kLowest;
      sum[l] = T(0);
    }
    Tile::raise_max(p, block.count * lanes, max);
    Tile::for_flat(p, block.count * lanes, [&](Vec<T> logit, std::ptrdiff_t, std::ptrdiff_t lane) {
      return exp<T>(logit - load(max + lane));
    });
    for (std::ptrdiff_t first = 0, rows; first < block.count; first += rows) {
      rows = group(block.count - first);
      T added[width];
      Shape::sum_rows(p + first * lanes, rows, added);
      for (std::ptrdiff_t l = 0; l < width; ++l) sum[l] += added[l];
    }
    T inverse[width];
    for (std::ptrdiff_t l = 0; l < width; ++l) inverse[l] = sum[l] == 0 ? T(0) : T(1) / sum[l];
    Tile::for_flat(p, block.count * lanes, [&](Vec<T> e, std::ptrdiff_t, std::ptrdiff_t lane) {
      return e * load(inverse + lane);
    });
  }

  static void change(const KeptWeights<T>& now, const KeptWeights<T>& before, std::ptrdiff_t count,
                     const T* enough, T* squares) {
    for (std::ptrdiff_t l = 0; l < width; ++l) squares[l] = T(0);
    std::ptrdiff_t g = 0;
    for (std::ptrdiff_t first = 0, rows; first < count; first += rows, ++g) {
      rows = group(count - first);
      T factor[width], factor_before[width], terms[kMostGroupRows * lanes + W], added[width];
      weight_factors(now, g, factor);
      weight_factors(before, g, factor_before);
      for (std::ptrdiff_t at = 0, lane = 0; at < rows * lanes;
           at += W, lane = lane + W == width ? 0 : lane + W) {
        const std::ptrdiff_t i = first * lanes + at;
        const Vec<T> step = load(now.weights + i) * load(factor + lane) -
                            load(before.weights + i) * load(factor_before + lane);
        store(terms + at, step * step);
      }
      Shape::sum_rows(terms, rows, added);
      bool all = true;
      for (std::ptrdiff_t l = 0; l < width; ++l) {
        squares[l] += added[l];
        all = all && squares[l] > enough[l];
      }
      if (all) return;
    }
  }

  static void mix(const Block& block, const T* p, T* out) {
    T one[width];
    for (T& factor : one) factor = T(1);
    clear(out, block.dim);
    for (std::ptrdiff_t first = 0, rows; first < block.count; first += rows) {
      rows = group(block.count - first);
      Shape::mix(block.patterns + first * block.pattern_stride, block.pattern_stride, rows,
                 block.dim, p + first * lanes, one, out);
    }
  }

  static void covariance(const Block& block, const T* p, const T* tangents, T* scratch, T* out) {
    Shape::products(block.patterns, block.pattern_stride, block.count, block.dim, tangents, scratch,
                    block.count);
    T mean[width];
    sum_by_lane(block.count, mean,
                [&](std::ptrdiff_t at) { return load(p + at) * load(scratch + at); });
    Tile::for_flat(scratch, block.count * lanes,
                   [&](Vec<T> y, std::ptrdiff_t at, std::ptrdiff_t lane) {
                     return load(p + at) * (y - load(mean + lane));
                   });
    mix(block, scratch, out);
  }

  static void adjoint(const Block& block, const AssociationCotangents<T>& given, T* state_gradient,
                      const Panels<T>& pattern_gradient, const Panels<T>& value_gradient,
                      T* scratch) {
    T one[width];
    for (T& factor : one) factor = T(1);
    clear(state_gradient, block.dim);
    T *p = scratch, *g = scratch + kGroupRows * width + W;
    for (std::ptrdiff_t first = 0; first < block.count; first += kGroupRows) {
      const std::ptrdiff_t rows = least(kGroupRows, block.count - first);
      logits(block, first, rows, given.queries, p);
      Shape::products(block.values + first * block.value_stride, block.value_stride, rows,
                      block.value_dim, given.cotangents, g, block.count - first);
      Tile::for_flat(p, rows * lanes, [&](Vec<T> z, std::ptrdiff_t at, std::ptrdiff_t lane) {
        const Vec<T> weight = exp<T>(z - load(given.log_sums + lane));
        store(g + at, weight * (load(g + at) - load(given.mean_product + lane)));
        return weight;
      });
      Shape::mix(block.patterns + first * block.pattern_stride, block.pattern_stride, rows,
                 block.dim, g, one, state_gradient);
      add_outer(p, rows, given.lanes_used, given.cotangent_rows, first, value_gradient);
      add_outer(g, rows, given.lanes_used, given.query_rows, first, pattern_gradient);
    }
  }

  static constexpr AssociationKernels<T> kernels() {
    return {lanes,
            width,
            W,
            copy_rows<T>,
            row_products<T>,
            normalize_rows<T>,
            average,
            probabilities,
            update,
            change,
            mix,
            covariance,
            adjoint};
  }

 private:
  static std::ptrdiff_t group(std::ptrdiff_t left) {
    return left <= kMostGroupRows ? left : kGroupRows;
  }

  // Before any pattern.
  static void reset(const SoftmaxSums<T>& sums, std::ptrdiff_t dim) {
    for (std::ptrdiff_t l = 0; l < width; ++l) {
      sums.max[l] = kLowest;
      sums.sum[l] = T(0);
    }
    clear(sums.mean, dim);
  }

  // What the kept weights of a group are to be multiplied by.
  static void weight_factors(const KeptWeights<T>& kept, std::ptrdiff_t group, T* factor) {
    const T* top = kept.tops + group * width;
    for (std::ptrdiff_t l = 0; l < width; l += W) {
      const Vec<T> sum = load(kept.sum + l), none = {};
      const Vec<T> inverse = sum == none ? none : broadcast(T(1)) / sum;
      store(factor + l, exp<T>(load(top + l) - load(kept.max + l)) * inverse);
    }
  }

  static void clear(T* tile, std::ptrdiff_t dim) {
    std::memset(tile, 0, static_cast<std::size_t>(dim * lanes) * sizeof(T));
  }

  // sums (width): term(at) over all `count` rows, lane by lane, in the order of sum_rows.
  template <class Term>
  static void sum_by_lane(std::ptrdiff_t count, T* sums, const Term& term) {
    for (std::ptrdiff_t l = 0; l < width; ++l) sums[l] = T(0);
    for (std::ptrdiff_t first = 0, rows; first < count; first += rows) {
      rows = least(kGroupRows, count - first);
      T terms[kGroupRows * lanes + W], added[width];
      for (std::ptrdiff_t at = 0; at < rows * lanes; at += W)
        store(terms + at, term(first * lanes + at));
      Shape::sum_rows(terms, rows, added);
      for (std::ptrdiff_t l = 0; l < width; ++l) sums[l] += added[l];
    }
  }

  // into (rows from `first` on) += weights (rows x lanes_used) by (lanes_used x columns), by
  // panels.
  static void add_outer(const T* weights, std::ptrdiff_t rows, std::ptrdiff_t lanes_used,
                        const Panels<const T>& by, std::ptrdiff_t first, const Panels<T>& into) {
    const auto add = by.columns == W ? add_panels<1> : add_panels<2>;
    add(weights, rows, lanes_used, by, first, into);
  }

  template <int V>
  static void add_panels(const T* weights, std::ptrdiff_t rows, std::ptrdiff_t lanes_used,
                         const Panels<const T>& by, std::ptrdiff_t first, const Panels<T>& into) {
    ScaleAndAdd<T, V> add;
    for (int v = 0; v < V; ++v) add.scale[v] = broadcast(T(1));
    for (std::ptrdiff_t j = 0; j < by.count; ++j)
      tile_product<T, V>(weights, lanes, 1, rows, lanes_used, by.data + j * by.stride * V * W,
                         into.data + (j * into.stride + first) * V * W, add);
  }
};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
