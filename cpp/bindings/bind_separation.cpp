// Separation functions of rows of both dtypes. Each returns (result, fault, row): "" or the name of
// what is wrong with the first bad row, which the Python layer words.
#include "arrays.hpp"
#include "bindings.hpp"
#include "hopfix/separation.hpp"
#include "separation_fault.hpp"

namespace hopfix::bindings {

namespace {

// work(out, execution) -> SeparationStatus without the GIL.
template <class T, class Work>
py::tuple run(std::vector<py::ssize_t> shape, int threads, const Work& work) {
  Array<T> out(std::move(shape));
  T* to = out.mutable_data();
  SeparationStatus status;
  run_released(threads, [&](const Execution& execution) { status = work(to, execution); });
  return py::make_tuple(out, fault_name(status.fault), status.row);
}

template <class T>
void bind(py::module_& m) {
  m.def("separate", [](const Separation& separation, const Array<T>& z, int threads) {
    const T* in = z.data();
    const py::ssize_t rows = z.shape(0), n = z.shape(1);
    return run<T>({rows, n}, threads, [&](T* out, const Execution& execution) {
      return separate(separation, in, rows, n, out, execution);
    });
  });
  m.def("separation_conjugate", [](const Separation& separation, const Array<T>& z, int threads) {
    const T* in = z.data();
    const py::ssize_t rows = z.shape(0), n = z.shape(1);
    return run<T>({rows}, threads, [&](T* out, const Execution& execution) {
      return separation_conjugate(separation, in, rows, n, out, execution);
    });
  });
  m.def("separation_jvp",
        [](const Separation& separation, const Array<T>& z, const Array<T>& t, int threads) {
          const T *in = z.data(), *tangents = t.data();
          const py::ssize_t rows = z.shape(0), n = z.shape(1);
          return run<T>({rows, n}, threads, [&](T* out, const Execution& execution) {
            return separation_jvp(separation, in, tangents, rows, n, out, execution);
          });
        });
}

}  // namespace

void bind_separation(py::module_& m) {
  using Kind = Separation::Kind;
  py::class_<Separation>(m, "Separation")
      .def_static("softmax", [] { return Separation{}; })
      .def_static("entmax", [](double alpha) { return Separation{Kind::entmax, alpha, 1, false}; })
      .def_static("topk", [](std::ptrdiff_t k) { return Separation{Kind::topk, 1, k, false}; })
      .def_static("polynomial", [](std::ptrdiff_t power, bool rectified) {
        return Separation{Kind::polynomial, 1, power, rectified};
      });
  bind<float>(m);
  bind<double>(m);
}

}  // namespace hopfix::bindings
