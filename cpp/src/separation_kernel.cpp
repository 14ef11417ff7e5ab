#include "hopfix/separation_kernel.hpp"

#include "kernel_descent.hpp"

namespace hopfix {

namespace {

template <class T>
Panels<T> columns_of(const T* rows, std::ptrdiff_t count, std::ptrdiff_t dim,
                     const Execution& execution) {
  return Panels<T>::from_rows(rows, count, dim, execution).transposed(execution);
}

template <class T>
Panels<T> features_of(const PatternRows<T>& patterns, const T* matrix, std::ptrdiff_t features,
                      const Execution& execution) {
  Panels<T> out(patterns.count, features);
  multiply(columns_of(patterns.data, patterns.count, patterns.dim, execution),
           columns_of(matrix, features, patterns.dim, execution), out, execution);
  return out;
}

}  // namespace

template <class T>
void linear_features(const PatternRows<T>& patterns, const T* matrix, std::ptrdiff_t features,
                     T* out, const Execution& execution) {
  features_of(patterns, matrix, features, execution).to_rows(out, execution);
}

template <class T>
LossValue separation_loss(const PatternRows<T>& patterns, const T* matrix, std::ptrdiff_t features,
                          const SeparationLoss& loss, T* gradient, const Execution& execution) {
  const Panels<T> images = features_of(patterns, matrix, features, execution);
  PairLoss<T> pairs(loss, patterns.count, features);
  const auto value = pairs.evaluate(images, execution);
  if (gradient != nullptr && value.valid()) {
    Panels<T> h(patterns.count, features);
    pairs.gradient(images, h, execution);
    Panels<T> out(features, patterns.dim);
    multiply(h, Panels<T>::from_rows(patterns.data, patterns.count, patterns.dim, execution), out,
             execution);
    out.to_rows(gradient, execution);
  }
  return {value.loss, value.fault};
}

const char* describe(DescentEnd end) {
  switch (end) {
    case DescentEnd::gradient:
      return "gradient";
    case DescentEnd::stalled:
      return "stalled";
    case DescentEnd::diverged:
      return "diverged";
    case DescentEnd::time_limit:
      return "time_limit";
    case DescentEnd::interrupted:
      return "interrupted";
    case DescentEnd::steps:
      break;
  }
  return "steps";
}

template <class T>
Descent descend(const PatternRows<T>& patterns, T* matrix, std::ptrdiff_t features,
                const DescentOptions& options, const Execution& execution) {
  DescentRun run(options, execution);
  const auto descent = options.batches.empty() ? descend_on_all<T> : descend_on_batches<T>;
  descent(patterns, matrix, features, options, run);
  return run.result;
}

#define HOPFIX_INSTANTIATE(T)                                                                \
  template LossValue separation_loss(const PatternRows<T>&, const T*, std::ptrdiff_t,        \
                                     const SeparationLoss&, T*, const Execution&);           \
  template void linear_features(const PatternRows<T>&, const T*, std::ptrdiff_t, T*,         \
                                const Execution&);                                           \
  template Descent descend(const PatternRows<T>&, T*, std::ptrdiff_t, const DescentOptions&, \
                           const Execution&);
HOPFIX_INSTANTIATE(float)
HOPFIX_INSTANTIATE(double)
#undef HOPFIX_INSTANTIATE

}  // namespace hopfix
