// The Brouwer degree on a box, in double precision.
#include "arrays.hpp"
#include "bindings.hpp"
#include "hopfix/degree.hpp"

namespace hopfix::bindings {

namespace {

py::dict brouwer_degree_dict(const Network<double>& network, const Array<double>& lower,
                             const Array<double>& upper, std::int64_t max_boxes, double time_limit,
                             const py::object& progress) {
  DegreeOptions options;
  options.max_boxes = max_boxes;
  options.time_limit = time_limit;
  options.progress = progress_callback(progress);
  BrouwerDegree degree;
  run_released(1, [&](const Execution& execution) {
    degree = brouwer_degree(network, lower.data(), upper.data(), options, execution);
  });
  py::dict out;
  out["value"] =
      degree.failure == DegreeFailure::none ? py::object(py::int_(degree.value)) : py::none();
  out["reason"] = describe(degree.failure);
  out["boxes"] = degree.boxes;
  out["state"] = degree.failure == DegreeFailure::boundary
                     ? py::object(to_array(degree.state, {network.dim()}))
                     : py::none();
  return out;
}

}  // namespace

void bind_degree(py::module_& m) { m.def("brouwer_degree", &brouwer_degree_dict); }

}  // namespace hopfix::bindings
