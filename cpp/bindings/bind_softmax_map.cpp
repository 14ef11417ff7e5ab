#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <vector>

#include "arrays.hpp"
#include "bindings.hpp"
#include "hopfix/softmax_map.hpp"

namespace py = pybind11;

void bind_softmax_map(py::module_& m) {
  PYBIND11_NUMPY_DTYPE(hopfix::SoftmaxMapClass, k, u, v, log_ratio, eigenvalue_u, eigenvalue_v,
                       eigenvalue_mixed, morse_index, degenerate);

  m.def("softmax_map_threshold", &hopfix::softmax_map_threshold, py::arg("n"), py::arg("k"),
        py::call_guard<py::gil_scoped_release>());

  m.def(
      "softmax_map_classes",
      [](std::int64_t n, double beta) {
        std::vector<hopfix::SoftmaxMapClass> classes;
        {
          const py::gil_scoped_release release;
          classes = hopfix::softmax_map_classes(n, beta);
        }
        const auto count = static_cast<py::ssize_t>(classes.size());
        return hopfix::bindings::to_array(std::move(classes), {count});
      },
      py::arg("n"), py::arg("beta"));
}
