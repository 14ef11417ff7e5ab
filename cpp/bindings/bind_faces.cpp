// Critical faces and CIPS margins.
#include "arrays.hpp"
#include "bindings.hpp"
#include "hopfix/cips.hpp"
#include "hopfix/critical_faces.hpp"

namespace hopfix::bindings {

namespace {

// An array that holds the vector itself: lists of faces are long.
template <class T>
Array<T> hand_over(std::vector<T>& values) {
  auto* kept = new std::vector<T>(std::move(values));
  const py::capsule owner(kept, [](void* data) { delete static_cast<std::vector<T>*>(data); });
  return Array<T>(static_cast<py::ssize_t>(kept->size()), kept->data(), owner);
}

// Lists of integers and floats as they are; the Python layer makes the objects.
py::tuple find_critical_faces(const Array<double>& patterns,
                              const std::optional<Array<double>>& offsets, std::int64_t max_size,
                              std::int64_t max_count, double time_limit, const py::object& progress,
                              int threads) {
  CriticalFaceOptions options;
  options.max_size = max_size;
  options.max_count = max_count;
  options.time_limit = time_limit;
  options.progress = progress_callback(progress);
  CriticalFaceList list;
  run_released(threads, [&](const Execution& execution) {
    list = critical_faces(patterns.data(), offsets ? offsets->data() : nullptr, patterns.shape(0),
                          patterns.shape(1), options, execution);
  });
  py::dict out;
  out["first"] = hand_over(list.first);
  out["indices"] = hand_over(list.indices);
  out["weights"] = hand_over(list.weights);
  out["gaps"] = hand_over(list.gaps);
  out["tied"] = list.tied;
  out["tied_weights"] = list.tied_weights;
  out["origin_radius"] = list.origin_radius;
  out["complete"] = list.complete;
  return py::make_tuple(out, take_pending_exception());
}

py::tuple find_cips_margins(const Array<double>& patterns, const Array<std::int64_t>& faces,
                            int threads) {
  CipsMargins margins;
  run_released(threads, [&](const Execution& execution) {
    margins = cips_margins(patterns.data(), patterns.shape(0), patterns.shape(1), faces.data(),
                           faces.shape(0), faces.shape(1), execution);
  });
  return py::make_tuple(to_array(margins.lower, {faces.shape(0)}),
                        to_array(margins.upper, {faces.shape(0)}));
}

}  // namespace

void bind_faces(py::module_& m) {
  m.def("critical_faces", &find_critical_faces);
  m.def("cips_margins", &find_cips_margins);
}

}  // namespace hopfix::bindings
