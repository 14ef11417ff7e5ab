// What descents on all patterns and on batches of them share: the schedule and the line search.
#pragma once

#include <chrono>
#include <cmath>

#include "hopfix/separation_kernel.hpp"
#include "pair_loss.hpp"

namespace hopfix {

// Progress, the deadline and the record of one descent.
class DescentRun {
 public:
  DescentRun(const DescentOptions& options, const Execution& execution)
      : options_(options), execution_(execution), start_(Clock::now()) {
    execution_.stop_requested = [this, &execution] {
      if (seconds() > options_.time_limit) return true;
      return execution.stop_requested && execution.stop_requested();
    };
  }
  DescentRun(const DescentRun&) = delete;
  DescentRun& operator=(const DescentRun&) = delete;

  // Interruptible, also by the time limit.
  const Execution& execution() const { return execution_; }
  void record(double loss) { result.losses.push_back(loss); }
  // Reports step `done`; throws Interrupted at the time limit.
  void report(std::int64_t done) const {
    if (options_.progress) options_.progress(done, options_.steps);
    if (execution_.stop_requested()) throw Interrupted();
  }
  // How the Interrupted that was caught came about.
  DescentEnd interruption() const {
    return seconds() > options_.time_limit ? DescentEnd::time_limit : DescentEnd::interrupted;
  }

  Descent result;

 private:
  using Clock = std::chrono::steady_clock;
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  const DescentOptions& options_;
  Execution execution_;
  Clock::time_point start_;
};

template <class T>
bool usable(const typename PairLoss<T>::Value& value) {
  return value.valid() && std::isfinite(value.objective);
}

// Features on the way from those given along -velocity; `slope` = -dL/dstep at the start.
template <class T>
class LineSearch {
 public:
  LineSearch(PairLoss<T>& loss, Panels<T>& features, const Panels<T>& velocity,
             const Execution& execution)
      : loss_(loss), features_(features), velocity_(velocity), execution_(execution) {}

  // Takes the features to the step and evaluates the loss there.
  typename PairLoss<T>::Value evaluate(double step) {
    add_scaled(at_ - step, velocity_, features_, execution_);
    at_ = step;
    return loss_.evaluate(features_, execution_);
  }

  // The first step, from the one given on down, whose loss is below reference - 1e-4 step slope;
  // 0 if there is none, and the features are back where they were.
  double run(double step, double start, double reference, double slope,
             typename PairLoss<T>::Value& value) {
    constexpr int kTrials = 30;
    for (int trial = 0; trial < kTrials; ++trial) {
      value = evaluate(step);
      if (usable<T>(value) && value.objective <= reference - 1e-4 * step * slope) return step;
      // The minimum of the parabola through both losses with the slope at 0.
      const double bend = usable<T>(value) ? value.objective - start + step * slope : HUGE_VAL;
      const double best = bend > 0 ? 0.5 * slope * step * step / bend : 0;
      step = std::min(std::max(best, 0.1 * step), 0.5 * step);
    }
    value = evaluate(0);
    return 0;
  }

 private:
  PairLoss<T>& loss_;
  Panels<T>& features_;
  const Panels<T>& velocity_;
  const Execution& execution_;
  double at_ = 0;
};

// The sharpness of the soft maximum at each step: doubled from stage to stage.
class SofteningSchedule {
 public:
  explicit SofteningSchedule(const DescentOptions& options)
      : soft_(options.loss.kind == SeparationLoss::Kind::maximum && options.rates.empty()),
        t_(options.loss.t),
        stage_length_(std::max<std::int64_t>(1, (options.steps + kStages - 1) / kStages)) {}

  // 0 for a loss that is taken as it is.
  double sharpness(std::int64_t step) const {
    if (!soft_) return 0;
    const std::int64_t stage = std::min<std::int64_t>(step / stage_length_, kStages - 1);
    return std::ldexp(kFirst * t_, static_cast<int>(stage));
  }
  // The first step of the next stage, if there is one, else `steps`.
  std::int64_t next_stage(std::int64_t step, std::int64_t steps) const {
    if (!soft_) return steps;
    return std::min(steps, (step / stage_length_ + 1) * stage_length_);
  }

 private:
  static constexpr std::int64_t kStages = 8;
  static constexpr double kFirst = 4;
  bool soft_;
  double t_;
  std::int64_t stage_length_;
};

// Descents of hopfix/separation_kernel.hpp; the record goes to run.result.
template <class T>
void descend_on_all(const PatternRows<T>& patterns, T* matrix, std::ptrdiff_t features,
                    const DescentOptions& options, DescentRun& run);
template <class T>
void descend_on_batches(const PatternRows<T>& patterns, T* matrix, std::ptrdiff_t features,
                        const DescentOptions& options, DescentRun& run);

}  // namespace hopfix
