#include "hopfix/memory.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "separation_row.hpp"
#include "sums.hpp"

namespace hopfix {

namespace {

using kernels::ScoreBlock;
using kernels::SimilarityKernels;
using std::ptrdiff_t;
using std::size_t;

// Keys scored at a time, whose tile of scores fits the caches, and rows averaged at a time.
constexpr ptrdiff_t kChunk = 384;
constexpr ptrdiff_t kGroup = kernels::kGroupRows;

const SimilarityKernels<float>* similarity_kernels(float) { return isa::table().similarity->f32; }
const SimilarityKernels<double>* similarity_kernels(double) { return isa::table().similarity->f64; }

template <class T>
kernels::ScoreFunction<T> function_of(Similarity similarity, const SimilarityKernels<T>& kernels) {
  switch (similarity) {
    case Similarity::neg_sq_l2:
      return kernels.neg_sq_l2;
    case Similarity::neg_l2:
      return kernels.neg_l2;
    case Similarity::neg_l1:
      return kernels.neg_l1;
    case Similarity::dot:
      break;
  }
  return kernels.dot;
}

}  // namespace

// Memory of one thread, and the tile it works on: element k of state b at [k * lanes + b].
template <class T>
struct Memory<T>::Workspace {
  const SimilarityKernels<T>* kernels = nullptr;
  ptrdiff_t lanes = 0, first = 0, count = 0;
  AlignedArray<T> state, key, tangent, means;  // tiles
  AlignedArray<T> chunk, gathered;             // scores of a chunk, rows of a group
  AlignedArray<T> rows, products;              // count x n each: scores, then weights
  AlignedArray<T> probabilities;               // n
  AlignedArray<double> scratch, slopes;        // of a row
  std::vector<T> inverse_norm;                 // lanes; 0 for the zero vector

  T* row(ptrdiff_t b, ptrdiff_t n) { return rows.data() + b * n; }
};

template <class T>
Memory<T>::Memory(const T* patterns, ptrdiff_t n, ptrdiff_t dim, double beta, const T* log_weights,
                  const T* values, ptrdiff_t value_dim, const T* matrix,
                  const MemoryOptions& options)
    : n_(n),
      dim_(dim),
      value_dim_(values == nullptr ? dim : value_dim),
      key_dim_(options.features > 0 ? options.features : dim),
      beta_(beta),
      options_(options) {
  if (log_weights != nullptr) log_weights_.assign(log_weights, log_weights + n);
  if (options.features > 0) matrix_.assign(matrix, matrix + options.features * dim);
  values_.assign(values == nullptr ? patterns : values,
                 values == nullptr ? patterns + n * dim : values + n * value_dim);
  keys_.resize(static_cast<size_t>(n * key_dim_));
  map(patterns, n, keys_.data(), {});
}

// work(workspace) -> void for tiles of states, in parallel, with `rows_of_state` rows of n numbers
// for each state.
template <class T>
template <class Work>
SeparationStatus Memory<T>::for_tiles(ptrdiff_t count, int rows_of_state,
                                      const Execution& execution, const Work& work) const {
  constexpr double kWorthSharing = 1.5e6;  // multiply-adds; two threads save time from here on
  Execution reasonable = execution;
  if (static_cast<double>(count) * static_cast<double>(n_) *
          static_cast<double>(key_dim_ + value_dim_) <
      kWorthSharing)
    reasonable.threads = 1;
  const ptrdiff_t threads = std::max(1, reasonable.threads);
  const SimilarityKernels<T>* shapes = similarity_kernels(T());
  const ptrdiff_t row_bytes =
      n_ * static_cast<ptrdiff_t>(sizeof(T)) * std::max(1, rows_of_state) * threads;
  const ptrdiff_t fitting = std::max<ptrdiff_t>(1, kRowBytes / row_bytes);
  const bool wide = count > threads * shapes[0].lanes && fitting > shapes[0].lanes;
  const SimilarityKernels<T>& shape = shapes[wide ? 1 : 0];
  const ptrdiff_t size = std::min(shape.lanes, fitting), tiles = (count + size - 1) / size;
  const ptrdiff_t widest = std::max({dim_, key_dim_, value_dim_});
  std::vector<Workspace> workspaces(static_cast<size_t>(threads));
  FirstFault first;
  parallel_for(tiles, reasonable, [&](ptrdiff_t t, int worker) {
    Workspace& w = workspaces[static_cast<size_t>(worker)];
    w.kernels = &shape;
    w.lanes = shape.lanes;
    w.first = t * size;
    w.count = std::min(size, count - w.first);
    for (AlignedArray<T>* tile : {&w.state, &w.key, &w.tangent, &w.means})
      tile->reserve(widest * w.lanes + kernels::kTileSlack);
    w.chunk.reserve(kChunk * w.lanes + kernels::kTileSlack);
    w.inverse_norm.assign(static_cast<size_t>(w.lanes), T(0));
    if (rows_of_state > 0) {
      w.rows.reserve(size * n_);
      w.probabilities.reserve(n_);
      w.scratch.reserve(2 * (n_ + kernels::kRowSlack));
    }
    if (rows_of_state > 1) {
      w.products.reserve(size * n_);
      w.slopes.reserve(n_ + kernels::kRowSlack);
    }
    work(w, first);
  });
  return first.status();
}

// state := the tile of the states, key := phi of it.
template <class T>
void Memory<T>::map_tile(const T* states, Workspace& w) const {
  w.kernels->to_tile(states + w.first * dim_, dim_, w.count, dim_, w.state.data());
  T* state = w.state.data();
  if (std::isfinite(options_.sparsify_above)) {
    const T threshold = static_cast<T>(options_.sparsify_above);
    std::replace_if(state, state + dim_ * w.lanes, [&](T x) { return x > threshold; }, T(0));
  }
  T* key = w.key.data();
  if (matrix_.empty())
    std::copy_n(state, dim_ * w.lanes, key);
  else
    w.kernels->dot({matrix_.data(), dim_, key_dim_, dim_, T(1), nullptr}, state, key);
  if (!options_.normalize) return;
  for (ptrdiff_t b = 0; b < w.lanes; ++b) {
    const double length =
        norm_of(key_dim_, [&](ptrdiff_t k) { return static_cast<double>(key[k * w.lanes + b]); });
    const double inverse = length > 0 ? 1 / length : 0;
    w.inverse_norm[static_cast<size_t>(b)] = static_cast<T>(inverse);
    if (length > 0)
      for (ptrdiff_t k = 0; k < key_dim_; ++k) {
        T& entry = key[k * w.lanes + b];
        entry = static_cast<T>(static_cast<double>(entry) / length);
      }
  }
}

// tangent := (tangent - key (key . tangent)) / |W xi|, the derivative of scaling to unit norm,
// which is symmetric.
template <class T>
void Memory<T>::project_from_sphere(Workspace& w) const {
  const T* key = w.key.data();
  T* tangent = w.tangent.data();
  for (ptrdiff_t b = 0; b < w.lanes; ++b) {
    const double along = sum_of(key_dim_, [&](ptrdiff_t k) {
      return static_cast<double>(key[k * w.lanes + b]) *
             static_cast<double>(tangent[k * w.lanes + b]);
    });
    const double inverse = static_cast<double>(w.inverse_norm[static_cast<size_t>(b)]);
    for (ptrdiff_t k = 0; k < key_dim_; ++k) {
      T& entry = tangent[k * w.lanes + b];
      const double off =
          static_cast<double>(entry) - along * static_cast<double>(key[k * w.lanes + b]);
      entry = static_cast<T>(off * inverse);
    }
  }
}

// tangent := (d phi / d xi) tangents.
template <class T>
void Memory<T>::map_tangents(const T* states, const T* tangents, Workspace& w) const {
  T* direction = matrix_.empty() ? w.tangent.data() : w.means.data();
  w.kernels->to_tile(tangents + w.first * dim_, dim_, w.count, dim_, direction);
  if (std::isfinite(options_.sparsify_above))
    for (ptrdiff_t b = 0; b < w.count; ++b)
      for (ptrdiff_t k = 0; k < dim_; ++k)
        if (states[(w.first + b) * dim_ + k] > static_cast<T>(options_.sparsify_above))
          direction[k * w.lanes + b] = 0;
  if (!matrix_.empty())
    w.kernels->dot({matrix_.data(), dim_, key_dim_, dim_, T(1), nullptr}, direction,
                   w.tangent.data());
  if (options_.normalize) project_from_sphere(w);
}

// means := (d phi / d xi)^T tangent.
template <class T>
void Memory<T>::map_back(const T* states, Workspace& w) const {
  if (options_.normalize) project_from_sphere(w);
  T* out = w.means.data();
  if (matrix_.empty()) {
    std::copy_n(w.tangent.data(), dim_ * w.lanes, out);
  } else {
    std::fill_n(out, dim_ * w.lanes, T(0));
    w.kernels->mix(matrix_.data(), dim_, key_dim_, dim_, w.tangent.data(), out);
  }
  if (std::isfinite(options_.sparsify_above))
    for (ptrdiff_t b = 0; b < w.count; ++b)
      for (ptrdiff_t k = 0; k < dim_; ++k)
        if (states[(w.first + b) * dim_ + k] > static_cast<T>(options_.sparsify_above))
          out[k * w.lanes + b] = 0;
}

// rows := scores of all keys.
template <class T>
void Memory<T>::score(const T* states, Workspace& w) const {
  map_tile(states, w);
  const auto scores = function_of(options_.similarity, *w.kernels);
  for (ptrdiff_t first = 0; first < n_; first += kChunk) {
    const ptrdiff_t length = std::min(kChunk, n_ - first);
    scores({keys_.data() + first * key_dim_, key_dim_, length, key_dim_, static_cast<T>(beta_),
            log_weights_.empty() ? nullptr : log_weights_.data() + first},
           w.key.data(), w.chunk.data());
    w.kernels->to_rows(w.chunk.data(), w.count, length, n_, w.rows.data() + first);
  }
}

// products := scale rows . tile.
template <class T>
void Memory<T>::multiply(const std::vector<T>& rows, ptrdiff_t row_dim, const AlignedArray<T>& tile,
                         T scale, Workspace& w) const {
  for (ptrdiff_t first = 0; first < n_; first += kChunk) {
    const ptrdiff_t length = std::min(kChunk, n_ - first);
    w.kernels->dot({rows.data() + first * row_dim, row_dim, length, row_dim, scale, nullptr},
                   tile.data(), w.chunk.data());
    w.kernels->to_rows(w.chunk.data(), w.count, length, n_, w.products.data() + first);
  }
}

// means := the sums of `rows` weighted by w.rows. Rows without weight in any lane are left out,
// which changes no bit of the sums.
template <class T>
void Memory<T>::mix(const std::vector<T>& rows, ptrdiff_t row_dim, Workspace& w) const {
  w.gathered.reserve(kGroup * row_dim + kernels::kTileSlack);
  std::fill_n(w.means.data(), row_dim * w.lanes, T(0));
  for (ptrdiff_t first = 0; first < n_; first += kGroup) {
    const ptrdiff_t length = std::min(kGroup, n_ - first);
    T* weights = w.chunk.data();
    w.kernels->to_tile(w.rows.data() + first, n_, w.count, length, weights);
    const T* from = rows.data() + first * row_dim;
    ptrdiff_t used = 0;
    for (ptrdiff_t i = 0; i < length; ++i) {
      const T* lane = weights + i * w.lanes;
      if (std::all_of(lane, lane + w.lanes, [](T p) { return p == 0; })) continue;
      if (used < i) std::copy_n(lane, w.lanes, weights + used * w.lanes);
      ++used;
      std::copy_n(from + i * row_dim, row_dim, w.gathered.data() + (used - 1) * row_dim);
    }
    if (used == 0) continue;
    w.kernels->mix(used == length ? from : w.gathered.data(), row_dim, used, row_dim, weights,
                   w.means.data());
  }
}

template <class T>
void Memory<T>::map(const T* states, ptrdiff_t count, T* out, const Execution& execution) const {
  for_tiles(count, 0, execution, [&](Workspace& w, FirstFault&) {
    map_tile(states, w);
    w.kernels->to_rows(w.key.data(), w.count, key_dim_, key_dim_, out + w.first * key_dim_);
  });
}

template <class T>
SeparationStatus Memory<T>::update(const T* states, ptrdiff_t count, T* out,
                                   const Execution& execution) const {
  return for_tiles(count, 1, execution, [&](Workspace& w, FirstFault& fault) {
    score(states, w);
    for (ptrdiff_t b = 0; b < w.count; ++b) {
      const RowResult<T> result{w.probabilities.data(), nullptr, nullptr};
      fault.record(solve_row(options_.separation, w.row(b, n_), n_, result, w.scratch.data()),
                   w.first + b);
      std::copy_n(result.probabilities, n_, w.row(b, n_));
    }
    mix(values_, value_dim_, w);
    w.kernels->to_rows(w.means.data(), w.count, value_dim_, value_dim_, out + w.first * value_dim_);
  });
}

template <class T>
SeparationStatus Memory<T>::weights(const T* states, ptrdiff_t count, T* out,
                                    const Execution& execution) const {
  return for_tiles(count, 1, execution, [&](Workspace& w, FirstFault& fault) {
    score(states, w);
    for (ptrdiff_t b = 0; b < w.count; ++b)
      fault.record(solve_row(options_.separation, w.row(b, n_), n_,
                             {out + (w.first + b) * n_, nullptr, nullptr}, w.scratch.data()),
                   w.first + b);
  });
}

template <class T>
SeparationStatus Memory<T>::energy(const T* states, ptrdiff_t count, T* out,
                                   const Execution& execution) const {
  const bool dot = options_.similarity == Similarity::dot;
  if ((!dot && options_.similarity != Similarity::neg_sq_l2) ||
      options_.separation.kind == Separation::Kind::polynomial)
    throw std::invalid_argument("energy: exists for dot and neg_sq_l2 and not for polynomial");
  return for_tiles(count, 1, execution, [&](Workspace& w, FirstFault& fault) {
    score(states, w);
    for (ptrdiff_t b = 0; b < w.count; ++b) {
      T conjugate = 0;
      fault.record(solve_row(options_.separation, w.row(b, n_), n_,
                             {w.probabilities.data(), nullptr, &conjugate}, w.scratch.data()),
                   w.first + b);
      const double square = sum_of(dot ? key_dim_ : 0, [&](ptrdiff_t k) {
        const auto x = static_cast<double>(w.key[k * w.lanes + b]);
        return x * x;
      });
      const double gain = static_cast<double>(conjugate) / (dot ? beta_ : 2 * beta_);
      out[w.first + b] = static_cast<T>(square / 2 - gain);
    }
  });
}

namespace {

void require_derivative(Similarity similarity) {
  if (similarity != Similarity::dot && similarity != Similarity::neg_sq_l2)
    throw std::invalid_argument("derivatives: exist for dot and neg_sq_l2");
}

// The derivative of -|key - q|^2 with respect to q is 2 (key - q).
template <class T>
T slope_of(Similarity similarity, double beta) {
  return static_cast<T>(similarity == Similarity::dot ? beta : 2 * beta);
}

}  // namespace

template <class T>
SeparationStatus Memory<T>::jvp(const T* states, const T* tangents, ptrdiff_t count, T* out,
                                const Execution& execution) const {
  require_derivative(options_.similarity);
  const SeparationKernels<T>& kernels = separation_kernels(T());
  const T slope = slope_of<T>(options_.similarity, beta_);
  return for_tiles(count, 2, execution, [&](Workspace& w, FirstFault& fault) {
    score(states, w);
    map_tangents(states, tangents, w);
    multiply(keys_, key_dim_, w.tangent, slope, w);
    for (ptrdiff_t b = 0; b < w.count; ++b) {
      T *row = w.row(b, n_), *change = w.products.data() + b * n_;
      if (options_.similarity == Similarity::neg_sq_l2) {
        const double along = sum_of(key_dim_, [&](ptrdiff_t k) {
          return static_cast<double>(w.key[k * w.lanes + b]) *
                 static_cast<double>(w.tangent[k * w.lanes + b]);
        });
        const T common = static_cast<T>(static_cast<double>(slope) * along);
        for (ptrdiff_t i = 0; i < n_; ++i) change[i] -= common;
      }
      const RowResult<T> result{w.probabilities.data(), w.slopes.data(), nullptr};
      fault.record(solve_row(options_.separation, row, n_, result, w.scratch.data()), w.first + b);
      if (options_.separation.kind == Separation::Kind::polynomial)
        kernels.polynomial_jvp(result.slopes, result.probabilities, change, n_, row);
      else
        kernels.symmetric_jvp(result.slopes, change, n_, row);
    }
    mix(values_, value_dim_, w);
    w.kernels->to_rows(w.means.data(), w.count, value_dim_, value_dim_, out + w.first * value_dim_);
  });
}

template <class T>
SeparationStatus Memory<T>::vjp(const T* states, const T* cotangents, ptrdiff_t count, T* out,
                                const Execution& execution) const {
  require_derivative(options_.similarity);
  const SeparationKernels<T>& kernels = separation_kernels(T());
  const T slope = slope_of<T>(options_.similarity, beta_);
  return for_tiles(count, 2, execution, [&](Workspace& w, FirstFault& fault) {
    score(states, w);
    w.kernels->to_tile(cotangents + w.first * value_dim_, value_dim_, w.count, value_dim_,
                       w.tangent.data());
    multiply(values_, value_dim_, w.tangent, T(1), w);
    std::vector<double> total(static_cast<size_t>(w.lanes));
    for (ptrdiff_t b = 0; b < w.count; ++b) {
      T* row = w.row(b, n_);
      const T* gain = w.products.data() + b * n_;
      const RowResult<T> result{w.probabilities.data(), w.slopes.data(), nullptr};
      fault.record(solve_row(options_.separation, row, n_, result, w.scratch.data()), w.first + b);
      if (options_.separation.kind == Separation::Kind::polynomial) {
        const double mean = dot(result.probabilities, gain, n_);
        for (ptrdiff_t i = 0; i < n_; ++i)
          row[i] = static_cast<T>(result.slopes[i] * (static_cast<double>(gain[i]) - mean));
      } else {
        kernels.symmetric_jvp(result.slopes, gain, n_, row);
      }
      total[static_cast<size_t>(b)] =
          sum_of(n_, [&](ptrdiff_t i) { return static_cast<double>(row[i]); });
    }
    mix(keys_, key_dim_, w);
    for (ptrdiff_t k = 0; k < key_dim_; ++k)
      for (ptrdiff_t b = 0; b < w.lanes; ++b) {
        const ptrdiff_t at = k * w.lanes + b;
        T sum = w.means[at];
        if (options_.similarity == Similarity::neg_sq_l2)
          sum -= static_cast<T>(total[static_cast<size_t>(b)]) * w.key[at];
        w.tangent[at] = slope * sum;
      }
    map_back(states, w);
    w.kernels->to_rows(w.means.data(), w.count, dim_, dim_, out + w.first * dim_);
  });
}

template class Memory<float>;
template class Memory<double>;

}  // namespace hopfix
