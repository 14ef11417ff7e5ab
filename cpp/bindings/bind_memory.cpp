// General associative memories of both dtypes: _core.Memory32 and _core.Memory64. As in
// bind_separation.cpp, computations return (result, fault, row), which the Python layer words.
#include <optional>

#include "arrays.hpp"
#include "bindings.hpp"
#include "hopfix/memory.hpp"
#include "retrieval_columns.hpp"
#include "separation_fault.hpp"

namespace hopfix::bindings {

namespace {

template <class T>
Memory<T> make_memory(const Array<T>& patterns, double beta,
                      const std::optional<Array<T>>& log_weights,
                      const std::optional<Array<T>>& values, const std::optional<Array<T>>& matrix,
                      Similarity similarity, const Separation& separation, bool normalize,
                      double sparsify_above) {
  const MemoryOptions options{similarity, separation, matrix ? matrix->shape(0) : 0, normalize,
                              sparsify_above};
  const auto data = [](const auto& array) { return array ? array->data() : nullptr; };
  const T *rows = patterns.data(), *logs = data(log_weights), *of_values = data(values),
          *of_matrix = data(matrix);
  const py::ssize_t n = patterns.shape(0), dim = patterns.shape(1),
                    value_dim = values ? values->shape(1) : 0;
  const py::gil_scoped_release release;
  return Memory<T>(rows, n, dim, beta, logs, of_values, value_dim, of_matrix, options);
}

template <class T>
using StateMethod = SeparationStatus (Memory<T>::*)(const T*, std::ptrdiff_t, T*,
                                                    const Execution&) const;
template <class T>
using PairMethod = SeparationStatus (Memory<T>::*)(const T*, const T*, std::ptrdiff_t, T*,
                                                   const Execution&) const;

template <class T>
py::tuple apply_memory(const Memory<T>& memory, StateMethod<T> method, const Array<T>& states,
                       std::vector<py::ssize_t> shape, int threads) {
  Array<T> out(std::move(shape));
  T* to = out.mutable_data();
  const T* in = states.data();
  const py::ssize_t count = states.shape(0);
  SeparationStatus status;
  run_released(threads, [&](const Execution& execution) {
    status = (memory.*method)(in, count, to, execution);
  });
  return py::make_tuple(out, fault_name(status.fault), status.row);
}

template <class T>
py::tuple apply_memory_pair(const Memory<T>& memory, PairMethod<T> method, const Array<T>& states,
                            const Array<T>& others, py::ssize_t dim, int threads) {
  Array<T> out({states.shape(0), dim});
  T* to = out.mutable_data();
  const T *in = states.data(), *with = others.data();
  const py::ssize_t count = states.shape(0);
  SeparationStatus status;
  run_released(threads, [&](const Execution& execution) {
    status = (memory.*method)(in, with, count, to, execution);
  });
  return py::make_tuple(out, fault_name(status.fault), status.row);
}

template <class T>
py::tuple retrieve_from(const Memory<T>& memory, const Array<T>& states, std::int64_t max_steps,
                        double tol, int threads) {
  Retrieval<T> result;
  SeparationStatus status;
  const py::ssize_t count = states.shape(0);
  run_released(threads, [&](const Execution& execution) {
    result = retrieve(memory, states.data(), count, max_steps, tol, execution, status);
  });
  return py::make_tuple(columns(std::move(result), memory.dim()), fault_name(status.fault),
                        status.row);
}

template <class T>
void bind_memory_of(py::module_& m, const char* name) {
  using M = Memory<T>;
  py::class_<M>(m, name, py::release_gil_before_calling_cpp_dtor())
      .def(py::init(&make_memory<T>))
      .def("map",
           [](const M& memory, const Array<T>& x, int threads) {
             Array<T> out({x.shape(0), static_cast<py::ssize_t>(memory.key_dim())});
             T* to = out.mutable_data();
             run_released(threads, [&](const Execution& execution) {
               memory.map(x.data(), x.shape(0), to, execution);
             });
             return out;
           })
      .def("keys",
           [](const M& memory) {
             return to_array(memory.keys(), {memory.size(), memory.key_dim()});
           })
      .def("update",
           [](const M& memory, const Array<T>& x, int threads) {
             return apply_memory<T>(memory, &M::update, x, {x.shape(0), memory.value_dim()},
                                    threads);
           })
      .def("weights",
           [](const M& memory, const Array<T>& x, int threads) {
             return apply_memory<T>(memory, &M::weights, x, {x.shape(0), memory.size()}, threads);
           })
      .def("energy",
           [](const M& memory, const Array<T>& x, int threads) {
             return apply_memory<T>(memory, &M::energy, x, {x.shape(0)}, threads);
           })
      .def("jvp",
           [](const M& memory, const Array<T>& x, const Array<T>& t, int threads) {
             return apply_memory_pair<T>(memory, &M::jvp, x, t, memory.value_dim(), threads);
           })
      .def("vjp",
           [](const M& memory, const Array<T>& x, const Array<T>& c, int threads) {
             return apply_memory_pair<T>(memory, &M::vjp, x, c, memory.dim(), threads);
           })
      .def("retrieve", &retrieve_from<T>);
}

}  // namespace

void bind_memory(py::module_& m) {
  py::enum_<Similarity>(m, "Similarity")
      .value("dot", Similarity::dot)
      .value("neg_sq_l2", Similarity::neg_sq_l2)
      .value("neg_l2", Similarity::neg_l2)
      .value("neg_l1", Similarity::neg_l1);
  bind_memory_of<float>(m, "Memory32");
  bind_memory_of<double>(m, "Memory64");
}

}  // namespace hopfix::bindings
