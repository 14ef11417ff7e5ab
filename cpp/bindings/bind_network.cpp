// Hopfield networks of both dtypes: _core.Network32 and _core.Network64.
#include <array>
#include <optional>

#include "arrays.hpp"
#include "bindings.hpp"
#include "hopfix/connections.hpp"
#include "hopfix/implicit.hpp"
#include "hopfix/network.hpp"
#include "hopfix/retrieval.hpp"
#include "retrieval_columns.hpp"

namespace hopfix::bindings {

namespace {

// Runs work(execution) -> whether the result overflows, without the GIL.
template <class Work>
void run_finite(int threads, const Work& work) {
  bool finite = true;
  run_released(threads, [&](const Execution& execution) { finite = work(execution); });
  if (!finite)
    throw py::value_error(
        "states: the computation overflows; patterns, states and beta are too large for this "
        "dtype (need beta |pattern| |state| within its range)");
}

template <class T>
bool is_finite(const T* numbers, py::ssize_t count) {
  return first_not_finite(numbers, count) < 0;
}

template <class T>
py::ssize_t first_not_finite_in(const Array<T>& x) {
  const T* numbers = x.data();
  const py::ssize_t count = x.size();
  py::ssize_t first = -1;
  release_for(static_cast<std::size_t>(count), [&] { first = first_not_finite(numbers, count); });
  return first;
}

template <class T>
Network<T> make_network(const Array<T>& patterns, double beta,
                        const std::optional<Array<T>>& log_weights) {
  const T *rows = patterns.data(), *logs = log_weights ? log_weights->data() : nullptr;
  const py::ssize_t n = patterns.shape(0), dim = patterns.shape(1);
  const py::gil_scoped_release release;
  return Network<T>(rows, n, dim, beta, logs);
}

// A method (states, count, out) of the network as a function of an array (count, dim).
template <class T, class Method>
Array<T> apply(const Network<T>& network, const Array<T>& states, std::vector<py::ssize_t> shape,
               int threads, const Method& method) {
  Array<T> out(std::move(shape));
  const T* in = states.data();
  T* to = out.mutable_data();
  const py::ssize_t count = states.shape(0), size = out.size();
  run_finite(threads, [&](const Execution& execution) {
    (network.*method)(in, count, to, execution);
    return is_finite(to, size);
  });
  return out;
}

template <class T>
py::tuple partial_update_arrays(const Network<T>& network, const Array<T>& states, int threads) {
  const py::ssize_t count = states.shape(0);
  Array<T> out({count, static_cast<py::ssize_t>(network.dim())});
  Array<double> log_sums(count);
  T* to = out.mutable_data();
  double* sums = log_sums.mutable_data();
  run_finite(threads, [&](const Execution& execution) {
    network.partial_update(states.data(), count, to, sums, execution);
    return is_finite(to, count * network.dim()) && is_finite(sums, count);
  });
  return py::make_tuple(out, log_sums);
}

// The gradients with respect to states, patterns, beta and log_weights, None where not wanted.
template <class T>
py::tuple vjp_arrays(const Network<T>& network, const Array<T>& states, const Array<T>& cotangents,
                     const std::array<bool, 4>& wanted, int threads) {
  const py::ssize_t count = states.shape(0), n = network.size(), dim = network.dim();
  const std::vector<py::ssize_t> shapes[] = {{count, dim}, {n, dim}, {1}, {n}};
  std::array<std::optional<Array<T>>, 4> arrays;
  std::array<T*, 4> data{};
  for (std::size_t i = 0; i < 4; ++i)
    if (wanted[i]) data[i] = arrays[i].emplace(shapes[i]).mutable_data();
  const Gradients<T> gradients{data[0], data[1], data[2], data[3]};
  run_finite(threads, [&](const Execution& execution) {
    network.vjp(states.data(), cotangents.data(), count, gradients, execution);
    return std::all_of(arrays.begin(), arrays.end(), [](const auto& array) {
      return !array || is_finite(array->data(), array->size());
    });
  });
  return py::make_tuple(arrays[0], arrays[1], arrays[2], arrays[3]);
}

py::tuple solve_adjoint_arrays(const Network<double>& network, const Array<double>& states,
                               const Array<double>& cotangents, int threads) {
  const py::ssize_t count = states.shape(0);
  Array<double> out({count, static_cast<py::ssize_t>(network.dim())}), distances(count);
  double *to = out.mutable_data(), *distance = distances.mutable_data();
  run_released(threads, [&](const Execution& execution) {
    solve_fixed_point_adjoint(network, states.data(), cotangents.data(), count, to, distance,
                              execution);
  });
  return py::make_tuple(out, distances);
}

template <class T>
py::tuple retrieve_array(const Network<T>& network, const Array<T>& states, std::int64_t max_steps,
                         double tol, int threads) {
  Retrieval<T> result;
  const py::ssize_t count = states.shape(0);
  run_finite(threads, [&](const Execution& execution) {
    result = retrieve(network, states.data(), count, max_steps, tol, execution);
    return is_finite(result.states.data(), count * network.dim());
  });
  return columns(std::move(result), network.dim());
}

Array<double> leading_direction_array(const Network<double>& network, const Array<double>& states,
                                      int threads) {
  const py::ssize_t count = states.shape(0);
  Array<double> out({count, static_cast<py::ssize_t>(network.dim())});
  double* to = out.mutable_data();
  run_finite(threads, [&](const Execution& execution) {
    leading_directions(network, states.data(), count, to, execution);
    return is_finite(to, count * network.dim());
  });
  return out;
}

Array<std::int64_t> nearest_within_array(const Array<double>& states, const Array<double>& places,
                                         const Array<double>& reach, int threads) {
  const py::ssize_t count = states.shape(0);
  Array<std::int64_t> out(count);
  std::int64_t* to = out.mutable_data();
  run_released(threads, [&](const Execution& execution) {
    nearest_within(states.data(), count, places.data(), reach.data(), places.shape(0),
                   states.shape(1), to, execution);
  });
  return out;
}

template <class T>
void bind(py::module_& m, const char* name) {
  using N = Network<T>;
  py::class_<N>(m, name, py::release_gil_before_calling_cpp_dtor())
      .def(py::init(&make_network<T>))
      .def("update",
           [](const N& net, const Array<T>& x, int threads) {
             return apply(net, x, {x.shape(0), net.dim()}, threads, &N::update);
           })
      .def("partial_update", &partial_update_arrays<T>)
      .def("weights",
           [](const N& net, const Array<T>& x, int threads) {
             return apply(net, x, {x.shape(0), net.size()}, threads, &N::weights);
           })
      .def("energy", [](const N& net, const Array<T>& x,
                        int threads) { return apply(net, x, {x.shape(0)}, threads, &N::energy); })
      .def("jacobian",
           [](const N& net, const Array<T>& x, int threads) {
             return apply(net, x, {x.shape(0), net.dim(), net.dim()}, threads, &N::jacobian);
           })
      .def("spectral_radius",
           [](const N& net, const Array<T>& x, int threads) {
             return apply(net, x, {x.shape(0)}, threads, &N::spectral_radius);
           })
      .def("jvp",
           [](const N& net, const Array<T>& x, const Array<T>& t, int threads) {
             Array<T> out({x.shape(0), net.dim()});
             T* to = out.mutable_data();
             run_finite(threads, [&](const Execution& execution) {
               net.jvp(x.data(), t.data(), x.shape(0), to, execution);
               return is_finite(to, x.shape(0) * net.dim());
             });
             return out;
           })
      .def("vjp", &vjp_arrays<T>)
      .def("retrieve", &retrieve_array<T>);
}

}  // namespace

void bind_network(py::module_& m) {
  m.def("first_not_finite", &first_not_finite_in<float>, py::arg("x").noconvert());
  m.def("first_not_finite", &first_not_finite_in<double>, py::arg("x").noconvert());
  bind<float>(m, "Network32");
  bind<double>(m, "Network64");
  m.def("solve_fixed_point_adjoint", &solve_adjoint_arrays);
  m.def("leading_directions", &leading_direction_array);
  m.def("nearest_within", &nearest_within_array);
}

}  // namespace hopfix::bindings
