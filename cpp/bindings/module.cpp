// The extension module _core: what this build is, and the areas bound elsewhere.
#include <pybind11/stl.h>

#include <exception>
#include <new>

#include "bindings.hpp"
#include "hopfix/isa.hpp"
#include "hopfix/parallel.hpp"
#include "kernels/table.hpp"

namespace isa = hopfix::isa;

namespace {

std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "gcc " __VERSION__;
#else
  return "unknown";
#endif
}

// std::bad_alloc says nothing to users of Python.
void say_what_memory_is_short_for(std::exception_ptr pointer) {
  try {
    if (pointer) std::rethrow_exception(pointer);
  } catch (const std::bad_alloc&) {
    pybind11::set_error(PyExc_MemoryError,
                        "the scratch memory of this call does not fit; take fewer states or "
                        "patterns at a time, a smaller dimension, or fewer num_threads");
  }
}

}  // namespace

// What is bound does not change once it is made, or locks what it makes late: no GIL is needed.
PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  m.doc() = "The compiled core of hopfix; use the package hopfix instead.";
  // A wrong HOPFIX_ISA must stop the import, not the first computation.
  try {
    isa::table();
  } catch (const std::invalid_argument& error) {
    throw pybind11::import_error(error.what());
  }
  pybind11::register_local_exception_translator(&say_what_memory_is_short_for);
  m.attr("version") = HOPFIX_VERSION;
  m.def("isa", [] { return std::string(isa::table().level); });
  m.def("isa_built", &isa::built);
  m.def("isa_supported", &isa::supported);
  m.def("available_cpus", &hopfix::available_cpus);
  m.attr("compiler") = compiler();
  m.attr("eigen_version") = HOPFIX_EIGEN_VERSION;
  hopfix::bindings::bind_association(m);
  hopfix::bindings::bind_attention(m);
  hopfix::bindings::bind_classical(m);
  hopfix::bindings::bind_network(m);
  hopfix::bindings::bind_degree(m);
  hopfix::bindings::bind_fixed_points(m);
  hopfix::bindings::bind_continuation(m);
  hopfix::bindings::bind_separation(m);
  hopfix::bindings::bind_memory(m);
  hopfix::bindings::bind_faces(m);
  hopfix::bindings::bind_features(m);
  hopfix::bindings::bind_kernel(m);
  bind_softmax_map(m);
}
