// The adjoint of fixed points of an association (association_adjoint.cpp), a tile at a time.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "association_tiles.hpp"

namespace hopfix {

template <class T>
struct FixedPointWorkspace {
  AlignedArray<T> states, rows, tile, weights, scores, sums, mean, residual, direction, product,
      solution;
};

// A tile of fixed points, and (I - J) lambda = c at each of them.
template <class T>
class AssociationFixedPoints {
 public:
  // states: the fixed points, count x dim.
  AssociationFixedPoints(const AssociationBlock<T>& block, const TileShape<T>& shape,
                         std::ptrdiff_t count, T beta, const T* states, FixedPointWorkspace<T>& w)
      : block_(block), shape_(shape), count_(count), beta_(beta), w_(w), lanes_(shape.lanes()) {
    const std::ptrdiff_t size = block.dim * lanes_ + kernels::kTileSlack;
    for (AlignedArray<T>* array : {&w.mean, &w.residual, &w.direction, &w.product, &w.solution})
      array->reserve(size);
    w.weights.reserve(score_size(shape, block.count));
    w.scores.reserve(score_size(shape, block.count));
    w.sums.reserve(2 * shape.tile->width);
    w.states.reserve(count * block.dim + kernels::kTileSlack);
    std::copy_n(states, count * block.dim, w.states.data());
    pack_rows(*shape.tile, w.states.data(), block.dim, count, block.dim, beta, w.rows, w.tile);
    shape.association->probabilities(block, w.tile.data(), w.weights.data(), w.sums.data(),
                                     w.sums.data() + shape.tile->width);
    shape.association->mix(block, w.weights.data(), w.mean.data());
  }

  // f at the states, count x dim.
  std::vector<T> averages() const { return rows_of(w_.mean); }

  // Replaces c by lambda, count x dim. Returns the number of lanes whose system is singular.
  std::int64_t solve(T* cotangents) {
    const std::vector<bool> solved = conjugate_gradients(cotangents);
    std::int64_t singular = 0;
    const std::vector<T> rows = rows_of(w_.solution);
    for (std::ptrdiff_t i = 0; i < count_; ++i) {
      T* c = cotangents + i * block_.dim;
      if (solved[static_cast<std::size_t>(i)])
        std::copy_n(rows.data() + i * block_.dim, block_.dim, c);
      else if (!solve_dense(i, c))
        ++singular;
    }
    return singular;
  }

 private:
  static constexpr double kTolerance = sizeof(T) == 4 ? 1e-6 : 1e-13;
  static constexpr double kSingular = sizeof(T) == 4 ? 1e-6 : 1e-12;

  std::vector<T> rows_of(const AlignedArray<T>& tile) const {
    std::vector<T> rows(static_cast<std::size_t>(count_ * block_.dim));
    for (std::ptrdiff_t i = 0; i < count_; ++i)
      for (std::ptrdiff_t k = 0; k < block_.dim; ++k)
        rows[static_cast<std::size_t>(i * block_.dim + k)] = tile[k * lanes_ + i];
    return rows;
  }

  // Of two tiles, for every lane.
  std::vector<double> products(const AlignedArray<T>& a, const AlignedArray<T>& b) const {
    std::vector<double> sums(static_cast<std::size_t>(lanes_));
    for (std::ptrdiff_t k = 0; k < block_.dim; ++k)
      for (std::ptrdiff_t l = 0; l < lanes_; ++l)
        sums[static_cast<std::size_t>(l)] +=
            static_cast<double>(a[k * lanes_ + l]) * static_cast<double>(b[k * lanes_ + l]);
    return sums;
  }

  // product = (I - J) direction.
  void apply() {
    shape_.association->covariance(block_, w_.weights.data(), w_.direction.data(), w_.scores.data(),
                                   w_.product.data());
    for (std::ptrdiff_t k = 0; k < block_.dim * lanes_; ++k)
      w_.product[k] = w_.direction[k] - beta_ * w_.product[k];
  }

  // Hestenes and Stiefel (1952), every lane by itself. Which lanes were solved: not those that
  // met a direction of no positive curvature, or took too many steps.
  std::vector<bool> conjugate_gradients(const T* cotangents) {
    pack_rows(*shape_.tile, cotangents, block_.dim, count_, block_.dim, T(1), w_.rows, w_.residual);
    const std::ptrdiff_t size = block_.dim * lanes_;
    std::copy_n(w_.residual.data(), size, w_.direction.data());
    std::fill_n(w_.solution.data(), size, T(0));
    std::vector<double> square = products(w_.residual, w_.residual);
    const std::vector<double> first = square;
    std::vector<bool> solved(square.size()), active(square.size());
    for (std::size_t l = 0; l < square.size(); ++l) {
      active[l] = square[l] > 0;
      solved[l] = !active[l];
    }
    const std::ptrdiff_t most = std::min<std::ptrdiff_t>(200, 2 * block_.dim + 20);
    for (std::ptrdiff_t n = 0; n < most && any(active); ++n) {
      apply();
      const std::vector<double> curvature = products(w_.direction, w_.product);
      const std::vector<double> length = products(w_.direction, w_.direction);
      std::vector<T> step(square.size());
      for (std::size_t l = 0; l < square.size(); ++l) {
        if (active[l] && !(curvature[l] > kSingular * length[l])) active[l] = false;
        step[l] = active[l] ? static_cast<T>(square[l] / curvature[l]) : T(0);
      }
      add(w_.direction, step, w_.solution);
      for (T& value : step) value = -value;
      add(w_.product, step, w_.residual);
      const std::vector<double> next = products(w_.residual, w_.residual);
      for (std::size_t l = 0; l < square.size(); ++l) {
        if (active[l] && next[l] <= kTolerance * kTolerance * first[l]) {
          active[l] = false;
          solved[l] = true;
        }
        step[l] = active[l] ? static_cast<T>(next[l] / square[l]) : T(0);
      }
      for (std::ptrdiff_t k = 0; k < size; ++k) {
        T& direction = w_.direction[k];
        direction = w_.residual[k] + step[static_cast<std::size_t>(k % lanes_)] * direction;
      }
      square = next;
    }
    return solved;
  }

  static bool any(const std::vector<bool>& flags) {
    return std::find(flags.begin(), flags.end(), true) != flags.end();
  }

  // to += factor * tile, with a factor per lane.
  void add(const AlignedArray<T>& tile, const std::vector<T>& factor, AlignedArray<T>& to) const {
    for (std::ptrdiff_t k = 0; k < block_.dim; ++k)
      for (std::ptrdiff_t l = 0; l < lanes_; ++l)
        to[k * lanes_ + l] += factor[static_cast<std::size_t>(l)] * tile[k * lanes_ + l];
  }

  // c := lambda for lane i, by LU in double precision; false where that is not possible.
  bool solve_dense(std::ptrdiff_t i, T* c) const {
    const std::ptrdiff_t n = block_.count, d = block_.dim;
    std::vector<double> centred(static_cast<std::size_t>(n * d));
    for (std::ptrdiff_t j = 0; j < n; ++j) {
      const double root =
          std::sqrt(static_cast<double>(beta_) * static_cast<double>(w_.weights[j * lanes_ + i]));
      for (std::ptrdiff_t k = 0; k < d; ++k)
        centred[static_cast<std::size_t>(j * d + k)] =
            root * (static_cast<double>(block_.patterns[j * block_.pattern_stride + k]) -
                    static_cast<double>(w_.mean[k * lanes_ + i]));
    }
    std::vector<double> matrix(static_cast<std::size_t>(d * d));
    isa::table().dense->gram_columns(centred.data(), n, d, matrix.data());
    double largest = 1;
    for (std::ptrdiff_t k = 0; k < d * d; ++k) {
      double& entry = matrix[static_cast<std::size_t>(k)];
      largest = std::max(largest, std::abs(entry));
      entry = (k % (d + 1) == 0 ? 1.0 : 0.0) - entry;
    }
    std::vector<double> lambda(c, c + d);
    const double distance = isa::table().dense->solve_estimating(matrix.data(), d, lambda.data());
    std::transform(lambda.begin(), lambda.end(), c, [](double x) { return static_cast<T>(x); });
    return !(distance <= kSingular * largest);
  }

  const AssociationBlock<T>& block_;
  const TileShape<T>& shape_;
  const std::ptrdiff_t count_;
  const T beta_;
  FixedPointWorkspace<T>& w_;
  const std::ptrdiff_t lanes_;
};

}  // namespace hopfix
