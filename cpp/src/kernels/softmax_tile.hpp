// Softmax averages over tiles of queries, never holding more than one group of logits.
// Method: running maximum and sum (Milakov & Gimelshein 2018; the tiling of Dao et al. 2022).
//
// Logits of a group lie in one flat array, row by row; a vector of it meets the per-lane numbers
// in turn with the period of `padded` numbers.
#pragma once

#include "exp.hpp"
#include "few_queries.hpp"
#include "table.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

template <class Shape>
struct SoftmaxTile {
  using T = typename Shape::Scalar;
  static constexpr std::ptrdiff_t W = kLanes<T>;
  static constexpr std::ptrdiff_t lanes = Shape::lanes;
  static constexpr std::ptrdiff_t width = padded<T>(lanes);
  static constexpr std::ptrdiff_t period = width / W;

  // apply(vector of z, vector of per-lane numbers at the same lanes) in place over `count`
  // numbers, rounded up to whole vectors.
  template <class Apply>
  static void for_flat(T* z, std::ptrdiff_t count, const Apply& apply) {
    for (std::ptrdiff_t at = 0, v = 0; at < count; at += W, v = v + 1 == period ? 0 : v + 1)
      store(z + at, apply(load(z + at), at, v * W));
  }

  static void logits(const PatternBlock<T>& block, std::ptrdiff_t first, std::ptrdiff_t rows,
                     const T* queries, T* out) {
    Shape::products(block.data + first * block.stride, block.stride, rows, block.dim, queries, out,
                    block.count + block.following - first);
    add_log_weights(block, first, rows, out);
  }

  static void add_log_weights(const PatternBlock<T>& block, std::ptrdiff_t first,
                              std::ptrdiff_t rows, T* z) {
    if (block.log_weights == nullptr) return;
    for (std::ptrdiff_t i = 0; i < rows; ++i)
      for (std::ptrdiff_t b = 0; b < lanes; ++b) z[i * lanes + b] += block.log_weights[first + i];
  }

  // Raises the running maximum to cover the group; what lies behind the group's end must not.
  static void raise_max(const T* z, std::ptrdiff_t count, T* running_max) {
    Vec<T> top[period];
    for (std::ptrdiff_t v = 0; v < period; ++v) top[v] = load(running_max + v * W);
    std::ptrdiff_t at = 0, v = 0;
    for (; at + W <= count; at += W, v = v + 1 == period ? 0 : v + 1)
      top[v] = max(load(z + at), top[v]);
    T folded[width];
    for (std::ptrdiff_t u = 0; u < period; ++u) store(folded + u * W, top[u]);
    for (; at < count; ++at)
      folded[at % width] = z[at] > folded[at % width] ? z[at] : folded[at % width];
    for (std::ptrdiff_t l = lanes; l < width; ++l)
      folded[l % lanes] = folded[l] > folded[l % lanes] ? folded[l] : folded[l % lanes];
    for (std::ptrdiff_t l = 0; l < width; ++l) running_max[l] = folded[l % lanes];
  }

  // Turns logits into exp(logit - max), adds them up, and returns in `scale` the factor that the
  // sums so far must be multiplied by.
  static void exponentiate(T* z, std::ptrdiff_t rows, const SoftmaxSums<T>& sums, T* scale) {
    T before[width], added[width];
    std::memcpy(before, sums.max, sizeof before);
    raise_max(z, rows * lanes, sums.max);
    for_flat(z, rows * lanes, [&](Vec<T> logit, std::ptrdiff_t, std::ptrdiff_t lane) {
      return exp<T>(logit - load(sums.max + lane));
    });
    Shape::sum_rows(z, rows, added);
    for (std::ptrdiff_t l = 0; l < width; l += W) {
      const Vec<T> factor = exp<T>(load(before + l) - load(sums.max + l));
      store(scale + l, factor);
      store(sums.sum + l, fma(load(sums.sum + l), factor, load(added + l)));
    }
  }

  static void accumulate(const PatternBlock<T>& block, const T* queries, const SoftmaxSums<T>& sums,
                         T* scratch) {
    for (std::ptrdiff_t first = 0, rows; first < block.count; first += rows) {
      rows = block.count - first <= kMostGroupRows ? block.count - first : kGroupRows;
      T scale[width];
      logits(block, first, rows, queries, scratch);
      exponentiate(scratch, rows, sums, scale);
      if (sums.extra != nullptr) add_extra(block.extra + first, rows, scratch, scale, sums.extra);
      if (sums.mean != nullptr)
        Shape::mix(block.data + first * block.stride, block.stride, rows, block.dim, scratch, scale,
                   sums.mean);
    }
  }

  // Row sums by four running sums, like sum_rows.
  static void add_extra(const T* extra, std::ptrdiff_t rows, const T* p, const T* scale, T* sum) {
    for (std::ptrdiff_t l = 0; l < width; l += W) {
      Vec<T> part[4] = {};
      for (std::ptrdiff_t i = 0; i < rows; ++i) {
        Vec<T> pi;
        if constexpr (lanes < W)
          for (std::ptrdiff_t j = 0; j < W; ++j) pi[j] = p[i * lanes + j % lanes];
        else
          pi = load(p + i * lanes + l);
        part[i & 3] = fma(pi, broadcast(extra[i]), part[i & 3]);
      }
      store(sum + l,
            fma(load(sum + l), load(scale + l), (part[0] + part[1]) + (part[2] + part[3])));
    }
  }

  static void merge(const SoftmaxSums<T>& into, const SoftmaxSums<T>& other, std::ptrdiff_t dim) {
    T scale_into[width], scale_other[width];
    for (std::ptrdiff_t l = 0; l < width; l += W) {
      const Vec<T> a = load(into.max + l), b = load(other.max + l);
      const Vec<T> top = max(a, b);
      store(scale_into + l, exp<T>(a - top));
      store(scale_other + l, exp<T>(b - top));
      store(into.max + l, top);
      store(into.sum + l, fma(load(into.sum + l), load(scale_into + l),
                              load(other.sum + l) * load(scale_other + l)));
    }
    if (into.extra != nullptr)
      for (std::ptrdiff_t l = 0; l < width; l += W)
        store(into.extra + l, fma(load(into.extra + l), load(scale_into + l),
                                  load(other.extra + l) * load(scale_other + l)));
    if (into.mean == nullptr) return;
    for_flat(into.mean, dim * lanes, [&](Vec<T> mean, std::ptrdiff_t at, std::ptrdiff_t lane) {
      return fma(mean, load(scale_into + lane), load(other.mean + at) * load(scale_other + lane));
    });
  }

  static void weights(const PatternBlock<T>& block, const T* queries, const SoftmaxSums<T>& sums,
                      T* weights) {
    for (std::ptrdiff_t first = 0; first < block.count; first += kGroupRows) {
      const std::ptrdiff_t rows = least(kGroupRows, block.count - first);
      T* out = weights + first * lanes;
      logits(block, first, rows, queries, out);
      for_flat(out, rows * lanes, [&](Vec<T> logit, std::ptrdiff_t, std::ptrdiff_t lane) {
        return exp<T>(logit - load(sums.max + lane)) / load(sums.sum + lane);
      });
    }
  }
};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
