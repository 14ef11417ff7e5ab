// Classical networks. Signs go in and out as numbers -1 and 1 of either dtype (pack_signs,
// unpack_signs); _core.BinaryNetwork computes with their bits, uint64 words (count, words).
// _core.ContinuousNetwork32 and _core.ContinuousNetwork64 are the continuous ones.
#include <optional>

#include "arrays.hpp"
#include "bindings.hpp"
#include "certificate_columns.hpp"
#include "hopfix/binary_hopfield.hpp"
#include "hopfix/continuous_hopfield.hpp"
#include "retrieval_columns.hpp"

namespace hopfix::bindings {

namespace {

using Signs = Array<std::uint64_t>;

// (words, the index of the first number that is no sign or -1).
template <class T>
py::tuple pack(const Array<T>& rows, int threads) {
  const py::ssize_t count = rows.shape(0), dim = rows.shape(1);
  Signs words({count, static_cast<py::ssize_t>(sign_words(dim))});
  std::uint64_t* out = words.mutable_data();
  py::ssize_t wrong = -1;
  run_released(threads, [&](const Execution& execution) {
    wrong = pack_signs(rows.data(), count, dim, out, execution);
  });
  return py::make_tuple(words, wrong);
}

template <class T>
Array<T> unpack(const Signs& words, py::ssize_t dim, int threads) {
  const py::ssize_t count = words.shape(0);
  Array<T> rows({count, dim});
  T* out = rows.mutable_data();
  run_released(threads, [&](const Execution& execution) {
    unpack_signs(words.data(), count, dim, out, execution);
  });
  return rows;
}

BinaryNetwork make_binary(const Signs& patterns, py::ssize_t dim,
                          const std::optional<Array<double>>& bias, bool zero_diagonal) {
  const py::ssize_t n = patterns.shape(0);
  const std::uint64_t* words = patterns.data();
  const double* numbers = bias ? bias->data() : nullptr;
  const py::gil_scoped_release release;
  return {words, n, dim, numbers, zero_diagonal};
}

Signs update_signs(const BinaryNetwork& network, const Signs& states, int threads) {
  Signs next({states.shape(0), states.shape(1)});
  std::uint64_t* out = next.mutable_data();
  run_released(threads, [&](const Execution& execution) {
    network.update(states.data(), states.shape(0), out, execution);
  });
  return next;
}

Array<double> energy_of_signs(const BinaryNetwork& network, const Signs& states, int threads) {
  Array<double> energies(states.shape(0));
  double* out = energies.mutable_data();
  run_released(threads, [&](const Execution& execution) {
    network.energy(states.data(), states.shape(0), out, execution);
  });
  return energies;
}

// work(execution) -> BinaryRetrieval.
template <class Work>
py::tuple retrieved(const Signs& states, int threads, const Work& work) {
  BinaryRetrieval result;
  run_released(threads, [&](const Execution& execution) { result = work(execution); });
  const py::ssize_t count = states.shape(0);
  return py::make_tuple(to_array(std::move(result.states), {count, states.shape(1)}),
                        to_array(std::move(result.steps), {count}),
                        to_array(std::move(result.period), {count}));
}

py::tuple retrieve_synchronous(const BinaryNetwork& network, const Signs& states,
                               std::int64_t max_steps, int threads) {
  return retrieved(states, threads, [&](const Execution& execution) {
    return network.retrieve_synchronous(states.data(), states.shape(0), max_steps, execution);
  });
}

py::tuple retrieve_asynchronous(const BinaryNetwork& network, const Signs& states,
                                std::int64_t max_steps, bool random, std::uint64_t seed,
                                int threads) {
  const SweepOrder order = random ? SweepOrder::random : SweepOrder::cyclic;
  return retrieved(states, threads, [&](const Execution& execution) {
    return network.retrieve_asynchronous(states.data(), states.shape(0), max_steps, order, seed,
                                         execution);
  });
}

template <class T>
ContinuousNetwork<T> make_continuous(const Array<T>& patterns, double gain,
                                     const std::optional<Array<T>>& bias, bool zero_diagonal,
                                     double sparsify_above, py::ssize_t sparsify_top) {
  const T *rows = patterns.data(), *numbers = bias ? bias->data() : nullptr;
  const py::ssize_t n = patterns.shape(0), dim = patterns.shape(1);
  const py::gil_scoped_release release;
  return {rows, n, dim, gain, numbers, zero_diagonal, {sparsify_above, sparsify_top}};
}

// A method (states, count, out) of the network as a function of an array (count, dim).
template <class T, class Method>
Array<T> apply_continuous(const ContinuousNetwork<T>& network, const Array<T>& states,
                          std::vector<py::ssize_t> shape, int threads, const Method& method) {
  Array<T> out(std::move(shape));
  T* to = out.mutable_data();
  run_released(threads, [&](const Execution& execution) {
    (network.*method)(states.data(), states.shape(0), to, execution);
  });
  return out;
}

template <class T>
void bind_continuous(py::module_& m, const char* name) {
  using N = ContinuousNetwork<T>;
  py::class_<N> network(m, name, py::release_gil_before_calling_cpp_dtor());
  network.def(py::init(&make_continuous<T>))
      .def("update",
           [](const N& net, const Array<T>& x, int threads) {
             return apply_continuous(net, x, {x.shape(0), net.dim()}, threads, &N::update);
           })
      .def("energy",
           [](const N& net, const Array<T>& x, int threads) {
             return apply_continuous(net, x, {x.shape(0)}, threads, &N::energy);
           })
      .def("jacobian",
           [](const N& net, const Array<T>& x, int threads) {
             return apply_continuous(net, x, {x.shape(0), net.dim(), net.dim()}, threads,
                                     &N::jacobian);
           })
      .def("retrieve",
           [](const N& net, const Array<T>& x, std::int64_t max_steps, double tol, int threads) {
             Retrieval<T> result;
             run_released(threads, [&](const Execution& execution) {
               result = retrieve(net, x.data(), x.shape(0), max_steps, tol, execution);
             });
             return columns(std::move(result), net.dim());
           });
  if constexpr (std::is_same_v<T, double>) {
    network
        .def("newton",
             [](const N& net, const Array<T>& x, std::int64_t max_steps, double tol, int threads) {
               Retrieval<T> result;
               run_released(threads, [&](const Execution& execution) {
                 result = solve_by_newton(net, x.data(), x.shape(0), max_steps, tol, execution);
               });
               return columns(std::move(result), net.dim());
             })
        .def("certify", [](const N& net, const Array<T>& x, int threads) {
          std::vector<Certificate> certificates;
          run_released(threads, [&](const Execution& execution) {
            certificates = certify(net, x.data(), x.shape(0), execution);
          });
          return columns(certificates);
        });
  }
}

}  // namespace

void bind_classical(py::module_& m) {
  m.def("pack_signs", &pack<float>, py::arg("rows").noconvert(), py::arg("threads"));
  m.def("pack_signs", &pack<double>, py::arg("rows").noconvert(), py::arg("threads"));
  m.def("unpack_signs32", &unpack<float>);
  m.def("unpack_signs64", &unpack<double>);
  py::class_<BinaryNetwork>(m, "BinaryNetwork", py::release_gil_before_calling_cpp_dtor())
      .def(py::init(&make_binary))
      .def("patterns",
           [](const BinaryNetwork& network) {
             SignWords words;
             release_for(static_cast<std::size_t>(network.size() * network.words()),
                         [&] { words = network.patterns(); });
             return to_array(std::move(words), {network.size(), network.words()});
           })
      .def("update", &update_signs)
      .def("energy", &energy_of_signs)
      .def("retrieve_synchronous", &retrieve_synchronous)
      .def("retrieve_asynchronous", &retrieve_asynchronous);
  bind_continuous<float>(m, "ContinuousNetwork32");
  bind_continuous<double>(m, "ContinuousNetwork64");
}

}  // namespace hopfix::bindings
