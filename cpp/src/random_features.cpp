#include "hopfix/random_features.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "hopfix/network.hpp"
#include "panels.hpp"

namespace hopfix {

namespace {

using kernels::SimilarityKernels;
using std::ptrdiff_t;

// Features computed at a time: their tile fits the caches.
constexpr ptrdiff_t kChunk = 192;

const SimilarityKernels<float>* similarity_kernels(float) { return isa::table().similarity->f32; }
const SimilarityKernels<double>* similarity_kernels(double) { return isa::table().similarity->f64; }

template <class T>
T half_square(const T* row, ptrdiff_t dim) {
  double sum = 0;
  for (ptrdiff_t k = 0; k < dim; ++k)
    sum += static_cast<double>(row[k]) * static_cast<double>(row[k]);
  return static_cast<T>(sum / 2);
}

// Memory of one thread.
template <class T>
struct Workspace {
  AlignedArray<T> tile, scores;
  std::vector<T> shifts;
};

template <class T>
void features_of_tile(const FeatureMap<T>& map, const SimilarityKernels<T>& kernels, const T* rows,
                      ptrdiff_t n, T* out, Workspace<T>& w) {
  const ptrdiff_t dim = map.dim;
  w.tile.reserve(dim * kernels.lanes + kernels::kTileSlack);
  w.scores.reserve(kChunk * kernels.lanes + kernels::kTileSlack);
  w.shifts.assign(static_cast<std::size_t>(kernels.lanes), T(0));
  kernels.to_tile(rows, dim, n, dim, w.tile.data());
  for (ptrdiff_t b = 0; b < n; ++b)
    w.shifts[static_cast<std::size_t>(b)] = half_square(rows + b * dim, dim);
  const T factor = static_cast<T>(1 / std::sqrt(static_cast<double>(map.count)));
  for (ptrdiff_t first = 0; first < map.count; first += kChunk) {
    const ptrdiff_t size = std::min(kChunk, map.count - first);
    kernels.dot({map.matrix + first * dim, dim, size, dim, T(1), nullptr}, w.tile.data(),
                w.scores.data());
    if (map.kind == FeatureKind::exponential)
      kernels.exponentials(w.scores.data(), size, w.shifts.data(), factor);
    else
      kernels.rectified(w.scores.data(), size, map.offset, factor);
    kernels.to_rows(w.scores.data(), n, size, map.count, out + first);
  }
}

}  // namespace

template <class T>
void random_features(const FeatureMap<T>& map, const T* rows, ptrdiff_t n, T* out,
                     const Execution& execution) {
  const Execution reasonable =
      sharing(execution, 2.0 * static_cast<double>(n) * static_cast<double>(map.count) *
                             static_cast<double>(map.dim + 8));
  const SimilarityKernels<T>* shapes = similarity_kernels(T());
  const SimilarityKernels<T>& kernels = shapes[n > shapes[0].lanes ? 1 : 0];
  const ptrdiff_t tiles = (n + kernels.lanes - 1) / kernels.lanes;
  std::vector<Workspace<T>> workspaces(static_cast<std::size_t>(std::max(1, reasonable.threads)));
  parallel_for(tiles, reasonable, [&](ptrdiff_t t, int worker) {
    const ptrdiff_t first = t * kernels.lanes;
    features_of_tile(map, kernels, rows + first * map.dim, std::min(kernels.lanes, n - first),
                     out + first * map.count, workspaces[static_cast<std::size_t>(worker)]);
  });
}

template <class T>
void transposed_product(const T* a, const T* b, ptrdiff_t k, ptrdiff_t m, ptrdiff_t n, T* out,
                        const Execution& execution) {
  const Execution reasonable = sharing(
      execution, 2.0 * static_cast<double>(k) * static_cast<double>(m) * static_cast<double>(n));
  const Panels<T> left = Panels<T>::from_rows(a, k, m, reasonable);
  const Panels<T> right = Panels<T>::from_rows(b, k, n, reasonable);
  Panels<T> product(m, n);
  multiply(left, right, product, reasonable);
  product.to_rows(out, reasonable);
}

template void random_features(const FeatureMap<float>&, const float*, ptrdiff_t, float*,
                              const Execution&);
template void random_features(const FeatureMap<double>&, const double*, ptrdiff_t, double*,
                              const Execution&);
template void transposed_product(const float*, const float*, ptrdiff_t, ptrdiff_t, ptrdiff_t,
                                 float*, const Execution&);
template void transposed_product(const double*, const double*, ptrdiff_t, ptrdiff_t, ptrdiff_t,
                                 double*, const Execution&);

}  // namespace hopfix
