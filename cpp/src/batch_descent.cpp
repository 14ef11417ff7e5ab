// Descent by steps that each look at a few patterns: by way of the matrix itself.
#include <cmath>
#include <limits>

#include "kernel_descent.hpp"

namespace hopfix {

namespace {

template <class T>
class BatchDescent {
 public:
  BatchDescent(const PatternRows<T>& patterns, const T* matrix, std::ptrdiff_t features,
               const DescentOptions& options, DescentRun& run)
      : patterns_(patterns),
        options_(options),
        run_(run),
        execution_(run.execution()),
        size_(static_cast<std::ptrdiff_t>(options.batches.size()) /
              static_cast<std::ptrdiff_t>(options.steps)),
        matrix_(Panels<T>::from_rows(matrix, features, patterns.dim, execution_)
                    .transposed(execution_)),
        loss_(options.loss, size_, features),
        features_(size_, features),
        gradient_(size_, features),
        velocity_(size_, features),
        change_(patterns.dim, features) {}

  DescentEnd run() {
    for (std::int64_t step = 0; step < options_.steps; ++step) {
      run_.report(step);
      const std::int64_t* batch = options_.batches.data() + step * size_;
      const Panels<T> rows =
          Panels<T>::from_rows(patterns_.data, size_, patterns_.dim, execution_, batch);
      const DescentEnd end = one_step(step, rows, rows.transposed(execution_));
      if (end != DescentEnd::steps) {
        if (step == 0 && value_.fault >= 0) run_.result.fault = batch[value_.fault];
        return end;
      }
    }
    run_.report(options_.steps);
    return DescentEnd::steps;
  }

  void store(T* matrix, const Execution& execution) const {
    matrix_.transposed(execution).to_rows(matrix, execution);
  }

 private:
  DescentEnd one_step(std::int64_t step, const Panels<T>& rows, const Panels<T>& columns) {
    loss_.soften(schedule_.sharpness(step));
    multiply(columns, matrix_, features_, execution_);
    value_ = loss_.evaluate(features_, execution_);
    if (!usable<T>(value_)) return DescentEnd::diverged;
    run_.record(value_.loss);
    loss_.gradient(features_, gradient_, execution_);
    multiply(rows, gradient_, change_, execution_);
    const double slope = inner(change_, change_, execution_);
    if (!std::isfinite(slope)) return DescentEnd::diverged;
    if (slope == 0) return DescentEnd::steps;  // nothing to be learned from this batch
    const double length = options_.rates.empty() ? searched(columns, slope)
                                                 : options_.rates[static_cast<std::size_t>(step)];
    const double longest =
        std::sqrt(inner(matrix_, matrix_, execution_)) + std::fabs(length) * std::sqrt(slope);
    if (!(longest <= std::numeric_limits<T>::max())) return DescentEnd::diverged;
    add_scaled(-length, change_, matrix_, {execution_.threads, nullptr});
    return DescentEnd::steps;
  }

  // Armijo's condition on the batch (Vaswani et al. 2019), from twice the step before.
  double searched(const Panels<T>& columns, double slope) {
    const double size = inner(matrix_, matrix_, execution_);
    const double longest = std::sqrt(size / slope);
    const double first = length_ > 0 ? std::min(2 * length_, longest) : 0.1 * longest;
    multiply(columns, change_, velocity_, execution_);
    LineSearch<T> line(loss_, features_, velocity_, execution_);
    typename PairLoss<T>::Value value;
    const double step = line.run(first, value_.objective, value_.objective, slope, value);
    if (step > 0) length_ = step;
    return step;
  }

  const PatternRows<T>& patterns_;
  const DescentOptions& options_;
  DescentRun& run_;
  const Execution& execution_;
  std::ptrdiff_t size_;
  SofteningSchedule schedule_{options_};
  Panels<T> matrix_;  // W^T
  PairLoss<T> loss_;
  Panels<T> features_, gradient_, velocity_, change_;
  typename PairLoss<T>::Value value_;
  double length_ = 0;
};

}  // namespace

template <class T>
void descend_on_batches(const PatternRows<T>& patterns, T* matrix, std::ptrdiff_t features,
                        const DescentOptions& options, DescentRun& run) {
  BatchDescent<T> descent(patterns, matrix, features, options, run);
  try {
    run.result.end = descent.run();
  } catch (const Interrupted&) {
    run.result.end = run.interruption();
  }
  if (run.result.fault < 0) descent.store(matrix, {run.execution().threads, nullptr});
}

template void descend_on_batches(const PatternRows<float>&, float*, std::ptrdiff_t,
                                 const DescentOptions&, DescentRun&);
template void descend_on_batches(const PatternRows<double>&, double*, std::ptrdiff_t,
                                 const DescentOptions&, DescentRun&);

}  // namespace hopfix
