// Classical networks. Signs go in and out as numbers -1 and 1 of either dtype (pack_signs,
// unpack_signs); _core.BinaryNetwork computes with their bits, uint64 words (count, words).
#include <optional>

#include "arrays.hpp"
#include "bindings.hpp"
#include "hopfix/binary_hopfield.hpp"

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
  return py::make_tuple(to_array(result.states, {count, states.shape(1)}),
                        to_array(result.steps, {count}), to_array(result.period, {count}));
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

}  // namespace

void bind_classical(py::module_& m) {
  m.def("pack_signs", &pack<float>, py::arg("rows").noconvert(), py::arg("threads"));
  m.def("pack_signs", &pack<double>, py::arg("rows").noconvert(), py::arg("threads"));
  m.def("unpack_signs32", &unpack<float>);
  m.def("unpack_signs64", &unpack<double>);
  py::class_<BinaryNetwork>(m, "BinaryNetwork")
      .def(py::init(&make_binary))
      .def("patterns",
           [](const BinaryNetwork& network) {
             return to_array(network.patterns(), {network.size(), network.words()});
           })
      .def("update", &update_signs)
      .def("energy", &energy_of_signs)
      .def("retrieve_synchronous", &retrieve_synchronous)
      .def("retrieve_asynchronous", &retrieve_asynchronous);
}

}  // namespace hopfix::bindings
