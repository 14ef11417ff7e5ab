// The adjoint pass. With g = dL/dout at the last state q, y_i = v_i . g and w_i = p_i (y_i - out .
// g)
//
//   dL/dq = beta sum_i w_i k_i   dL/dv_i += p_i g   dL/dk_i += beta w_i q   dL/dbeta += q . sum w_i
//   k_i
//
// and an update q' = sum_i p_i k_i before it is the same with values k: once for every update, from
// the last to the first; or, for a query at a fixed point, once with g replaced by the solution of
// (I - J) lambda = g, and nothing left for the query it started from.
//
// Queries of a head are taken in chunks, the sums over which are formed by chunks and in their
// order.
#include <atomic>
#include <cmath>
#include <utility>
#include <vector>

#include "association_tiles.hpp"

namespace hopfix {

namespace {

using kernels::AssociationCotangents;
using kernels::Panels;

constexpr std::ptrdiff_t kChunk = 512;

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
  Panels<T> view() { return {memory.data(), stride, count, columns}; }
  Panels<const T> const_view() const { return {memory.data(), stride, count, columns}; }

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

template <class T>
struct AdjointWorkspace {
  AlignedArray<T> patterns, values, rows, tile, cotangent_tile, bias, bias_rows, state_gradient;
  AlignedArray<T> lanes;  // log sums, and products of cotangents and averages
  AlignedArray<T> scratch, weights, scores, sums, mean, residual, direction, product, solution;
  AlignedArray<T> states, cotangents, state_cotangents, products;  // rows
  AlignedArray<T> mapped, map_cotangent;
  PanelRows<T> query_panels, cotangent_panels, pattern_gradient, value_gradient;
};

template <class T>
class AssociationAdjointPass {
 public:
  AssociationAdjointPass(const AssociationInput<T>& input, const HeadRows<const T>& out,
                         const std::int64_t* steps, const AssociationTrace<const T>& trace,
                         const HeadRows<const T>& cotangents,
                         const AssociationGradients<T>& gradients)
      : in_(input),
        s_(input.sizes),
        out_(out),
        steps_(steps),
        trace_(trace),
        cotangents_(cotangents),
        gradients_(gradients),
        chunks_(divide_up(s_.queries, kChunk)) {}

  std::int64_t run(const Execution& execution) {
    const std::int64_t most = *std::max_element(in_.max_steps, in_.max_steps + in_.rules());
    transpose_maps();
    const Execution reasonable =
        execution_for(s_, 2.5 * static_cast<double>(std::max<std::int64_t>(most, 2)), execution);
    std::vector<AdjointWorkspace<T>> workspaces(
        static_cast<std::size_t>(std::max(1, reasonable.threads)));
    const std::ptrdiff_t heads = s_.batch * s_.heads;
    beta_parts_.assign(static_cast<std::size_t>(heads * chunks_), 0.0);
    if (chunks_ > 1) parts_.reserve(heads * chunks_ * part_size());
    parallel_for(heads * chunks_, reasonable, [&](std::ptrdiff_t i, int worker) {
      run_chunk(i / chunks_, i % chunks_, workspaces[static_cast<std::size_t>(worker)]);
    });
    if (chunks_ > 1)
      parallel_for(heads, reasonable, [&](std::ptrdiff_t head, int) { merge_chunks(head); });
    std::fill_n(gradients_.beta, s_.heads, 0.0);
    for (std::ptrdiff_t i = 0; i < heads * chunks_; ++i)
      gradients_.beta[i / chunks_ % s_.heads] += beta_parts_[static_cast<std::size_t>(i)];
    return singular_;
  }

 private:
  using Workspace = AdjointWorkspace<T>;

  // A tile at work: queries `first`, … of a head.
  struct TileAt {
    std::ptrdiff_t b, h, first, count;
    TileShape<T> shape;
    AssociationBlock<T> block;
    double* beta_gradient;
  };

  std::ptrdiff_t all_queries() const { return s_.batch * s_.heads * s_.queries; }
  std::ptrdiff_t query_index(const TileAt& at, std::ptrdiff_t i) const {
    return (at.b * s_.heads + at.h) * s_.queries + at.first + i;
  }
  std::ptrdiff_t part_size() const { return s_.patterns * (s_.dim + s_.value_dim); }

  void transpose_maps() {
    if (in_.maps == nullptr) return;
    maps_t_.reserve(in_.rules() * s_.dim * s_.dim);
    for (std::ptrdiff_t r = 0; r < in_.rules(); ++r)
      for (std::ptrdiff_t i = 0; i < s_.dim; ++i)
        for (std::ptrdiff_t j = 0; j < s_.dim; ++j)
          maps_t_[(r * s_.dim + j) * s_.dim + i] = in_.maps[(r * s_.dim + i) * s_.dim + j];
    transposed_ = in_;
    transposed_.maps = maps_t_.data();
    transposed_.shifts = nullptr;
  }

  bool values_are_patterns() const { return gradients_.values.data == nullptr; }

  void run_chunk(std::ptrdiff_t head, std::ptrdiff_t chunk, Workspace& w) {
    const std::ptrdiff_t b = head / s_.heads, h = head % s_.heads;
    const std::ptrdiff_t begin = chunk * kChunk, end = std::min(s_.queries, begin + kChunk);
    const AssociationBlock<T> block =
        association_block(in_, b, h, end - begin, w.patterns, w.values);
    w.pattern_gradient.reserve(s_.patterns, s_.dim);
    w.pattern_gradient.clear();
    if (!values_are_patterns()) {
      w.value_gradient.reserve(s_.patterns, s_.value_dim);
      w.value_gradient.clear();
    }
    for (std::ptrdiff_t first = begin; first < end;) {
      const TileShape<T> shape(end - first);
      TileAt at{b,
                h,
                first,
                std::min(shape.lanes(), end - first),
                shape,
                block,
                &beta_parts_[static_cast<std::size_t>(head * chunks_ + chunk)]};
      at.block.bias = pack_bias(in_, b, h, first, at.count, shape, w.bias_rows, w.bias);
      run_tile(at, w);
      first += at.count;
    }
    if (chunks_ == 1) {
      w.pattern_gradient.unpack(s_.dim, gradients_.patterns.at(b, h, 0), gradients_.patterns.row);
      if (!values_are_patterns())
        w.value_gradient.unpack(s_.value_dim, gradients_.values.at(b, h, 0), gradients_.values.row);
      return;
    }
    T* part = parts_.data() + (head * chunks_ + chunk) * part_size();
    w.pattern_gradient.unpack(s_.dim, part, s_.dim);
    if (!values_are_patterns())
      w.value_gradient.unpack(s_.value_dim, part + s_.patterns * s_.dim, s_.value_dim);
  }

  void merge_chunks(std::ptrdiff_t head) const {
    const std::ptrdiff_t b = head / s_.heads, h = head % s_.heads;
    const T* part = parts_.data() + head * chunks_ * part_size();
    merge_rows(part, s_.dim, gradients_.patterns.at(b, h, 0), gradients_.patterns.row);
    if (!values_are_patterns())
      merge_rows(part + s_.patterns * s_.dim, s_.value_dim, gradients_.values.at(b, h, 0),
                 gradients_.values.row);
  }

  void merge_rows(const T* part, std::ptrdiff_t dim, T* rows, std::ptrdiff_t stride) const {
    for (std::ptrdiff_t i = 0; i < s_.patterns; ++i) {
      T* to = rows + i * stride;
      std::copy_n(part + i * dim, dim, to);
      for (std::ptrdiff_t c = 1; c < chunks_; ++c)
        for (std::ptrdiff_t k = 0; k < dim; ++k) to[k] += part[c * part_size() + i * dim + k];
    }
  }

  void run_tile(const TileAt& at, Workspace& w) {
    const std::ptrdiff_t widest = std::max(s_.dim, s_.value_dim);
    w.lanes.reserve(2 * at.shape.tile->width);
    w.scratch.reserve(2 * (kernels::kGroupRows * at.shape.tile->width + kernels::kTileSlack));
    w.state_gradient.reserve(s_.dim * at.shape.lanes() + kernels::kTileSlack);
    w.states.reserve(at.count * s_.dim + kernels::kTileSlack);
    w.state_cotangents.reserve(at.count * s_.dim + kernels::kTileSlack);
    w.rows.reserve(at.count * widest + kernels::kTileSlack);
    w.cotangents.reserve(at.count * widest + kernels::kTileSlack);
    w.mapped.reserve(s_.dim + kernels::kTileSlack);
    w.map_cotangent.reserve(s_.dim + kernels::kTileSlack);
    w.products.reserve(at.count);
    through_values(at, w);
    if (to_convergence(at)) {
      through_fixed_point(at, w);
      std::fill_n(w.state_cotangents.data(), at.count * s_.dim, T(0));
    } else {
      std::int64_t last = 0;
      for (std::ptrdiff_t i = 0; i < at.count; ++i) last = std::max(last, last_slot(at, i));
      for (std::int64_t t = last - 1; t >= 0; --t) through_update(at, t, w);
    }
    copy_rows(w.state_cotangents.data(), s_.dim, at.count, s_.dim, T(1),
              gradients_.queries.at(at.b, at.h, at.first), gradients_.queries.row);
  }

  // The average that the state of a query in a slot of the trace comes from; slots are one later
  // than there: 0 is the query itself.
  const T* average_at(const TileAt& at, std::ptrdiff_t i, std::int64_t slot) const {
    return trace_.states + ((slot - 1) * all_queries() + query_index(at, i)) * s_.dim;
  }
  // That state.
  const T* state_at(const TileAt& at, std::ptrdiff_t i, std::int64_t slot, Workspace& w) const {
    if (slot == 0) return in_.queries.at(at.b, at.h, at.first + i);
    if (in_.maps == nullptr) return average_at(at, i, slot);
    // A query without any pattern has the weights 0 in every state, and derivatives 0.
    map_average(in_, in_.rule(at.h, at.first + i), average_at(at, i, slot), true, w.mapped.data());
    return w.mapped.data();
  }
  std::int64_t last_slot(const TileAt& at, std::ptrdiff_t i) const {
    return to_convergence(at) ? 1 : steps_[query_index(at, i)];
  }
  bool to_convergence(const TileAt& at) const {
    return in_.max_steps[at.h * in_.groups] == kToConvergence;
  }

  // Takes a state, a cotangent of `dim` numbers and their product with the average into `step`.
  void load(const TileAt& at, std::ptrdiff_t i, std::int64_t slot, const T* cotangent,
            std::ptrdiff_t dim, const T* average, Workspace& w) const {
    const std::ptrdiff_t lanes = at.shape.lanes(), width = at.shape.tile->width;
    copy_rows(state_at(at, i, slot, w), 0, 1, s_.dim, T(1), w.states.data() + i * s_.dim, 0);
    copy_rows(cotangent, 0, 1, dim, T(1), w.cotangents.data() + i * dim, 0);
    T product;
    at.shape.association->dots(average, 0, cotangent, 0, 1, dim, &product);
    for (std::ptrdiff_t l = i; l < width; l += lanes) {
      w.lanes[l] = trace_.log_sums[slot * all_queries() + query_index(at, i)];
      w.lanes[width + l] = product;
    }
  }

  // The same for all queries of a tile, with rows of cotangents and averages a stride apart.
  void load_all(const TileAt& at, std::int64_t slot, const T* cotangents, std::ptrdiff_t stride,
                std::ptrdiff_t dim, const T* averages, std::ptrdiff_t average_stride,
                Workspace& w) const {
    const std::ptrdiff_t lanes = at.shape.lanes(), width = at.shape.tile->width;
    const bool given = slot == 0;
    copy_rows(given ? in_.queries.at(at.b, at.h, at.first) : average_at(at, 0, slot),
              given ? in_.queries.row : s_.dim, at.count, s_.dim, T(1), w.states.data(), s_.dim);
    copy_rows(cotangents, stride, at.count, dim, T(1), w.cotangents.data(), dim);
    at.shape.association->dots(averages, average_stride, cotangents, stride, at.count, dim,
                               w.products.data());
    const T* log_sums = trace_.log_sums + slot * all_queries() + query_index(at, 0);
    for (std::ptrdiff_t l = 0; l < width; ++l) {
      const std::ptrdiff_t i = l % lanes;
      w.lanes[l] = i < at.count ? log_sums[i] : T(0);
      w.lanes[width + l] = i < at.count ? w.products[i] : T(0);
    }
  }

  // Whether all queries of a tile took `steps` updates, and states are read as they are.
  bool all_took(const TileAt& at, std::int64_t steps) const {
    for (std::ptrdiff_t i = 0; i < at.count; ++i)
      if (last_slot(at, i) != steps) return false;
    return in_.maps == nullptr || steps == 0;
  }

  void through_values(const TileAt& at, Workspace& w) {
    const std::int64_t last = last_slot(at, 0);
    if (all_took(at, last)) {
      load_all(at, last, cotangents_.at(at.b, at.h, at.first), cotangents_.row, s_.value_dim,
               out_.at(at.b, at.h, at.first), out_.row, w);
    } else {
      std::fill_n(w.lanes.data(), 2 * at.shape.tile->width, T(0));
      for (std::ptrdiff_t i = 0; i < at.count; ++i)
        load(at, i, last_slot(at, i), cotangents_.at(at.b, at.h, at.first + i), s_.value_dim,
             out_.at(at.b, at.h, at.first + i), w);
    }
    step(at, at.block, values_are_patterns() ? w.pattern_gradient : w.value_gradient, w);
    std::swap(w.rows, w.state_cotangents);
  }

  // Through the update of states in slot t. Queries that stopped before wait for their turn.
  void through_update(const TileAt& at, std::int64_t t, Workspace& w) {
    if (all_took(at, last_slot(at, 0))) {
      load_all(at, t, w.state_cotangents.data(), s_.dim, s_.dim, average_at(at, 0, t + 1), s_.dim,
               w);
      step(at, with_patterns_as_values(at.block), w.pattern_gradient, w);
      std::swap(w.rows, w.state_cotangents);
      return;
    }
    const std::vector<T> none(static_cast<std::size_t>(s_.dim));
    std::fill_n(w.lanes.data(), 2 * at.shape.tile->width, T(0));
    for (std::ptrdiff_t i = 0; i < at.count; ++i) {
      const std::int64_t last = last_slot(at, i);
      if (t < last)
        load(at, i, t, through_map(at, i, t, w), s_.dim, average_at(at, i, t + 1), w);
      else
        load(at, i, last, none.data(), s_.dim, none.data(), w);
    }
    step(at, with_patterns_as_values(at.block), w.pattern_gradient, w);
    for (std::ptrdiff_t i = 0; i < at.count; ++i)
      if (t < last_slot(at, i))
        std::copy_n(w.rows.data() + i * s_.dim, s_.dim, w.state_cotangents.data() + i * s_.dim);
  }

  // The derivative by the average of update t of that by the state, which is recorded.
  const T* through_map(const TileAt& at, std::ptrdiff_t i, std::int64_t t, Workspace& w) const {
    const T* cotangent = w.state_cotangents.data() + i * s_.dim;
    if (in_.maps == nullptr) return cotangent;
    std::copy_n(cotangent, s_.dim,
                gradients_.states + (t * all_queries() + query_index(at, i)) * s_.dim);
    map_average(transposed_, in_.rule(at.h, at.first + i), cotangent, true, w.map_cotangent.data());
    return w.map_cotangent.data();
  }

  static AssociationBlock<T> with_patterns_as_values(AssociationBlock<T> block) {
    block.values = block.patterns;
    block.value_stride = block.pattern_stride;
    block.value_dim = block.dim;
    return block;
  }

  // One association of what is loaded: adds to the gradients of patterns, values and beta, and
  // leaves that of the states in `rows`.
  void step(const TileAt& at, const AssociationBlock<T>& block, PanelRows<T>& value_gradient,
            Workspace& w) {
    const TileKernels<T>& tile = *at.shape.tile;
    const T beta = in_.beta[at.h];
    pack_rows(tile, w.states.data(), s_.dim, at.count, s_.dim, beta, w.rows, w.tile);
    pack_rows(tile, w.cotangents.data(), block.value_dim, at.count, block.value_dim, T(1), w.rows,
              w.cotangent_tile);
    w.query_panels.fill(w.states.data(), at.count, s_.dim, beta);
    w.cotangent_panels.fill(w.cotangents.data(), at.count, block.value_dim, T(1));
    const AssociationCotangents<T> given{w.tile.data(),
                                         w.cotangent_tile.data(),
                                         w.lanes.data(),
                                         w.lanes.data() + tile.width,
                                         at.count,
                                         w.query_panels.const_view(),
                                         w.cotangent_panels.const_view()};
    at.shape.association->adjoint(block, given, w.state_gradient.data(), w.pattern_gradient.view(),
                                  value_gradient.view(), w.scratch.data());
    w.rows.reserve(at.count * s_.dim + kernels::kTileSlack);
    const std::vector<T> one(static_cast<std::size_t>(tile.width), T(1));
    tile.unpack(w.state_gradient.data(), one.data(), at.count, s_.dim, w.rows.data());
    at.shape.association->dots(w.states.data(), s_.dim, w.rows.data(), s_.dim, at.count, s_.dim,
                               w.products.data());
    for (std::ptrdiff_t i = 0; i < at.count; ++i)
      *at.beta_gradient += static_cast<double>(w.products[i]);
    copy_rows(w.rows.data(), s_.dim, at.count, s_.dim, beta, w.rows.data(), s_.dim);
  }

  // Replaces the cotangents of the fixed points by those of the map that they are fixed points of.
  void through_fixed_point(const TileAt& at, Workspace& w) {
    FixedPointSystem system(*this, at, w);
    singular_ += system.solve();
    std::fill_n(w.lanes.data(), 2 * at.shape.tile->width, T(0));
    const std::vector<T> averages = system.averages();
    for (std::ptrdiff_t i = 0; i < at.count; ++i)
      load(at, i, 1, w.state_cotangents.data() + i * s_.dim, s_.dim, averages.data() + i * s_.dim,
           w);
    step(at, with_patterns_as_values(at.block), w.pattern_gradient, w);
  }

  // (I - J) lambda = c for every lane of a tile, c and then lambda in state_cotangents.
  class FixedPointSystem {
   public:
    FixedPointSystem(const AssociationAdjointPass& pass, const TileAt& at, Workspace& w)
        : s_(pass.s_), at_(at), w_(w), lanes_(at.shape.lanes()), beta_(pass.in_.beta[at.h]) {
      const TileKernels<T>& tile = *at.shape.tile;
      const std::ptrdiff_t size = s_.dim * lanes_ + kernels::kTileSlack;
      for (AlignedArray<T>* array : {&w.mean, &w.residual, &w.direction, &w.product, &w.solution})
        array->reserve(size);
      w.weights.reserve(score_size(at.shape, s_.patterns));
      w.scores.reserve(score_size(at.shape, s_.patterns));
      w.sums.reserve(2 * tile.width);
      for (std::ptrdiff_t i = 0; i < at.count; ++i)
        std::copy_n(pass.average_at(at, i, 1), s_.dim, w.states.data() + i * s_.dim);
      pack_rows(tile, w.states.data(), s_.dim, at.count, s_.dim, beta_, w.rows, w.tile);
      at.shape.association->probabilities(at.block, w.tile.data(), w.weights.data(), w.sums.data(),
                                          w.sums.data() + tile.width);
      at.shape.association->mix(at.block, w.weights.data(), w.mean.data());
    }

    // f at the states, count x dim.
    std::vector<T> averages() const { return rows_of(w_.mean); }

    // Returns the number of lanes whose system is singular.
    std::int64_t solve() {
      const std::vector<bool> solved = conjugate_gradients();
      std::int64_t singular = 0;
      const std::vector<T> rows = rows_of(w_.solution);
      for (std::ptrdiff_t i = 0; i < at_.count; ++i) {
        T* c = w_.state_cotangents.data() + i * s_.dim;
        if (solved[static_cast<std::size_t>(i)])
          std::copy_n(rows.data() + i * s_.dim, s_.dim, c);
        else if (!solve_dense(i, c))
          ++singular;
      }
      return singular;
    }

   private:
    static constexpr double kTolerance = sizeof(T) == 4 ? 1e-6 : 1e-13;
    static constexpr double kSingular = sizeof(T) == 4 ? 1e-6 : 1e-12;

    std::vector<T> rows_of(const AlignedArray<T>& tile) const {
      std::vector<T> rows(static_cast<std::size_t>(at_.count * s_.dim));
      for (std::ptrdiff_t i = 0; i < at_.count; ++i)
        for (std::ptrdiff_t k = 0; k < s_.dim; ++k)
          rows[static_cast<std::size_t>(i * s_.dim + k)] = tile[k * lanes_ + i];
      return rows;
    }

    // Of two tiles, for every lane.
    std::vector<double> products(const AlignedArray<T>& a, const AlignedArray<T>& b) const {
      std::vector<double> sums(static_cast<std::size_t>(lanes_));
      for (std::ptrdiff_t k = 0; k < s_.dim; ++k)
        for (std::ptrdiff_t l = 0; l < lanes_; ++l)
          sums[static_cast<std::size_t>(l)] +=
              static_cast<double>(a[k * lanes_ + l]) * static_cast<double>(b[k * lanes_ + l]);
      return sums;
    }

    // product = (I - J) direction.
    void apply() {
      at_.shape.association->covariance(at_.block, w_.weights.data(), w_.direction.data(),
                                        w_.scores.data(), w_.product.data());
      for (std::ptrdiff_t k = 0; k < s_.dim * lanes_; ++k)
        w_.product[k] = w_.direction[k] - beta_ * w_.product[k];
    }

    // Hestenes and Stiefel (1952), every lane by itself. Which lanes were solved: not those that
    // met a direction of no positive curvature, or took too many steps.
    std::vector<bool> conjugate_gradients() {
      pack_rows(*at_.shape.tile, w_.state_cotangents.data(), s_.dim, at_.count, s_.dim, T(1),
                w_.rows, w_.residual);
      const std::ptrdiff_t size = s_.dim * lanes_;
      std::copy_n(w_.residual.data(), size, w_.direction.data());
      std::fill_n(w_.solution.data(), size, T(0));
      std::vector<double> square = products(w_.residual, w_.residual);
      const std::vector<double> first = square;
      std::vector<bool> solved(square.size()), active(square.size());
      for (std::size_t l = 0; l < square.size(); ++l) {
        active[l] = square[l] > 0;
        solved[l] = !active[l];
      }
      const std::ptrdiff_t most = std::min<std::ptrdiff_t>(200, 2 * s_.dim + 20);
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
      for (std::ptrdiff_t k = 0; k < s_.dim; ++k)
        for (std::ptrdiff_t l = 0; l < lanes_; ++l)
          to[k * lanes_ + l] += factor[static_cast<std::size_t>(l)] * tile[k * lanes_ + l];
    }

    // c := lambda for lane i, by LU in double precision; false where that is not possible.
    bool solve_dense(std::ptrdiff_t i, T* c) const {
      const std::ptrdiff_t n = s_.patterns, d = s_.dim;
      std::vector<double> centred(static_cast<std::size_t>(n * d));
      for (std::ptrdiff_t j = 0; j < n; ++j) {
        const double root =
            std::sqrt(static_cast<double>(beta_) * static_cast<double>(w_.weights[j * lanes_ + i]));
        for (std::ptrdiff_t k = 0; k < d; ++k)
          centred[static_cast<std::size_t>(j * d + k)] =
              root * (static_cast<double>(at_.block.patterns[j * at_.block.pattern_stride + k]) -
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

    const AssociationSizes& s_;
    const TileAt& at_;
    Workspace& w_;
    const std::ptrdiff_t lanes_;
    const T beta_;
  };

  const AssociationInput<T>& in_;
  const AssociationSizes& s_;
  const HeadRows<const T>& out_;
  const std::int64_t* const steps_;
  const AssociationTrace<const T>& trace_;
  const HeadRows<const T>& cotangents_;
  const AssociationGradients<T>& gradients_;
  const std::ptrdiff_t chunks_;
  std::vector<double> beta_parts_;
  AlignedArray<T> parts_, maps_t_;
  AssociationInput<T> transposed_{};  // with the transposed maps
  std::atomic<std::int64_t> singular_{0};
};

}  // namespace

template <class T>
std::int64_t associate_adjoint(const AssociationInput<T>& input, const HeadRows<const T>& out,
                               const std::int64_t* steps, const AssociationTrace<const T>& trace,
                               const HeadRows<const T>& out_cotangents,
                               const AssociationGradients<T>& gradients,
                               const Execution& execution) {
  return AssociationAdjointPass<T>(input, out, steps, trace, out_cotangents, gradients)
      .run(execution);
}

template std::int64_t associate_adjoint(const AssociationInput<float>&,
                                        const HeadRows<const float>&, const std::int64_t*,
                                        const AssociationTrace<const float>&,
                                        const HeadRows<const float>&,
                                        const AssociationGradients<float>&, const Execution&);
template std::int64_t associate_adjoint(const AssociationInput<double>&,
                                        const HeadRows<const double>&, const std::int64_t*,
                                        const AssociationTrace<const double>&,
                                        const HeadRows<const double>&,
                                        const AssociationGradients<double>&, const Execution&);

}  // namespace hopfix
