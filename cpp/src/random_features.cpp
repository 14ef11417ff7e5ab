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

// Most rows computed at a time, a multiple of those that kernels take together; tiles of features
// of up to this many bytes stay in the first cache.
constexpr ptrdiff_t kBlock = 96;
constexpr ptrdiff_t kRowUnit = 12;
constexpr ptrdiff_t kTileBytes = 16 << 10;

const SimilarityKernels<float>* similarity_kernels(float) { return isa::table().similarity->f32; }
const SimilarityKernels<double>* similarity_kernels(double) { return isa::table().similarity->f64; }

template <class T>
T half_square(const T* row, ptrdiff_t dim) {
  double sum = 0;
  for (ptrdiff_t k = 0; k < dim; ++k)
    sum += static_cast<double>(row[k]) * static_cast<double>(row[k]);
  return static_cast<T>(sum / 2);
}

// The rows w_j as tiles, a vector or two of features each.
template <class T>
struct PackedMap {
  const FeatureMap<T>& map;
  const SimilarityKernels<T>& kernels;
  AlignedArray<T> tiles;

  explicit PackedMap(const FeatureMap<T>& features)
      : map(features), kernels(chosen_shape(features.dim)) {
    const ptrdiff_t count = (map.count + kernels.lanes - 1) / kernels.lanes;
    tiles.reserve(count * tile_size() + kernels::kTileSlack);
    for (ptrdiff_t t = 0; t < count; ++t)
      kernels.to_tile(map.matrix + t * kernels.lanes * map.dim, map.dim,
                      std::min(kernels.lanes, map.count - t * kernels.lanes), map.dim, tile(t));
  }

  static const SimilarityKernels<T>& chosen_shape(ptrdiff_t dim) {
    const SimilarityKernels<T>* shapes = similarity_kernels(T());
    const ptrdiff_t wide = shapes[1].lanes * dim * static_cast<ptrdiff_t>(sizeof(T));
    return shapes[wide <= kTileBytes ? 1 : 0];
  }
  ptrdiff_t tile_size() const { return map.dim * kernels.lanes; }
  T* tile(ptrdiff_t t) { return tiles.data() + t * tile_size(); }
  const T* tile(ptrdiff_t t) const { return tiles.data() + t * tile_size(); }
};

// Memory of one thread.
template <class T>
struct Workspace {
  AlignedArray<T> scores;
  std::vector<T> shifts;
};

template <class T>
void features_of_block(const PackedMap<T>& packed, const T* rows, ptrdiff_t n, T* out,
                       Workspace<T>& w) {
  const FeatureMap<T>& map = packed.map;
  const SimilarityKernels<T>& kernels = packed.kernels;
  w.scores.reserve(kBlock * kernels.lanes + kernels::kTileSlack);
  w.shifts.resize(kBlock);
  for (ptrdiff_t i = 0; i < n; ++i)
    w.shifts[static_cast<std::size_t>(i)] = half_square(rows + i * map.dim, map.dim);
  const T factor = static_cast<T>(1 / std::sqrt(static_cast<double>(map.count)));
  for (ptrdiff_t t = 0; t * kernels.lanes < map.count; ++t) {
    const ptrdiff_t first = t * kernels.lanes, width = std::min(kernels.lanes, map.count - first);
    kernels.dot({rows, map.dim, n, map.dim, T(1), nullptr}, packed.tile(t), w.scores.data());
    if (map.kind == FeatureKind::exponential)
      kernels.exponentials(w.scores.data(), n, w.shifts.data(), factor, out + first, map.count,
                           width);
    else
      kernels.rectified(w.scores.data(), n, map.offset, factor, out + first, map.count, width);
  }
}

}  // namespace

template <class T>
void random_features(const FeatureMap<T>& map, const T* rows, ptrdiff_t n, T* out,
                     const Execution& execution) {
  const Execution reasonable =
      sharing(execution, 2.0 * static_cast<double>(n) * static_cast<double>(map.count) *
                             static_cast<double>(map.dim + 8));
  const PackedMap<T> packed(map);
  const ptrdiff_t share = n / (4 * std::max(1, reasonable.threads));
  const ptrdiff_t size = std::clamp(share / kRowUnit * kRowUnit, kRowUnit, kBlock);
  const ptrdiff_t blocks = (n + size - 1) / size;
  std::vector<Workspace<T>> workspaces(static_cast<std::size_t>(std::max(1, reasonable.threads)));
  parallel_for(blocks, reasonable, [&](ptrdiff_t block, int worker) {
    const ptrdiff_t first = block * size;
    features_of_block(packed, rows + first * map.dim, std::min(size, n - first),
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
