#include "hopfix/continuous_hopfield.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "hopfix/isa.hpp"
#include "kernels/table.hpp"
#include "plain_retrieval.hpp"
#include "sums.hpp"

namespace hopfix {

namespace {

using kernels::SimilarityKernels;
using std::ptrdiff_t;
using std::size_t;

// Patterns whose overlaps are taken at a time.
constexpr ptrdiff_t kChunk = 384;

const SimilarityKernels<float>* similarity_kernels(float) { return isa::table().similarity->f32; }
const SimilarityKernels<double>* similarity_kernels(double) { return isa::table().similarity->f64; }
auto tanh_of(float) { return isa::table().tanh32; }
auto tanh_of(double) { return isa::table().tanh64; }

// Rows a multiple of 2 KiB apart would evict each other from the L1 cache.
template <class T>
ptrdiff_t stride_of(ptrdiff_t dim) {
  constexpr ptrdiff_t kLine = 64 / static_cast<ptrdiff_t>(sizeof(T));
  return dim % (32 * kLine) == 0 ? dim + kLine : dim;
}

template <class T>
std::vector<T> with_stride(const std::vector<double>& rows, ptrdiff_t dim, ptrdiff_t stride) {
  const ptrdiff_t n = static_cast<ptrdiff_t>(rows.size()) / dim;
  std::vector<T> out(static_cast<size_t>(n * stride));
  for (ptrdiff_t i = 0; i < n; ++i)
    std::transform(rows.data() + i * dim, rows.data() + (i + 1) * dim, out.data() + i * stride,
                   [](double x) { return static_cast<T>(x); });
  return out;
}

// The integral of artanh from 0 to s.
double entropy(double s) {
  const auto term = [](double x) { return x > -1 ? (1 + x) * std::log1p(x) : 0; };
  return (term(s) + term(-s)) / 2;
}

}  // namespace

template <class T>
std::vector<std::uint8_t> Sparsity::removed(const T* row, ptrdiff_t dim) const {
  std::vector<std::uint8_t> chosen(static_cast<size_t>(dim));
  std::transform(row, row + dim, chosen.begin(),
                 [&](T x) { return static_cast<std::uint8_t>(static_cast<double>(x) > above); });
  if (top == 0) return chosen;
  std::vector<ptrdiff_t> places(static_cast<size_t>(dim));
  std::iota(places.begin(), places.end(), ptrdiff_t{0});
  const auto larger = [&](ptrdiff_t a, ptrdiff_t b) {
    return row[a] > row[b] || (row[a] == row[b] && a < b);
  };
  const auto end = places.begin() + std::min(top, dim);
  if (end != places.end()) std::nth_element(places.begin(), end, places.end(), larger);
  std::for_each(places.begin(), end, [&](ptrdiff_t k) { chosen[static_cast<size_t>(k)] = 1; });
  return chosen;
}

template <class T>
void Sparsity::apply(T* row, ptrdiff_t dim) const {
  const std::vector<std::uint8_t> chosen = removed(row, dim);
  for (ptrdiff_t k = 0; k < dim; ++k)
    if (chosen[static_cast<size_t>(k)] != 0) row[k] = T(0);
}

// Memory of one thread: tiles, element k of state b at [k * lanes + b].
template <class T>
struct ContinuousNetwork<T>::Workspace {
  const SimilarityKernels<T>* kernels;
  AlignedArray<T> rows, query, overlaps, fields;

  Workspace(const SimilarityKernels<T>& shape, ptrdiff_t dim)
      : kernels(&shape),
        rows(shape.lanes * dim),
        query(shape.lanes * dim + kernels::kTileSlack),
        overlaps(shape.lanes * kChunk + kernels::kTileSlack),
        fields(shape.lanes * dim + kernels::kTileSlack) {}
};

template <class T>
ContinuousNetwork<T>::ContinuousNetwork(const T* patterns, ptrdiff_t n, ptrdiff_t dim, double gain,
                                        const T* bias, bool zero_diagonal, const Sparsity& sparsity)
    : n_(n),
      dim_(dim),
      stride_(stride_of<T>(dim)),
      gain_(gain),
      zero_diagonal_(zero_diagonal),
      sparsity_(sparsity),
      bias_(static_cast<size_t>(dim)),
      patterns_(patterns, patterns + n * dim),
      diagonal_(static_cast<size_t>(dim)) {
  if (bias != nullptr) std::copy_n(bias, dim, bias_.data());
  for (ptrdiff_t i = 0; i < n; ++i)
    for (ptrdiff_t k = 0; k < dim; ++k) {
      const double x = patterns_[static_cast<size_t>(i * dim + k)];
      diagonal_[static_cast<size_t>(k)] += x * x;
    }
  if (2 * n >= dim) {
    weights_ = with_stride<T>(weights(), dim, stride_);
    return;
  }
  values_ = with_stride<T>(patterns_, dim, stride_);
  if (!sparsity.any()) return;
  keys_ = values_;
  for (ptrdiff_t i = 0; i < n; ++i) sparsity.apply(keys_.data() + i * stride_, dim);
}

template <class T>
std::vector<double> ContinuousNetwork<T>::weights() const {
  const auto& dense = *isa::table().dense;
  std::vector<double> w(static_cast<size_t>(dim_ * dim_));
  if (sparsity_.any()) {
    std::vector<double> transposed(patterns_.size()), keys = patterns_;
    for (ptrdiff_t i = 0; i < n_; ++i) {
      for (ptrdiff_t k = 0; k < dim_; ++k)
        transposed[static_cast<size_t>(k * n_ + i)] = keys[static_cast<size_t>(i * dim_ + k)];
      sparsity_.apply(keys.data() + i * dim_, dim_);
    }
    dense.product(transposed.data(), keys.data(), dim_, n_, dim_, w.data());
  } else {
    dense.gram_columns(patterns_.data(), n_, dim_, w.data());
  }
  if (zero_diagonal_)
    for (ptrdiff_t k = 0; k < dim_; ++k) w[static_cast<size_t>(k * (dim_ + 1))] = 0;
  return w;
}

// fields := W query.
template <class T>
void ContinuousNetwork<T>::set_fields(Workspace& w) const {
  const ptrdiff_t lanes = w.kernels->lanes;
  T *query = w.query.data(), *fields = w.fields.data();
  if (!weights_.empty())
    return w.kernels->dot({weights_.data(), stride_, dim_, dim_, T(1), nullptr}, query, fields);
  const T* keys = keys_.empty() ? values_.data() : keys_.data();
  std::fill_n(fields, dim_ * lanes, T(0));
  for (ptrdiff_t first = 0; first < n_; first += kChunk) {
    const ptrdiff_t rows = std::min(kChunk, n_ - first);
    w.kernels->dot({keys + first * stride_, stride_, rows, dim_, T(1), nullptr}, query,
                   w.overlaps.data());
    w.kernels->mix(values_.data() + first * stride_, stride_, rows, dim_, w.overlaps.data(),
                   fields);
  }
  if (!zero_diagonal_) return;
  for (ptrdiff_t k = 0; k < dim_; ++k) {
    const T own = static_cast<T>(diagonal_[static_cast<size_t>(k)]);
    for (ptrdiff_t b = k * lanes; b < (k + 1) * lanes; ++b) fields[b] -= own * query[b];
  }
}

template <class T>
void ContinuousNetwork<T>::update_tile(const T* states, ptrdiff_t count, T* out,
                                       Workspace& w) const {
  const ptrdiff_t lanes = w.kernels->lanes;
  if (sparsity_.any()) {
    std::copy_n(states, count * dim_, w.rows.data());
    for (ptrdiff_t b = 0; b < count; ++b) sparsity_.apply(w.rows.data() + b * dim_, dim_);
    states = w.rows.data();
  }
  w.kernels->to_tile(states, dim_, count, dim_, w.query.data());
  set_fields(w);
  const T gain = static_cast<T>(gain_);
  T* fields = w.fields.data();
  for (ptrdiff_t k = 0; k < dim_; ++k) {
    const T bias = bias_[static_cast<size_t>(k)];
    for (ptrdiff_t b = k * lanes; b < (k + 1) * lanes; ++b) fields[b] = gain * (fields[b] - bias);
  }
  tanh_of(T())(fields, fields, dim_ * lanes);
  w.kernels->to_rows(fields, count, dim_, dim_, out);
}

template <class T>
void ContinuousNetwork<T>::update(const T* states, ptrdiff_t count, T* out,
                                  const Execution& execution) const {
  constexpr double kWorthSharing = 1.5e6;  // multiply-adds
  Execution reasonable = execution;
  if (static_cast<double>(count) * static_cast<double>(std::min(2 * n_, dim_) * dim_) <
      kWorthSharing)
    reasonable.threads = 1;
  const ptrdiff_t threads = std::max(1, reasonable.threads);
  const SimilarityKernels<T>* shapes = similarity_kernels(T());
  const SimilarityKernels<T>& shape = shapes[count > threads * shapes[0].lanes ? 1 : 0];
  const ptrdiff_t lanes = shape.lanes;
  std::vector<std::unique_ptr<Workspace>> workspaces(static_cast<size_t>(threads));
  parallel_for((count + lanes - 1) / lanes, reasonable, [&](ptrdiff_t t, int worker) {
    auto& work = workspaces[static_cast<size_t>(worker)];
    if (work == nullptr) work = std::make_unique<Workspace>(shape, dim_);
    const ptrdiff_t first = t * lanes;
    update_tile(states + first * dim_, std::min(lanes, count - first), out + first * dim_, *work);
  });
}

template <class T>
void ContinuousNetwork<T>::energy(const T* states, ptrdiff_t count, T* out,
                                  const Execution& execution) const {
  parallel_for(count, execution, [&](ptrdiff_t s, int) {
    const std::vector<double> state(states + s * dim_, states + (s + 1) * dim_);
    double form = 0;
    for (ptrdiff_t i = 0; i < n_; ++i) {
      const double overlap = dot(patterns_.data() + i * dim_, state.data(), dim_);
      form += overlap * overlap;
    }
    const double rest = sum_of(dim_, [&](ptrdiff_t a) {
      const auto k = static_cast<size_t>(a);
      const double own = zero_diagonal_ ? diagonal_[k] * state[k] * state[k] / 2 : 0;
      return own + static_cast<double>(bias_[k]) * state[k] + entropy(state[k]) / gain_;
    });
    out[s] = static_cast<T>(rest - form / 2);
  });
}

template <class T>
void ContinuousNetwork<T>::jacobian(const T* states, ptrdiff_t count, T* out,
                                    const Execution& execution) const {
  const std::vector<double> w = weights();
  parallel_for(count, execution, [&](ptrdiff_t s, int) {
    std::vector<double> state(states + s * dim_, states + (s + 1) * dim_), fields(state.size());
    // What is set to zero does not move the fields.
    const std::vector<std::uint8_t> removed = sparsity_.removed(state.data(), dim_);
    sparsity_.apply(state.data(), dim_);
    isa::table().dense->matrix_vector(w.data(), state.data(), dim_, dim_, fields.data());
    for (ptrdiff_t k = 0; k < dim_; ++k) {
      const double u = gain_ * (fields[static_cast<size_t>(k)] -
                                static_cast<double>(bias_[static_cast<size_t>(k)]));
      const double e = std::exp(-2 * std::fabs(u));
      const double slope = gain_ * 4 * e / ((1 + e) * (1 + e));
      T* row = out + (s * dim_ + k) * dim_;
      for (ptrdiff_t l = 0; l < dim_; ++l)
        row[l] = removed[static_cast<size_t>(l)] != 0
                     ? T(0)
                     : static_cast<T>(slope * w[static_cast<size_t>(k * dim_ + l)]);
    }
  });
}

template <class T>
Retrieval<T> retrieve(const ContinuousNetwork<T>& network, const T* states, ptrdiff_t count,
                      std::int64_t max_steps, double tol, const Execution& execution) {
  return iterate_plainly(states, count, network.dim(), max_steps, tol, execution,
                         [&](const T* here, const std::vector<ptrdiff_t>& ids, T* moved) {
                           network.update(here, static_cast<ptrdiff_t>(ids.size()), moved,
                                          execution);
                           return true;
                         });
}

template class ContinuousNetwork<float>;
template class ContinuousNetwork<double>;
template Retrieval<float> retrieve(const ContinuousNetwork<float>&, const float*, ptrdiff_t,
                                   std::int64_t, double, const Execution&);
template Retrieval<double> retrieve(const ContinuousNetwork<double>&, const double*, ptrdiff_t,
                                    std::int64_t, double, const Execution&);

}  // namespace hopfix
