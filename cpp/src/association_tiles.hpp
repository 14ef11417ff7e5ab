// What the two passes of an association share: tiles of queries of one head, its rows in reach.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "hopfix/association.hpp"
#include "tile_pass.hpp"

namespace hopfix {

using kernels::AssociationBlock;
using kernels::AssociationKernels;
using kernels::KeptWeights;

inline const AssociationKernels<float>* association_kernels(float) {
  return isa::table().association->f32;
}
inline const AssociationKernels<double>* association_kernels(double) {
  return isa::table().association->f64;
}

// The kernels of a tile shape: those for layout and those for associations.
template <class T>
struct TileShape {
  const TileKernels<T>* tile;
  const AssociationKernels<T>* association;

  explicit TileShape(std::ptrdiff_t left)
      : tile(choose_shape<T>(left)),
        association(association_kernels(T()) + (tile - tile_kernels(T()))) {}
  std::ptrdiff_t lanes() const { return tile->lanes; }
};

template <class T>
void copy_rows(const T* from, std::ptrdiff_t from_stride, std::ptrdiff_t rows, std::ptrdiff_t dim,
               T factor, T* to, std::ptrdiff_t to_stride) {
  association_kernels(T())->copy(from, from_stride, rows, dim, factor, to, to_stride);
}

// Rows as panels, in memory of their own.
template <class T>
struct PanelRows {
  AlignedArray<T> memory;
  std::ptrdiff_t stride = 0, count = 0, columns = 0;

  void reserve(std::ptrdiff_t rows, std::ptrdiff_t dim) {
    const std::ptrdiff_t vector = association_kernels(T())[0].vector;
    columns = dim <= vector ? vector : 2 * vector;
    stride = rows;
    count = divide_up(dim, columns);
    memory.reserve(count * rows * columns + kernels::kTileSlack);
  }
  void clear() { std::fill_n(memory.data(), count * stride * columns, T(0)); }
  kernels::Panels<T> view() { return {memory.data(), stride, count, columns}; }
  kernels::Panels<const T> const_view() const { return {memory.data(), stride, count, columns}; }

  // Row i becomes factor * rows[i], for `used` rows of `dim` numbers.
  void fill(const T* rows, std::ptrdiff_t used, std::ptrdiff_t dim, T factor) {
    reserve(used, dim);
    if (dim % columns != 0) clear();
    for (std::ptrdiff_t j = 0; j < count; ++j)
      copy_rows(rows + j * columns, dim, used, std::min(columns, dim - j * columns), factor,
                memory.data() + j * stride * columns, columns);
  }

  void unpack(std::ptrdiff_t dim, T* rows, std::ptrdiff_t row_stride) const {
    for (std::ptrdiff_t j = 0; j < count; ++j)
      copy_rows(memory.data() + j * stride * columns, columns, stride,
                std::min(columns, dim - j * columns), T(1), rows + j * columns, row_stride);
  }
};

// One thread where there is not enough to share, in multiply-adds.
inline Execution execution_for(const AssociationSizes& s, double passes,
                               const Execution& execution) {
  constexpr double kWorthSharing = 1.5e6, kExpCost = 8;
  const double work = static_cast<double>(s.batch * s.heads) *
                      static_cast<double>(s.queries * s.patterns) *
                      (static_cast<double>(s.dim + s.value_dim) / 2 + kExpCost) * passes;
  Execution reasonable = execution;
  if (work * (s.queries < 8 ? 4 : 1) < kWorthSharing) reasonable.threads = 1;
  return reasonable;
}

// Rows of one head, close together: strided ones are copied where enough queries read them, since
// rows a multiple of 2 KiB apart evict each other from the L1 cache.
template <class T>
struct NearRows {
  const T* data;
  std::ptrdiff_t stride;

  NearRows(const T* rows, std::ptrdiff_t row_stride, std::ptrdiff_t count, std::ptrdiff_t dim,
           std::ptrdiff_t readers, AlignedArray<T>& memory)
      : data(rows), stride(row_stride) {
    constexpr std::ptrdiff_t kFewReaders = 8, kMostBytes = 1 << 22;
    const std::ptrdiff_t bytes = count * dim * static_cast<std::ptrdiff_t>(sizeof(T));
    if (row_stride == dim || readers <= kFewReaders || bytes > kMostBytes) return;
    memory.reserve(count * dim + kernels::kTileSlack);
    copy_rows(rows, row_stride, count, dim, T(1), memory.data(), dim);
    data = memory.data();
    stride = dim;
  }
};

// Packs `count` strided rows, times `factor`, into a tile.
template <class T>
void pack_rows(const TileKernels<T>& tile, const T* rows, std::ptrdiff_t stride,
               std::ptrdiff_t count, std::ptrdiff_t dim, T factor, AlignedArray<T>& memory,
               AlignedArray<T>& packed) {
  packed.reserve(dim * tile.lanes + kernels::kTileSlack);
  if (stride != dim) {
    memory.reserve(count * dim + kernels::kTileSlack);
    copy_rows(rows, stride, count, dim, T(1), memory.data(), dim);
    rows = memory.data();
  }
  tile.pack(rows, count, dim, factor, packed.data());
}

// Patterns and values of one sample and head.
template <class T>
AssociationBlock<T> association_block(const AssociationInput<T>& input, std::ptrdiff_t b,
                                      std::ptrdiff_t h, std::ptrdiff_t readers,
                                      AlignedArray<T>& pattern_memory,
                                      AlignedArray<T>& value_memory) {
  const AssociationSizes& s = input.sizes;
  const NearRows<T> patterns(input.patterns.at(b, h, 0), input.patterns.row, s.patterns, s.dim,
                             readers, pattern_memory);
  const NearRows<T> values(input.values.at(b, h, 0), input.values.row, s.patterns, s.value_dim,
                           readers, value_memory);
  return {
      patterns.data, patterns.stride,
      s.dim,         values.data,
      values.stride, s.value_dim,
      s.patterns,    input.pattern_bias.data == nullptr ? nullptr : input.pattern_bias.at(b, h, 0),
      nullptr};
}

// Numbers of the tile arrays with one entry per pattern and lane.
template <class T>
std::ptrdiff_t score_size(const TileShape<T>& shape, std::ptrdiff_t patterns) {
  return patterns * shape.lanes() + kernels::kTileSlack;
}

// to = average M + shift for the map of a rule, the shift only where there is a pattern; all
// `dim` long, with kTileSlack behind.
template <class T>
void map_average(const AssociationInput<T>& input, std::ptrdiff_t rule, const T* average,
                 bool any_pattern, T* to) {
  const std::ptrdiff_t dim = input.sizes.dim;
  const T* map = input.maps + rule * dim * dim;
  association_kernels(T())->mix({map, dim, dim, nullptr, 0, 0, dim, nullptr, nullptr}, average, to);
  if (input.shifts == nullptr || !any_pattern) return;
  const T* shift = input.shifts + rule * dim;
  for (std::ptrdiff_t k = 0; k < dim; ++k) to[k] += shift[k];
}

// The bias of queries first, …, first + count - 1 of a head as a tile; nullptr without any.
template <class T>
const T* pack_bias(const AssociationInput<T>& input, std::ptrdiff_t b, std::ptrdiff_t h,
                   std::ptrdiff_t first, std::ptrdiff_t count, const TileShape<T>& shape,
                   AlignedArray<T>& memory, AlignedArray<T>& packed) {
  if (input.bias.data == nullptr) return nullptr;
  pack_rows(*shape.tile, input.bias.at(b, h, first), input.bias.row, count, input.sizes.patterns,
            T(1), memory, packed);
  return packed.data();
}

}  // namespace hopfix
