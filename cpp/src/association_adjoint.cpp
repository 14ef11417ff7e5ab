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
#include <utility>
#include <vector>

#include "association_fixed_points.hpp"
#include "association_tiles.hpp"

namespace hopfix {

namespace {

using kernels::AssociationCotangents;

constexpr std::ptrdiff_t kChunk = 512;

template <class T>
struct AdjointWorkspace {
  AlignedArray<T> patterns, values, rows, tile, cotangent_tile, bias, bias_rows, state_gradient;
  AlignedArray<T> lanes;  // log sums, and products of cotangents and averages
  AlignedArray<T> scratch;
  AlignedArray<T> states, cotangents, state_cotangents, products;  // rows
  AlignedArray<T> mapped, map_cotangent;
  FixedPointWorkspace<T> fixed_points;
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
    AssociationFixedPoints<T> points(at.block, at.shape, at.count, in_.beta[at.h],
                                     average_at(at, 0, 1), w.fixed_points);
    singular_ += points.solve(w.state_cotangents.data());
    std::fill_n(w.lanes.data(), 2 * at.shape.tile->width, T(0));
    const std::vector<T> averages = points.averages();
    for (std::ptrdiff_t i = 0; i < at.count; ++i)
      load(at, i, 1, w.state_cotangents.data() + i * s_.dim, s_.dim, averages.data() + i * s_.dim,
           w);
    step(at, with_patterns_as_values(at.block), w.pattern_gradient, w);
  }

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
