// Products of the Jacobian with a tangent per query, over tiles of queries.
//
// With z = x . q and y = x . t, the derivative is sum_i e_i (y_i - m) x_i, m the mean of y under
// e = exp(z - max). A block leaves its z and y in scratch, which the L2 cache holds, so that m is
// known before anything is summed: three products a block, and a fourth, the sum of e_i x_i,
// where blocks are merged. Centring y before it is summed is what keeps the sum from cancelling.
#pragma once

#include "softmax_tile.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

template <class Shape>
struct TangentTile {
  using Tile = SoftmaxTile<Shape>;
  using T = typename Shape::Scalar;
  static constexpr std::ptrdiff_t W = kLanes<T>;
  static constexpr std::ptrdiff_t lanes = Shape::lanes;
  static constexpr std::ptrdiff_t width = Tile::width;

  static std::ptrdiff_t scratch(std::ptrdiff_t rows) { return 2 * panel(rows) + panel(kGroupRows); }

  static void tangent(const PatternBlock<T>& block, const T* queries, const T* tangents,
                      const TangentSums<T>& sums, T* scratch) {
    T* e = scratch;
    T* y = e + panel(block.count);
    for (std::ptrdiff_t l = 0; l < width; ++l) sums.max[l] = -__builtin_huge_valf();
    for_groups(block, [&](std::ptrdiff_t first, std::ptrdiff_t rows) {
      T* z = e + first * lanes;
      Shape::two_products(block.data + first * block.stride, block.stride, rows, block.dim, queries,
                          tangents, z, y + first * lanes, block.count + block.following - first);
      Tile::add_log_weights(block, first, rows, z);
      Tile::raise_max(z, rows * lanes, sums.max);
    });
    exponentiate(block, e, y, sums, y + panel(block.count));
    Tile::for_flat(y, block.count * lanes, [&](Vec<T> yi, std::ptrdiff_t at, std::ptrdiff_t lane) {
      return load(e + at) * (yi - load(sums.mean_product + lane));
    });
    add_rows(block, y, sums.derivative);
    if (sums.mean != nullptr) add_rows(block, e, sums.mean);
  }

  // (y - m) is moved to the common mean: sum e (y - m) x + (m - m') sum e x.
  static void merge(const TangentSums<T>& into, const TangentSums<T>& other, std::ptrdiff_t dim) {
    T scale_into[width], scale_other[width], move_into[width], move_other[width];
    for (std::ptrdiff_t l = 0; l < width; l += W) {
      const Vec<T> a = load(into.max + l), b = load(other.max + l), top = max(a, b);
      const Vec<T> factor_a = exp<T>(a - top), factor_b = exp<T>(b - top);
      const Vec<T> sum_a = load(into.sum + l) * factor_a, sum_b = load(other.sum + l) * factor_b;
      const Vec<T> distance = load(other.mean_product + l) - load(into.mean_product + l);
      const Vec<T> sum = sum_a + sum_b;
      store(scale_into + l, factor_a);
      store(scale_other + l, factor_b);
      store(move_into + l, factor_a * (-distance * (sum_b / sum)));
      store(move_other + l, factor_b * (distance * (sum_a / sum)));
      store(into.max + l, top);
      store(into.sum + l, sum);
      store(into.mean_product + l, fma(distance, sum_b / sum, load(into.mean_product + l)));
    }
    Tile::for_flat(
        into.derivative, dim * lanes, [&](Vec<T> d, std::ptrdiff_t at, std::ptrdiff_t lane) {
          d = fma(load(into.mean + at), load(move_into + lane), d * load(scale_into + lane));
          d = fma(load(other.derivative + at), load(scale_other + lane), d);
          return fma(load(other.mean + at), load(move_other + lane), d);
        });
    Tile::for_flat(into.mean, dim * lanes,
                   [&](Vec<T> mean, std::ptrdiff_t at, std::ptrdiff_t lane) {
                     return fma(mean, load(scale_into + lane),
                                load(other.mean + at) * load(scale_other + lane));
                   });
  }

 private:
  // Room for `rows` rows, in whole cache lines.
  static std::ptrdiff_t panel(std::ptrdiff_t rows) {
    return (rows * lanes + 2 * kTileSlack - 1) / kTileSlack * kTileSlack;
  }

  template <class Visit>
  static void for_groups(const PatternBlock<T>& block, const Visit& visit) {
    for (std::ptrdiff_t first = 0; first < block.count; first += kGroupRows)
      visit(first, least(kGroupRows, block.count - first));
  }

  // z becomes exp(z - max); its sum and the mean of y under it.
  static void exponentiate(const PatternBlock<T>& block, T* z, const T* y,
                           const TangentSums<T>& sums, T* products) {
    for (std::ptrdiff_t l = 0; l < width; ++l) sums.sum[l] = sums.mean_product[l] = 0;
    for_groups(block, [&](std::ptrdiff_t first, std::ptrdiff_t rows) {
      T *e = z + first * lanes, sum[width], product[width];
      Tile::for_flat(e, rows * lanes, [&](Vec<T> logit, std::ptrdiff_t at, std::ptrdiff_t lane) {
        const Vec<T> weight = exp<T>(logit - load(sums.max + lane));
        store(products + at, weight * load(y + first * lanes + at));
        return weight;
      });
      Shape::sum_rows(e, rows, sum);
      Shape::sum_rows(products, rows, product);
      for (std::ptrdiff_t l = 0; l < width; ++l) {
        sums.sum[l] += sum[l];
        sums.mean_product[l] += product[l];
      }
    });
    for (std::ptrdiff_t l = 0; l < width; ++l) sums.mean_product[l] /= sums.sum[l];
  }

  // out = sum_i weights_i x_i.
  static void add_rows(const PatternBlock<T>& block, const T* weights, T* out) {
    T one[width];
    for (std::ptrdiff_t l = 0; l < width; ++l) one[l] = 1;
    std::memset(out, 0, static_cast<std::size_t>(block.dim * lanes) * sizeof(T));
    for_groups(block, [&](std::ptrdiff_t first, std::ptrdiff_t rows) {
      Shape::mix(block.data + first * block.stride, block.stride, rows, block.dim,
                 weights + first * lanes, one, out);
    });
  }
};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
