// The mean-field dynamics of attention. Windows travel as (attention, token or None, position).
#include "arrays.hpp"
#include "bindings.hpp"
#include "hopfix/attention_dynamics.hpp"
#include "hopfix/attention_network.hpp"
#include "hopfix/attention_orbit.hpp"

namespace hopfix::bindings {

namespace {

AttentionSystem make_system(const Array<double>& projection, const Array<double>& readouts,
                            const Array<double>& positions) {
  const py::ssize_t features = projection.shape(1), classes = projection.shape(0),
                    context = positions.shape(0);
  std::vector<double> of_projection = to_vector(projection), of_readouts = to_vector(readouts),
                      of_positions = to_vector(positions);
  const py::gil_scoped_release release;
  return {features,
          context,
          classes,
          std::move(of_projection),
          std::move(of_readouts),
          std::move(of_positions)};
}

// attention (count, filled, M); token (count, K) or None.
AttentionWindow make_window(const Array<double>& attention, const py::object& token,
                            std::ptrdiff_t position) {
  AttentionWindow window;
  window.filled = attention.shape(1);
  window.position = position;
  window.attention = to_vector(attention);
  if (!token.is_none()) window.token = to_vector(py::cast<Array<double>>(token));
  return window;
}

py::tuple window_tuple(AttentionWindow& window, py::ssize_t count, py::ssize_t features) {
  return py::make_tuple(to_array(std::move(window.attention), {count, window.filled, features}),
                        window.position);
}

// parameters: (3, count), of beta, gamma and the position weight.
AttentionParameters make_parameters(const Array<double>& parameters) {
  const py::ssize_t count = parameters.shape(1);
  return {count, parameters.data(), parameters.data() + count, parameters.data() + 2 * count};
}

py::tuple simulate(const AttentionSystem& system, const Array<double>& parameters,
                   const Array<double>& attention, const py::object& token, std::ptrdiff_t position,
                   std::int64_t steps, std::int64_t discard, AttentionOutput what,
                   const py::object& progress, int threads) {
  const AttentionParameters given = make_parameters(parameters);
  AttentionWindow window = make_window(attention, token, position);
  const py::ssize_t numbers = what == AttentionOutput::nothing           ? 0
                              : what == AttentionOutput::semantic_output ? system.features
                                                                         : 6 * system.features;
  Array<double> out({py::ssize_t{given.count}, py::ssize_t{steps - discard}, numbers});
  double* to = out.mutable_data();
  const AttentionProgress callback = progress_callback(progress);
  run_released(threads, [&](const Execution& execution) {
    simulate_attention(system, given, window, steps, discard, what, to, callback, execution);
  });
  return py::make_tuple(out, window_tuple(window, given.count, system.features));
}

Array<double> jacobian(const AttentionSystem& system, const Array<double>& parameters,
                       const Array<double>& attention, std::ptrdiff_t position, int threads) {
  const AttentionParameters given = make_parameters(parameters);
  const AttentionWindow window = make_window(attention, py::none(), position);
  const py::ssize_t m = system.features;
  Array<double> out({py::ssize_t{given.count}, py::ssize_t{system.context}, m, m});
  double* to = out.mutable_data();
  run_released(threads, [&](const Execution& execution) {
    attention_jacobian(system, given, window, to, execution);
  });
  return out;
}

py::tuple exponents(const AttentionSystem& system, const Array<double>& parameters,
                    const Array<double>& attention, std::ptrdiff_t position, std::int64_t warmup,
                    std::int64_t steps, std::int64_t batches, std::ptrdiff_t count,
                    const py::object& progress, int threads) {
  const AttentionParameters given = make_parameters(parameters);
  AttentionWindow window = make_window(attention, py::none(), position);
  LyapunovOptions options;
  options.warmup = warmup;
  options.steps = steps;
  options.batches = batches;
  options.count = count;
  Array<double> means({py::ssize_t{given.count}, py::ssize_t{batches}, py::ssize_t{count}});
  double* to = means.mutable_data();
  const AttentionProgress callback = progress_callback(progress);
  run_released(threads, [&](const Execution& execution) {
    attention_exponents(system, given, window, options, to, callback, execution);
  });
  return py::make_tuple(means, window_tuple(window, given.count, system.features));
}

AttentionNetwork make_network(const AttentionSystem& system, const Array<std::int64_t>& counts,
                              const Array<double>& parameters, std::uint64_t seed) {
  const double* p = parameters.data();
  return {system, {counts.data(), counts.data() + counts.size()}, p[0], p[1], p[2], seed};
}

Array<double> rows_of(std::vector<double>& numbers, py::ssize_t features) {
  const auto rows = static_cast<py::ssize_t>(numbers.size()) / features;
  return to_array(std::move(numbers), {rows, features});
}

// memory: (attention, values, keys, position, steps).
py::tuple simulate_finite(const AttentionSystem& system, const Array<std::int64_t>& counts,
                          const Array<double>& parameters, std::uint64_t seed,
                          const std::tuple<Array<double>, Array<double>, Array<double>,
                                           std::ptrdiff_t, std::int64_t>& given,
                          std::int64_t count, const py::object& progress, int threads) {
  const AttentionNetwork network = make_network(system, counts, parameters, seed);
  const auto& [attention, values, keys, position, steps] = given;
  AttentionMemory memory;
  memory.attention = to_vector(attention);
  memory.values = to_vector(values);
  memory.keys = to_vector(keys);
  memory.position = position;
  memory.steps = steps;
  const py::ssize_t m = system.features;
  Array<double> out({py::ssize_t{count}, 6 * m});
  double* to = out.mutable_data();
  const AttentionProgress callback = progress_callback(progress);
  run_released(threads, [&](const Execution& execution) {
    simulate_network(network, memory, count, to, callback, execution);
  });
  return py::make_tuple(out,
                        py::make_tuple(rows_of(memory.attention, m), rows_of(memory.values, m),
                                       rows_of(memory.keys, m), memory.position, memory.steps));
}

Array<double> sample(const AttentionSystem& system, const Array<std::int64_t>& counts,
                     const Array<double>& parameters, std::uint64_t seed,
                     const Array<double>& attention, std::ptrdiff_t position, std::int64_t first,
                     std::int64_t count, int threads) {
  const AttentionNetwork network = make_network(system, counts, parameters, seed);
  Array<double> out({py::ssize_t{count}, 4 * system.features});
  double* to = out.mutable_data();
  run_released(threads, [&](const Execution& execution) {
    sample_fields(network, attention.data(), position, first, count, to, execution);
  });
  return out;
}

// (radius, uniqueness radius), NaN where nothing is proved.
py::tuple certify_orbit(const AttentionSystem& system, const Array<double>& parameters,
                        const Array<double>& attention, std::ptrdiff_t position,
                        const Array<double>& inverse, int threads) {
  const double* p = parameters.data();
  OrbitCertificate certificate;
  run_released(threads, [&](const Execution& execution) {
    certificate = certify_attention_orbit(system, p[0], p[1], p[2], attention.data(),
                                          attention.shape(0), position, inverse.data(), execution);
  });
  return py::make_tuple(certificate.radius, certificate.uniqueness_radius);
}

}  // namespace

void bind_attention(py::module_& m) {
  py::enum_<AttentionOutput>(m, "AttentionOutput")
      .value("nothing", AttentionOutput::nothing)
      .value("semantic_output", AttentionOutput::semantic_output)
      .value("everything", AttentionOutput::everything);
  py::class_<AttentionSystem>(m, "AttentionSystem").def(py::init(&make_system));
  m.def("simulate_attention", &simulate);
  m.def("attention_jacobian", &jacobian);
  m.def("attention_exponents", &exponents);
  m.def("certify_attention_orbit", &certify_orbit);
  m.def("simulate_network", &simulate_finite);
  m.def("sample_attention_fields", &sample);
}

}  // namespace hopfix::bindings
