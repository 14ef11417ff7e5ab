// Certificates and searches for fixed points, in double precision.
#include "arrays.hpp"
#include "bindings.hpp"
#include "certificate_columns.hpp"
#include "hopfix/cells.hpp"
#include "hopfix/face_search.hpp"
#include "hopfix/fixed_points.hpp"
#include "hopfix/portions.hpp"

namespace hopfix::bindings {

namespace {

using Network64 = Network<double>;

py::dict certify(const Network64& network, const Array<double>& states, int threads) {
  std::vector<Certificate> certificates;
  run_released(threads, [&](const Execution& execution) {
    certificates = Certifier(network).certify(states.data(), states.shape(0), execution);
  });
  return columns(certificates);
}

py::tuple by_starts(const Network64& network, std::uint64_t seed, std::int64_t max_count,
                    double time_limit, bool single_precision, const py::object& progress,
                    const py::object& delegate, int threads) {
  SearchOptions options;
  options.seed = seed;
  options.max_count = max_count;
  options.time_limit = time_limit;
  options.single_precision = single_precision;
  options.progress = progress_callback(progress);
  FixedPointList list;
  run_released(
      threads,
      [&](const Execution& execution) {
        list = fixed_points_by_starts(network, options, execution);
      },
      delegate_callback(delegate));
  py::dict summary = columns(list.certificates);
  summary["states"] = to_array(std::move(list.states), {list.size(), network.dim()});
  summary["starts"] = list.starts;
  summary["cut_short"] = list.time_limit_reached || list.count_limit_reached || list.interrupted;
  return py::make_tuple(summary, take_pending_exception());
}

py::list regions(const std::vector<UndecidedRegion>& list, py::ssize_t dim) {
  py::list out;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const UndecidedRegion& region = list[i];
    out.append(
        py::make_tuple(to_array(region.state, {dim}), region.radius, describe(region.reason)));
    yield_gil(i);
  }
  return out;
}

py::tuple by_cells(const Network64& network, CellForm form, std::int64_t max_boxes,
                   std::int64_t max_count, double time_limit, bool symmetry, bool single_precision,
                   const py::object& progress, const py::object& delegate, int threads) {
  CellOptions options;
  options.form = form;
  options.symmetry = symmetry;
  options.max_boxes = max_boxes;
  options.max_count = max_count;
  options.time_limit = time_limit;
  options.single_precision = single_precision;
  options.progress = progress_callback(progress);
  CellList list;
  run_released(
      threads,
      [&](const Execution& execution) {
        list = fixed_points_by_cells(network, options, execution);
      },
      delegate_callback(delegate));
  py::dict summary = columns(list.certificates);
  summary["states"] = to_array(std::move(list.states), {list.size(), network.dim()});
  summary["undecided"] = regions(list.undecided, network.dim());
  summary["symmetry"] = list.symmetry;
  summary["representatives"] = list.representatives;
  summary["form"] = list.form;
  summary["boxes"] = list.boxes;
  summary["newton_steps"] = list.newton_steps;
  summary["depth"] = list.depth;
  summary["seconds"] = list.seconds;
  return py::make_tuple(summary, take_pending_exception());
}

py::tuple by_faces(const Network64& network, const Array<std::int64_t>& first,
                   const Array<std::int64_t>& indices, const Array<double>& weights,
                   std::int64_t max_count, std::int64_t max_regions, bool boxes, double time_limit,
                   bool single_precision, const py::object& progress, const py::object& delegate,
                   int threads) {
  FaceSeeds seeds;
  seeds.first = to_vector(first);
  seeds.indices = to_vector(indices);
  seeds.weights = to_vector(weights);
  FaceSearchOptions options;
  options.max_count = max_count;
  options.max_regions = max_regions;
  options.boxes = boxes;
  options.time_limit = time_limit;
  options.single_precision = single_precision;
  options.progress = progress_callback(progress);
  FaceSearchList list;
  run_released(
      threads,
      [&](const Execution& execution) {
        list = fixed_points_by_faces(network, seeds, options, execution);
      },
      delegate_callback(delegate));
  py::dict summary = columns(list.certificates);
  summary["states"] = to_array(std::move(list.states), {list.size(), network.dim()});
  summary["undecided"] = regions(list.undecided, network.dim());
  summary["open"] = regions(list.open, network.dim());
  summary["proved"] = list.proved;
  summary["form"] = list.form;
  summary["sets"] = list.sets;
  summary["regions"] = list.regions;
  summary["newton_steps"] = list.newton_steps;
  summary["depth"] = list.depth;
  summary["seconds"] = list.seconds;
  return py::make_tuple(summary, take_pending_exception());
}

py::bytes work(const Network64& network, const std::string& portion, int threads) {
  std::string answer;
  run_released(threads, [&](const Execution& execution) {
    answer = work_on_portion(network, portion, execution);
  });
  if (PyErr_Occurred() != nullptr) throw py::error_already_set();
  return answer;
}

Array<double> subset_weights_array(std::int64_t n, std::int64_t k, double u, double v,
                                   std::int64_t limit) {
  std::vector<double> weights;
  {
    const py::gil_scoped_release release;
    weights = subset_weights(n, k, u, v, limit);
  }
  const auto rows = static_cast<py::ssize_t>(weights.size()) / n;
  return to_array(std::move(weights), {rows, n});
}

}  // namespace

void bind_fixed_points(py::module_& m) {
  m.def("certify", &certify);
  m.def("fixed_points_by_starts", &by_starts);
  py::enum_<CellForm>(m, "CellForm")
      .value("automatic", CellForm::automatic)
      .value("weights", CellForm::weights)
      .value("hull", CellForm::hull);
  m.def("fixed_points_by_cells", &by_cells);
  m.def("fixed_points_by_faces", &by_faces);
  m.def("work_on_portion", &work);
  m.def("plan_cells", [](const Network64& network, CellForm form) {
    CellPlan plan;
    {
      const py::gil_scoped_release release;
      plan = plan_cells(network, form);
    }
    return py::make_tuple(plan.form, plan.seconds_of_a_box);
  });
  m.attr("reason_box_limit") = describe(UndecidedReason::box_limit);
  m.attr("reason_precision") = describe(UndecidedReason::precision);
  m.def("is_equinorm_orthogonal", &is_equinorm_orthogonal,
        py::call_guard<py::gil_scoped_release>());
  m.def("subset_weights", &subset_weights_array);
}

}  // namespace hopfix::bindings
