// One function per area, each adding its part to the extension module.
#pragma once

#include <pybind11/pybind11.h>

namespace hopfix::bindings {

void bind_association(pybind11::module_& m);
void bind_attention(pybind11::module_& m);
void bind_classical(pybind11::module_& m);
void bind_network(pybind11::module_& m);
void bind_degree(pybind11::module_& m);
void bind_fixed_points(pybind11::module_& m);
void bind_memory(pybind11::module_& m);
void bind_continuation(pybind11::module_& m);
void bind_separation(pybind11::module_& m);
void bind_faces(pybind11::module_& m);
void bind_features(pybind11::module_& m);
void bind_kernel(pybind11::module_& m);

}  // namespace hopfix::bindings

void bind_softmax_map(pybind11::module_& m);
