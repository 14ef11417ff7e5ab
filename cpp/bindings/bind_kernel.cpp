// Separation losses of linear features, and kernels learned by them, of both dtypes.
#include "arrays.hpp"
#include "bindings.hpp"
#include "hopfix/separation_kernel.hpp"

namespace hopfix::bindings {

namespace {

template <class T>
PatternRows<T> rows_of(const Array<T>& patterns) {
  return {patterns.data(), patterns.shape(0), patterns.shape(1)};
}

// (loss, gradient or None, fault).
template <class T>
py::tuple loss_and_gradient(const Array<T>& patterns, const Array<T>& matrix,
                            const SeparationLoss& loss, bool wants_gradient, int threads) {
  Array<T> gradient({wants_gradient ? matrix.shape(0) : 0, matrix.shape(1)});
  T* const out = wants_gradient ? gradient.mutable_data() : nullptr;
  LossValue value;
  run_released(threads, [&](const Execution& execution) {
    value =
        separation_loss(rows_of(patterns), matrix.data(), matrix.shape(0), loss, out, execution);
  });
  return py::make_tuple(value.value, wants_gradient ? py::object(gradient) : py::none(),
                        value.fault);
}

template <class T>
Array<T> features(const Array<T>& patterns, const Array<T>& matrix, int threads) {
  Array<T> out({patterns.shape(0), matrix.shape(0)});
  T* const to = out.mutable_data();
  run_released(threads, [&](const Execution& execution) {
    linear_features(rows_of(patterns), matrix.data(), matrix.shape(0), to, execution);
  });
  return out;
}

// ({matrix, losses, end, fault}, exception or None). The start becomes the matrix: the caller must
// own it.
template <class T>
py::tuple fit(const Array<T>& patterns, Array<T> matrix, const SeparationLoss& loss,
              std::int64_t steps, const Array<double>& rates, const Array<std::int64_t>& batches,
              double tolerance, double time_limit, const py::object& progress, int threads) {
  DescentOptions options;
  options.loss = loss;
  options.steps = steps;
  options.rates = to_vector(rates);
  options.batches = to_vector(batches);
  options.tolerance = tolerance;
  options.time_limit = time_limit;
  options.progress = progress_callback(progress);
  T* const to = matrix.mutable_data();
  Descent descent;
  run_released(threads, [&](const Execution& execution) {
    descent = descend(rows_of(patterns), to, matrix.shape(0), options, execution);
  });
  py::dict out;
  out["matrix"] = matrix;
  const auto losses = static_cast<py::ssize_t>(descent.losses.size());
  out["losses"] = to_array(std::move(descent.losses), {losses});
  out["end"] = describe(descent.end);
  out["fault"] = descent.fault;
  return py::make_tuple(out, take_pending_exception());
}

template <class T>
void bind_kernels_of(py::module_& m) {
  m.def("separation_loss", &loss_and_gradient<T>);
  m.def("linear_features", &features<T>);
  m.def("fit_separation_kernel", &fit<T>);
}

}  // namespace

void bind_kernel(py::module_& m) {
  using Kind = SeparationLoss::Kind;
  py::class_<SeparationLoss>(m, "SeparationLoss")
      .def(py::init([](const std::string& kind, double t, bool normalize) {
        const Kind of = kind == "maximum" ? Kind::maximum
                        : kind == "layer" ? Kind::layer
                                          : Kind::average;
        return SeparationLoss{of, t, normalize};
      }));
  bind_kernels_of<float>(m);
  bind_kernels_of<double>(m);
}

}  // namespace hopfix::bindings
