// Branches of fixed points, in double precision.
#include "arrays.hpp"
#include "bindings.hpp"
#include "hopfix/continuation.hpp"

namespace hopfix::bindings {

namespace {

py::array_t<std::int64_t> numbers(const std::vector<std::ptrdiff_t>& values) {
  return to_array(std::vector<std::int64_t>(values.begin(), values.end()),
                  {static_cast<py::ssize_t>(values.size())});
}

py::dict as_dict(Branch& branch, py::ssize_t dim) {
  const py::ssize_t count = branch.size();
  py::dict out;
  out["beta"] = to_array(std::move(branch.beta), {count});
  out["states"] = to_array(std::move(branch.states), {count, dim});
  out["log_beta_slopes"] = to_array(std::move(branch.log_beta_slopes), {count});
  out["state_slopes"] = to_array(std::move(branch.state_slopes), {count, dim});
  out["arclength"] = to_array(std::move(branch.arclength), {count});
  out["energy"] = to_array(std::move(branch.energy), {count});
  out["morse_index"] = to_array(std::move(branch.morse_index), {count});
  out["events"] = numbers(branch.events);
  out["places"] = numbers(branch.places);
  out["starts"] = numbers(branch.starts);
  out["ends"] = py::make_tuple(describe(branch.first), describe(branch.last));
  return out;
}

py::dict as_dict(const BranchEvent& event, py::ssize_t dim) {
  py::dict out;
  out["kind"] = describe(event.kind);
  out["beta"] = event.beta;
  out["state"] = to_array(event.state, {dim});
  out["multiplicity"] = event.multiplicity;
  out["certified"] = event.certified;
  out["radius"] = event.radius;
  out["beta_radius"] = event.beta_radius;
  out["found"] = event.found;
  out["branches"] = py::tuple(py::cast(event.branches));
  return out;
}

std::vector<double> numbers(const std::optional<Array<double>>& values) {
  return values ? to_vector(*values) : std::vector<double>();
}

py::tuple follow(const Network<double>& network, const Array<double>& states,
                 const std::optional<Array<double>>& offsets,
                 const std::optional<Array<double>>& log_weights, double beta_to,
                 std::int64_t max_steps, double time_limit, const py::object& progress,
                 const py::object& delegate, int threads) {
  FollowOptions options;
  options.beta_to = beta_to;
  options.terms = {numbers(log_weights), numbers(offsets)};
  options.max_steps = max_steps;
  options.time_limit = time_limit;
  options.progress = progress_callback(progress);
  BranchList list;
  run_released(
      threads,
      [&](const Execution& execution) {
        list = follow_branches(network, states.data(), states.shape(0), options, execution);
      },
      delegate_callback(delegate));
  py::list branches, events;
  for (std::size_t i = 0; i < list.branches.size(); ++i) {
    branches.append(as_dict(list.branches[i], network.dim()));
    yield_gil(i);
  }
  for (std::size_t i = 0; i < list.events.size(); ++i) {
    events.append(as_dict(list.events[i], network.dim()));
    yield_gil(i);
  }
  const bool cut_short = list.interrupted || list.time_limit_reached;
  release_and_free(list);
  return py::make_tuple(branches, events, cut_short, take_pending_exception());
}

py::tuple correct(const Network<double>& network, const Array<double>& states, int threads) {
  Corrected corrected;
  run_released(threads, [&](const Execution& execution) {
    corrected = correct_states(network, states.data(), states.shape(0), execution);
  });
  return py::make_tuple(to_array(std::move(corrected.states), {states.shape(0), network.dim()}),
                        to_array(std::move(corrected.solved), {states.shape(0)}));
}

}  // namespace

void bind_continuation(py::module_& m) {
  m.def("follow_branches", &follow);
  m.def("correct_states", &correct);
}

}  // namespace hopfix::bindings
