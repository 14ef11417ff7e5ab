// Descent on all patterns in the coefficients C of W = W_0 + C^T X.
#include "kernel_descent.hpp"

#include <algorithm>
#include <limits>
#include <memory>

namespace hopfix {

namespace {

// v = X X^T h: by that matrix, or in two products where these are cheaper.
template <class T>
class PatternProduct {
 public:
  PatternProduct(Panels<T> columns, std::ptrdiff_t features, const PatternRows<T>& patterns,
                 const Execution& execution)
      : stored_(patterns.count < 2 * patterns.dim) {
    if (stored_) {
      gram_ = Panels<T>(patterns.count, patterns.count);
      gram(columns, gram_, execution);
    } else {
      columns_ = std::move(columns);
      rows_ = Panels<T>::from_rows(patterns.data, patterns.count, patterns.dim, execution);
      half_ = Panels<T>(patterns.dim, features);
    }
  }

  void apply(const Panels<T>& h, Panels<T>& v, const Execution& execution) {
    if (stored_) return multiply(gram_, h, v, execution);
    multiply(rows_, h, half_, execution);
    multiply(columns_, half_, v, execution);
  }

  // The same where only these rows of h are not zero.
  void apply(const std::vector<std::int64_t>& active, const Panels<T>& h, Panels<T>& v,
             const Execution& execution) {
    if (!stored_ || active.empty()) return apply(h, v, execution);
    multiply(chosen(gram_, active), chosen(h, active), v, execution);
  }

 private:
  static Panels<T> chosen(const Panels<T>& m, const std::vector<std::int64_t>& rows) {
    Panels<T> out(static_cast<std::ptrdiff_t>(rows.size()), m.cols());
    for (std::ptrdiff_t p = 0; p < m.panels(); ++p)
      for (std::ptrdiff_t r = 0; r < out.rows(); ++r)
        std::copy_n(m.panel(p) + rows[static_cast<std::size_t>(r)] * m.lanes(), m.lanes(),
                    out.panel(p) + r * m.lanes());
    return out;
  }

  bool stored_;
  Panels<T> gram_, columns_, rows_, half_;
};

// An orthonormal basis of the span of the first features, when that makes steps much cheaper and
// is not long work itself: features = coordinates basis.
template <class T>
class FeatureBasis {
 public:
  static bool worthwhile(std::ptrdiff_t count, std::ptrdiff_t features) {
    const double m = static_cast<double>(count), d = static_cast<double>(features);
    return 4 * features >= 5 * count && m * m * d < 5e9;
  }

  // Replaces features (M x D) by coordinates (M x M).
  void reduce(Panels<T>& features, const Execution& execution) {
    const std::ptrdiff_t m = features.rows(), d = features.cols();
    std::vector<T, PageAllocator<T>> rows(static_cast<std::size_t>(m * d));
    std::vector<T, PageAllocator<T>> lower(static_cast<std::size_t>(m * m));
    features.to_rows(rows.data(), execution);
    panel_kernels(T()).lq(rows.data(), m, d, lower.data());
    features = Panels<T>::from_rows(lower.data(), m, m, execution);
    basis_ = Panels<T>::from_rows(rows.data(), m, d, execution);
  }

  // change (D x d) of the matrix from that in coordinates.
  Panels<T> expand(Panels<T> change, const Execution& execution) const {
    if (basis_.size() == 0) return change;
    Panels<T> out(basis_.cols(), change.cols());
    multiply(basis_, change, out, execution);
    return out;
  }

 private:
  Panels<T> basis_;
};

template <class T>
double norm2(const T* x, std::ptrdiff_t count) {
  double sum = 0;
  for (std::ptrdiff_t i = 0; i < count; ++i)
    sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

template <class T>
class FullDescent {
 public:
  FullDescent(const PatternRows<T>& patterns, const T* matrix, std::ptrdiff_t features,
              const DescentOptions& options, DescentRun& run)
      : patterns_(patterns),
        options_(options),
        run_(run),
        execution_(run.execution()),
        start2_(norm2(matrix, features * patterns.dim)),
        matrix2_(start2_) {
    Panels<T> columns =
        Panels<T>::from_rows(patterns.data, patterns.count, patterns.dim, execution_)
            .transposed(execution_);
    features_ = Panels<T>(patterns.count, features);
    multiply(
        columns,
        Panels<T>::from_rows(matrix, features, patterns.dim, execution_).transposed(execution_),
        features_, execution_);
    if (FeatureBasis<T>::worthwhile(patterns.count, features)) basis_.reduce(features_, execution_);
    const std::ptrdiff_t width = features_.cols();
    product_ = std::make_unique<PatternProduct<T>>(std::move(columns), width, patterns, execution_);
    loss_ = std::make_unique<PairLoss<T>>(options.loss, patterns.count, width);
    coefficients_ = Panels<T>(patterns.count, width);
    gradient_ = Panels<T>(patterns.count, width);
    velocity_ = Panels<T>(patterns.count, width);
  }

  DescentEnd run() {
    const bool search = options_.rates.empty();
    if (!start(0)) {
      run_.result.fault = std::max<std::ptrdiff_t>(value_.fault, 0);
      return DescentEnd::diverged;
    }
    run_.record(value_.loss);
    for (std::int64_t step = 0; step < options_.steps; ++step) {
      run_.report(step);
      if (search && step > 0 && schedule_.sharpness(step) != schedule_.sharpness(step - 1))
        start(step);
      if (small_gradient()) return DescentEnd::gradient;
      const DescentEnd end = search ? searched_step() : plain_step(step);
      if (end != DescentEnd::steps) {
        const std::int64_t next = schedule_.next_stage(step, options_.steps);
        if (end == DescentEnd::diverged || next == options_.steps) return end;
        step = next - 1;  // this soft maximum is as small as it gets: on to a sharper one
        continue;
      }
      run_.record(value_.loss);
    }
    run_.report(options_.steps);
    return small_gradient() ? DescentEnd::gradient : DescentEnd::steps;
  }

  // matrix += the change made so far, unless the sum might overflow, as it can where patterns are
  // tiny and features are not; whether so. Nothing else may be asked for afterwards.
  bool apply_to(T* matrix, const Execution& execution) {
    loss_.reset();  // the descent is over: its memory serves the products
    product_.reset();
    features_ = gradient_ = velocity_ = Panels<T>();
    Panels<T> rows =
        Panels<T>::from_rows(patterns_.data, patterns_.count, patterns_.dim, execution);
    Panels<T> change(coefficients_.cols(), patterns_.dim);
    multiply(coefficients_, rows, change, execution);
    rows = coefficients_ = Panels<T>();
    change = basis_.expand(std::move(change), execution);
    const double longest = std::sqrt(start2_) + std::sqrt(inner(change, change, execution));
    if (!(longest <= std::numeric_limits<T>::max())) return false;
    change.add_to_rows(matrix, execution);
    return true;
  }

 private:
  // The loss and the gradient at the present features.
  bool start(std::int64_t step) {
    loss_->soften(schedule_.sharpness(step));
    value_ = loss_->evaluate(features_, execution_);
    if (!usable<T>(value_)) return false;
    loss_->gradient(features_, gradient_, execution_);
    advance_velocity();
    reference_ = value_.objective;
    averaged_ = 1;
    window_.clear();
    step_length_ = slope_ > 0 ? 0.1 * std::sqrt(matrix2_ / slope_) : 0;
    return true;
  }

  void advance_velocity() {
    product_->apply(loss_->active(), gradient_, velocity_, execution_);
    slope_ = std::max(0.0, inner(gradient_, velocity_, execution_));
    radial_ = inner(features_, gradient_, execution_);
  }

  bool small_gradient() const { return std::sqrt(slope_ * matrix2_) <= options_.tolerance; }

  void moved(double step) {
    add_scaled(-step, gradient_, coefficients_, uninterrupted());
    matrix2_ = std::max(0.0, matrix2_ - 2 * step * radial_ + step * step * slope_);
  }

  // What must not be left half done.
  Execution uninterrupted() const { return {execution_.threads, nullptr}; }

  DescentEnd plain_step(std::int64_t step) {
    const double rate = options_.rates[static_cast<std::size_t>(step)];
    LineSearch<T> line(*loss_, features_, velocity_, execution_);
    const auto value = line.evaluate(rate);
    if (!usable<T>(value)) return DescentEnd::diverged;
    moved(rate);
    value_ = value;
    loss_->gradient(features_, gradient_, execution_);
    advance_velocity();
    return std::isfinite(slope_) ? DescentEnd::steps : DescentEnd::diverged;
  }

  DescentEnd searched_step() {
    LineSearch<T> line(*loss_, features_, velocity_, execution_);
    typename PairLoss<T>::Value value;
    const double step =
        slope_ > 0 ? line.run(step_length_, value_.objective, reference_, slope_, value) : 0;
    if (step == 0) return DescentEnd::stalled;
    moved(step);
    value_ = value;
    remember(value.objective);
    const double before = slope_;
    loss_->gradient(features_, gradient_, execution_);
    const double across = inner(gradient_, velocity_, execution_);
    advance_velocity();
    if (!std::isfinite(slope_)) return DescentEnd::diverged;
    step_length_ = spectral_length(step, before, across);
    return level() ? DescentEnd::stalled : DescentEnd::steps;
  }

  // From the change s = -step g of the matrix and y of its gradient: <s, s> / <s, y>, or, where
  // much shorter, <s, y> / <y, y> (Zhou, Gao and Dai 2006).
  double spectral_length(double step, double before, double across) const {
    const double longest = slope_ > 0 ? std::sqrt(matrix2_ / slope_) : step;
    const double curvature = before - across, change = slope_ - 2 * across + before;
    if (!(curvature > 0)) return std::min(4 * step, longest);
    const double length = step * before / curvature;
    const double shorter = change > 0 ? step * curvature / change : length;
    return std::min(shorter < 0.5 * length ? shorter : length, longest);
  }

  static constexpr std::size_t kLevel = 20;
  static constexpr double kForgetting = 0.5;

  // Steps may rise to a weighted mean of the losses so far (Zhang and Hager 2004).
  void remember(double objective) {
    const double weight = kForgetting * averaged_;
    reference_ = (weight * reference_ + objective) / (weight + 1);
    averaged_ = weight + 1;
    window_.push_back(objective);
    if (window_.size() > kLevel) window_.erase(window_.begin());
  }

  // No more change than rounding over the last steps.
  bool level() const {
    if (window_.size() < kLevel) return false;
    const auto [low, high] = std::minmax_element(window_.begin(), window_.end());
    const double rounding = std::numeric_limits<T>::epsilon() * std::max(1.0, std::fabs(*low));
    return *high - *low <= rounding;
  }

  const PatternRows<T>& patterns_;
  const DescentOptions& options_;
  DescentRun& run_;
  const Execution& execution_;
  SofteningSchedule schedule_{options_};
  Panels<T> features_, coefficients_, gradient_, velocity_;
  FeatureBasis<T> basis_;
  std::unique_ptr<PatternProduct<T>> product_;
  std::unique_ptr<PairLoss<T>> loss_;
  typename PairLoss<T>::Value value_;
  double start2_;           // |W|^2 of the start
  double matrix2_;          // |W|^2
  double slope_ = 0;        // |dL/dW|^2
  double radial_ = 0;       // <W, dL/dW>
  double step_length_ = 0;  // of the next search
  double reference_ = 0, averaged_ = 1;
  std::vector<double> window_;
};

}  // namespace

template <class T>
void descend_on_all(const PatternRows<T>& patterns, T* matrix, std::ptrdiff_t features,
                    const DescentOptions& options, DescentRun& run) {
  std::unique_ptr<FullDescent<T>> descent;
  try {
    descent = std::make_unique<FullDescent<T>>(patterns, matrix, features, options, run);
    run.result.end = descent->run();
  } catch (const Interrupted&) {
    run.result.end = run.interruption();
  }
  if (descent && run.result.fault < 0 &&
      !descent->apply_to(matrix, {run.execution().threads, nullptr}))
    run.result.end = DescentEnd::diverged;
}

template void descend_on_all(const PatternRows<float>&, float*, std::ptrdiff_t,
                             const DescentOptions&, DescentRun&);
template void descend_on_all(const PatternRows<double>&, double*, std::ptrdiff_t,
                             const DescentOptions&, DescentRun&);

}  // namespace hopfix
