#include "hopfix/attention_dynamics.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>

#include "hopfix/isa.hpp"
#include "hopfix/network.hpp"
#include "kernels/table.hpp"
#include "shared_stop.hpp"

namespace hopfix {

namespace {

using kernels::AttentionBlock;
using kernels::AttentionKernels;
using kernels::AttentionModel;
using kernels::AttentionRecord;
using std::ptrdiff_t;
using std::size_t;

AttentionModel model_of(const AttentionSystem& s) {
  return {s.features,        s.context,          s.classes,      s.projection.data(),
          s.readouts.data(), s.positions.data(), s.slopes.data()};
}

// Several vectors side by side hide each other's latency; one does where it holds them all.
const AttentionKernels& kernels_for(ptrdiff_t count) {
  const AttentionKernels* shapes = isa::table().attention;
  return count <= shapes[0].lanes ? shapes[0] : shapes[1];
}

// The trajectories first, first + 1, ... of a batch in the lanes of one block, with its memory; the
// lanes beyond the last trajectory repeat it.
class Block {
 public:
  Block(const AttentionSystem& system, const AttentionParameters& parameters,
        const AttentionKernels& kernels, ptrdiff_t first, ptrdiff_t tangents, bool slopes)
      : system_(system),
        model_(model_of(system)),
        kernels_(kernels),
        first_(first),
        count_(std::min(kernels.lanes, parameters.count - first)),
        tangents_(tangents) {
    const ptrdiff_t m = system.features, window = system.context * m, lanes = kernels.lanes;
    const ptrdiff_t scratch =
        kernels::attention_scratch(m, system.context, system.classes, tangents, lanes) / lanes;
    memory_.reserve(lanes * (3 + 3 * window + (slopes ? 2 * window * m : 0) + scratch +
                             (window + 2) * tangents + system.classes));
    double* next = memory_.data();
    const auto take = [&](ptrdiff_t numbers) {
      double* const start = next;
      next += numbers * lanes;
      std::fill(start, next, 0.0);
      return start;
    };
    double *const beta = take(1), *const coupling = take(1), *const weight = take(1);
    const double root = std::sqrt(static_cast<double>(m));
    for (ptrdiff_t lane = 0; lane < lanes; ++lane) {
      const ptrdiff_t b = trajectory(lane);
      beta[lane] = parameters.beta[b];
      coupling[lane] = parameters.gamma[b] / root;
      weight[lane] = parameters.position_weight[b];
    }
    block_ = {};
    block_.beta = beta;
    block_.coupling = coupling;
    block_.weight = weight;
    block_.attention = take(window);
    block_.values = take(window);
    block_.keys = take(window);
    if (slopes) {
      block_.value_slopes = take(window * m);
      block_.key_slopes = take(window * m);
    }
    block_.scratch = take(scratch);
    block_.tangents = take(window * tangents);
    block_.mantissas = take(tangents);
    block_.exponents = take(tangents);
    token_ = take(system.classes);
  }

  ptrdiff_t lanes() const { return kernels_.lanes; }
  ptrdiff_t count() const { return count_; }
  ptrdiff_t trajectory(ptrdiff_t lane) const { return first_ + std::min(lane, count_ - 1); }

  void load(const AttentionWindow& window) {
    const ptrdiff_t m = system_.features, length = system_.context, filled = window.filled;
    block_.filled = filled;
    block_.position = window.position;
    block_.head = filled == 0 ? length - 1 : filled - 1;
    for (ptrdiff_t lane = 0; lane < lanes(); ++lane) {
      const ptrdiff_t b = trajectory(lane);
      for (ptrdiff_t age = 0; age < filled; ++age)
        for (ptrdiff_t a = 0; a < m; ++a)
          block_.attention[((filled - 1 - age) * m + a) * lanes() + lane] =
              window.attention[static_cast<size_t>((b * filled + age) * m + a)];
      for (ptrdiff_t c = 0; c < system_.classes && !window.token.empty(); ++c)
        token_[c * lanes() + lane] = window.token[static_cast<size_t>(b * system_.classes + c)];
    }
    // What the tokens of the window were: the oldest of a full window no longer counts.
    const auto position = [&](ptrdiff_t slot) {
      return ((window.position - filled + slot) % length + length) % length;
    };
    if (0 < filled && filled < length) kernels_.fields(model_, block_, token_, 0, 0, position(0));
    for (ptrdiff_t slot = 1; slot < filled; ++slot)
      kernels_.fields(model_, block_, nullptr, slot - 1, slot, position(slot));
    starts_with_token_ = filled == 0;
  }

  void save(AttentionWindow& window) const {
    const ptrdiff_t m = system_.features, length = system_.context, filled = window.filled;
    for (ptrdiff_t lane = 0; lane < count_; ++lane)
      for (ptrdiff_t age = 0; age < filled; ++age)
        for (ptrdiff_t a = 0; a < m; ++a) {
          const ptrdiff_t slot = (block_.head - age + length) % length;
          window.attention[static_cast<size_t>(((first_ + lane) * filled + age) * m + a)] =
              block_.attention[(slot * m + a) * lanes() + lane];
        }
  }

  void simulate(ptrdiff_t steps, AttentionRecord what, double* record) {
    if (steps == 0) return;
    kernels_.simulate(model_, block_, starts_with_token_ ? token_ : nullptr, steps, what, record);
    starts_with_token_ = false;
  }

  void linearise(ptrdiff_t steps, double* jacobians) {
    kernels_.linearise(model_, block_, steps, tangents_, jacobians);
  }

  // Any start will do that favours no direction; the first step makes it orthonormal.
  void scatter_tangents() {
    std::uint64_t random = 1;
    const ptrdiff_t numbers = system_.context * system_.features * tangents_;
    for (ptrdiff_t k = 0; k < numbers; ++k) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      const double value = static_cast<double>(random >> 11) * 0x1p-53 - 0.5;
      std::fill_n(block_.tangents + k * lanes(), lanes(), value);
    }
  }

  void reset_exponents() {
    std::fill_n(block_.mantissas, tangents_ * lanes(), 1.0);
    std::fill_n(block_.exponents, tangents_ * lanes(), 0.0);
  }
  double log_growth(ptrdiff_t i, ptrdiff_t lane) const {
    const ptrdiff_t at = i * lanes() + lane;
    return block_.exponents[at] * std::log(2.0) + std::log(block_.mantissas[at]);
  }

 private:
  const AttentionSystem& system_;
  const AttentionModel model_;
  const AttentionKernels& kernels_;
  const ptrdiff_t first_, count_, tangents_;
  AlignedArray<double> memory_;
  AttentionBlock block_{};
  double* token_ = nullptr;
  bool starts_with_token_ = false;
};

// Blocks of trajectories in parallel, each in chunks of steps between which it may be stopped.
class Runner {
 public:
  Runner(ptrdiff_t count, std::int64_t steps, const AttentionKernels& kernels,
         AttentionProgress progress, const Execution& execution)
      : blocks_((count + kernels.lanes - 1) / kernels.lanes),
        total_(blocks_ * steps),
        progress_(std::move(progress)),
        stop_(execution, [this, user_stop = execution.stop_requested] {
          if (user_stop && user_stop()) return true;
          if (progress_) progress_(done_, total_);
          return false;
        }) {}

  // work(block, worker) calls advance() after every chunk.
  template <class Work>
  void run(const Work& work) {
    parallel_for(blocks_, stop_.execution(),
                 [&](ptrdiff_t block, int worker) { work(block, worker); });
  }

  void advance(std::int64_t steps, int worker) {
    done_ += steps;
    if (stop_.requested(worker)) throw Interrupted();
  }

 private:
  const ptrdiff_t blocks_;
  const std::int64_t total_;
  const AttentionProgress progress_;
  std::atomic<std::int64_t> done_{0};
  SharedStop stop_;
};

// Steps of one chunk, so that a chunk takes well under 20 ms and its record stays in the cache.
std::int64_t chunk_of(const AttentionSystem& system, ptrdiff_t tangents) {
  const ptrdiff_t m = system.features;
  const ptrdiff_t work = 4 * m * system.classes + 2 * system.context * m +
                         system.context * m * (m * m + m * tangents + tangents * tangents);
  return std::clamp<std::int64_t>(200000 / work, 1, 256);
}

}  // namespace

AttentionSystem::AttentionSystem(ptrdiff_t m, ptrdiff_t window, ptrdiff_t k,
                                 std::vector<double> output, std::vector<double> averages,
                                 std::vector<double> position_fields)
    : features(m),
      context(window),
      classes(k),
      projection(std::move(output)),
      readouts(std::move(averages)),
      positions(std::move(position_fields)) {
  for (ptrdiff_t x = 1; x < 4; ++x)
    for (ptrdiff_t a = 0; a < m; ++a)
      for (ptrdiff_t b = 0; b < m; ++b)
        for (ptrdiff_t c = 0; c < k; ++c)
          slopes.push_back(readouts[static_cast<size_t>((x * m + a) * k + c)] *
                           projection[static_cast<size_t>(c * m + b)]);
}

void simulate_attention(const AttentionSystem& system, const AttentionParameters& parameters,
                        AttentionWindow& window, std::int64_t steps, std::int64_t discard,
                        AttentionOutput what, double* out, const AttentionProgress& progress,
                        const Execution& execution) {
  const ptrdiff_t m = system.features;
  const ptrdiff_t numbers = what == AttentionOutput::nothing           ? 0
                            : what == AttentionOutput::semantic_output ? m
                                                                       : 6 * m;
  const AttentionRecord record = numbers == 0   ? AttentionRecord::nothing
                                 : numbers == m ? AttentionRecord::semantic_output
                                                : AttentionRecord::everything;
  const std::int64_t chunk = chunk_of(system, 0), kept = steps - discard;
  const AttentionKernels& kernels = kernels_for(parameters.count);
  AttentionWindow last = window;
  last.filled = std::min<std::int64_t>(system.context, window.filled + steps);
  last.position = (window.position + steps) % system.context;
  last.attention.resize(static_cast<size_t>(parameters.count * last.filled * m));
  Runner runner(parameters.count, steps, kernels, progress, execution);
  runner.run([&](ptrdiff_t index, int worker) {
    const ptrdiff_t lanes = kernels.lanes, first = index * lanes;
    Block block(system, parameters, kernels, first, 0, false);
    block.load(window);
    for (std::int64_t step = 0; step < discard; step += chunk) {
      const std::int64_t size = std::min(chunk, discard - step);
      block.simulate(size, AttentionRecord::nothing, nullptr);
      runner.advance(size, worker);
    }
    AlignedArray<double> rows(chunk * numbers * lanes);
    for (std::int64_t step = 0; step < kept; step += chunk) {
      const std::int64_t size = std::min(chunk, kept - step);
      block.simulate(size, record, rows.data());
      for (ptrdiff_t lane = 0; lane < block.count() && numbers > 0; ++lane) {
        double* to = out + ((first + lane) * kept + step) * numbers;
        for (std::int64_t k = 0; k < size * numbers; ++k) to[k] = rows[k * lanes + lane];
      }
      runner.advance(size, worker);
    }
    block.save(last);
  });
  window = std::move(last);
}

void attention_jacobian(const AttentionSystem& system, const AttentionParameters& parameters,
                        const AttentionWindow& window, double* out, const Execution& execution) {
  const AttentionKernels& kernels = kernels_for(parameters.count);
  const ptrdiff_t numbers = system.context * system.features * system.features;
  Runner runner(parameters.count, 1, kernels, nullptr, execution);
  runner.run([&](ptrdiff_t index, int worker) {
    Block block(system, parameters, kernels, index * kernels.lanes, 0, true);
    block.load(window);
    AlignedArray<double> jacobian(numbers * kernels.lanes);
    block.linearise(1, jacobian.data());
    for (ptrdiff_t lane = 0; lane < block.count(); ++lane)
      for (ptrdiff_t k = 0; k < numbers; ++k)
        out[block.trajectory(lane) * numbers + k] = jacobian[k * kernels.lanes + lane];
    runner.advance(1, worker);
  });
}

void attention_exponents(const AttentionSystem& system, const AttentionParameters& parameters,
                         AttentionWindow& window, const LyapunovOptions& options, double* means,
                         const AttentionProgress& progress, const Execution& execution) {
  const AttentionKernels& kernels = kernels_for(parameters.count);
  const ptrdiff_t n = options.count, batches = options.batches;
  const std::int64_t chunk = chunk_of(system, n);
  AttentionWindow last = window;
  last.position = (window.position + options.warmup + options.steps) % system.context;
  Runner runner(parameters.count, options.warmup + options.steps, kernels, progress, execution);
  runner.run([&](ptrdiff_t index, int worker) {
    Block block(system, parameters, kernels, index * kernels.lanes, n, true);
    block.load(window);
    block.scatter_tangents();
    const auto advance = [&](std::int64_t steps) {
      block.reset_exponents();
      for (std::int64_t step = 0; step < steps; step += chunk) {
        const std::int64_t size = std::min(chunk, steps - step);
        block.linearise(size, nullptr);
        runner.advance(size, worker);
      }
    };
    advance(options.warmup);
    for (ptrdiff_t batch = 0; batch < batches; ++batch) {
      const std::int64_t steps =
          options.steps * (batch + 1) / batches - options.steps * batch / batches;
      advance(steps);
      for (ptrdiff_t lane = 0; lane < block.count(); ++lane)
        for (ptrdiff_t i = 0; i < n; ++i)
          means[(block.trajectory(lane) * batches + batch) * n + i] =
              block.log_growth(i, lane) / static_cast<double>(steps);
    }
    block.save(last);
  });
  window = std::move(last);
}

}  // namespace hopfix
