// The C API: checks arguments, calls the core, and turns exceptions into status codes.
#include "hopfix/c_api.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "hopfix/cells.hpp"
#include "hopfix/checks.hpp"
#include "hopfix/fixed_points.hpp"
#include "hopfix/network.hpp"
#include "hopfix/retrieval.hpp"

struct hopfix_network_f32 {
  hopfix::Network<float> network;
};

struct hopfix_network_f64 {
  hopfix::Network<double> network;
};

struct hopfix_point_list {
  std::ptrdiff_t dim = 0;
  std::vector<double> states;
  std::vector<hopfix::Certificate> certificates;
  hopfix_completeness completeness = HOPFIX_UNKNOWN;
  bool interrupted = false;
};

namespace {

using hopfix::Execution;
using hopfix::Network;

constexpr int kMaxThreads = 1024;

// No allocation on the way to a message: there may be no memory left.
thread_local char last_error[512] = "";

hopfix_status fail(hopfix_status status, const char* message) {
  std::snprintf(last_error, sizeof last_error, "%s", message);
  return status;
}

// Runs work(), which may throw anything.
template <class Work>
hopfix_status guarded(const Work& work) {
  try {
    work();
    return HOPFIX_OK;
  } catch (const hopfix::Interrupted& error) {
    return fail(HOPFIX_INTERRUPTED, error.what());
  } catch (const std::invalid_argument& error) {
    return fail(HOPFIX_INVALID_ARGUMENT, error.what());
  } catch (const std::overflow_error& error) {
    return fail(HOPFIX_OVERFLOW, error.what());
  } catch (const std::bad_alloc&) {
    return fail(HOPFIX_OUT_OF_MEMORY, "out of memory");
  } catch (const std::length_error&) {
    return fail(HOPFIX_OUT_OF_MEMORY, "a result is larger than memory");
  } catch (const std::exception& error) {
    return fail(HOPFIX_FAILED, error.what());
  } catch (...) {
    return fail(HOPFIX_FAILED, "an exception of unknown type");
  }
}

template <class T>
void require(const char* name, const T* pointer) {
  if (pointer == nullptr)
    throw std::invalid_argument(std::string(name) + ": got a null pointer, need an address");
}

Execution execution_of(const hopfix_execution* given) {
  Execution execution{hopfix::available_cpus(), {}};
  if (given == nullptr) return execution;
  if (given->threads < 0 || given->threads > kMaxThreads)
    throw std::invalid_argument("threads: got " + std::to_string(given->threads) +
                                ", need 0 (one for every CPU) to " + std::to_string(kMaxThreads));
  if (given->threads > 0) execution.threads = given->threads;
  if (given->stop != nullptr)
    execution.stop_requested = [stop = given->stop, context = given->context] {
      return stop(context) != 0;
    };
  return execution;
}

template <class T>
void require_finite(const T* out, std::ptrdiff_t size) {
  if (hopfix::first_not_finite(out, size) >= 0)
    throw std::overflow_error(
        "states: the computation overflows; patterns, states and beta are too large for this type "
        "(need beta |pattern| |state| within its range)");
}

template <class T, class Handle>
hopfix_status create(const T* patterns, std::int64_t n, std::int64_t dim, double beta,
                     const T* log_weights, Handle** handle) {
  return guarded([&] {
    require("network", handle);
    *handle = nullptr;
    *handle = new Handle{hopfix::checked_network(patterns, n, dim, beta, log_weights)};
  });
}

template <class T>
using Method = void (Network<T>::*)(const T*, std::ptrdiff_t, T*, const Execution&) const;

// A method (states, count, out) of the network with `width(network)` results a state.
template <class T, class Handle, class Width>
hopfix_status apply(Method<T> method, const Handle* handle, const T* states, std::int64_t count,
                    T* out, const hopfix_execution* execution, const Width& width) {
  return guarded([&] {
    require("network", handle);
    const Network<T>& network = handle->network;
    hopfix::check_states("states", states, count, network.dim());
    require("out", out);
    (network.*method)(states, count, out, execution_of(execution));
    require_finite(out, count * width(network));
  });
}

template <class T, class Handle>
hopfix_status retrieve(const Handle* handle, const T* states, std::int64_t count,
                       std::int64_t max_steps, double tol, T* out, std::int64_t* steps,
                       std::uint8_t* converged, T* residual, const hopfix_execution* execution) {
  return guarded([&] {
    require("network", handle);
    const Network<T>& network = handle->network;
    hopfix::check_states("states", states, count, network.dim());
    require("out", out);
    if (max_steps < 0)
      throw std::invalid_argument("max_steps: got " + std::to_string(max_steps) +
                                  ", need at least 0");
    if (!(std::isfinite(tol) && tol >= 0))
      throw std::invalid_argument("tol: got " + std::to_string(tol) +
                                  ", need a finite number >= 0");
    constexpr std::int64_t kMostSteps = std::int64_t{1} << 62;
    const hopfix::Retrieval<T> result =
        hopfix::retrieve(network, states, static_cast<std::ptrdiff_t>(count),
                         std::min(max_steps, kMostSteps), tol, execution_of(execution));
    std::copy(result.states.begin(), result.states.end(), out);
    if (steps != nullptr) std::copy(result.steps.begin(), result.steps.end(), steps);
    if (converged != nullptr)
      std::copy(result.converged.begin(), result.converged.end(), converged);
    if (residual != nullptr) std::copy(result.residual.begin(), result.residual.end(), residual);
    require_finite(out, count * network.dim());
  });
}

std::int64_t limit(const char* name, std::int64_t value) {
  if (value < 0)
    throw std::invalid_argument(std::string(name) + ": got " + std::to_string(value) +
                                ", need at least 0 (no limit)");
  return value == 0 ? INT64_MAX : value;
}

double limit(const char* name, double value) {
  if (!(value >= 0))
    throw std::invalid_argument(std::string(name) + ": got " + std::to_string(value) +
                                ", need at least 0 (no limit)");
  return value == 0 ? HUGE_VAL : value;
}

// `whole`: nothing was left open or cut short. `exhaustive`: then there are no others.
template <class List>
hopfix_point_list point_list(const Network<double>& network, List&& found, bool whole,
                             bool exhaustive) {
  hopfix_point_list list;
  list.dim = network.dim();
  list.interrupted = found.interrupted;
  list.states = std::move(found.states);
  list.certificates = std::move(found.certificates);
  if (whole && hopfix::passes_degree_audit(list.certificates, network.dim()))
    list.completeness = exhaustive ? HOPFIX_PROVED : HOPFIX_CONSISTENT;
  return list;
}

hopfix_point_list search(const Network<double>& network, bool single_precision,
                         const hopfix_search_options& given, const Execution& execution) {
  if (given.method == HOPFIX_CELLS) {
    hopfix::CellOptions options;
    options.max_boxes = limit("max_boxes", given.max_boxes);
    options.max_count = limit("max_count", given.max_count);
    options.time_limit = limit("time_limit", given.time_limit);
    options.single_precision = single_precision;
    hopfix::CellList found = hopfix::fixed_points_by_cells(network, options, execution);
    const bool whole = found.undecided.empty() && !found.interrupted;
    return point_list(network, std::move(found), whole, true);
  }
  if (given.method != HOPFIX_STARTS)
    throw std::invalid_argument("method: got " + std::to_string(given.method) +
                                ", need HOPFIX_CELLS or HOPFIX_STARTS");
  hopfix::SearchOptions options;
  options.seed = given.seed;
  options.max_count = limit("max_count", given.max_count);
  options.time_limit = limit("time_limit", given.time_limit);
  options.single_precision = single_precision;
  hopfix::FixedPointList found = hopfix::fixed_points_by_starts(network, options, execution);
  const bool whole = !found.time_limit_reached && !found.count_limit_reached && !found.interrupted;
  return point_list(network, std::move(found), whole, false);
}

// The network of the same numbers in double precision, in which fixed points are found.
const Network<double>& wide(const Network<double>& network, std::optional<Network<double>>&) {
  return network;
}

const Network<double>& wide(const Network<float>& network, std::optional<Network<double>>& owner) {
  const std::vector<double> patterns(network.patterns().begin(), network.patterns().end());
  const std::vector<double> b(network.log_weights().begin(), network.log_weights().end());
  return owner.emplace(patterns.data(), network.size(), network.dim(), network.beta(),
                       b.empty() ? nullptr : b.data());
}

template <class Handle>
hopfix_status fixed_points(const Handle* handle, const hopfix_search_options* options,
                           const hopfix_execution* execution, bool single_precision,
                           hopfix_point_list** list) {
  return guarded([&] {
    require("list", list);
    *list = nullptr;
    require("network", handle);
    std::optional<Network<double>> owner;
    const hopfix_search_options defaults{};
    *list = new hopfix_point_list(search(wide(handle->network, owner), single_precision,
                                         options == nullptr ? defaults : *options,
                                         execution_of(execution)));
    if ((*list)->interrupted) throw hopfix::Interrupted();
  });
}

const auto kDim = [](const auto& network) { return network.dim(); };
const auto kSize = [](const auto& network) { return network.size(); };
const auto kOne = [](const auto&) { return std::ptrdiff_t{1}; };
const auto kDimSquared = [](const auto& network) { return network.dim() * network.dim(); };

}  // namespace

extern "C" {

const char* hopfix_last_error(void) { return last_error; }

const char* hopfix_version(void) { return HOPFIX_VERSION; }

hopfix_status hopfix_create_f32(const float* patterns, int64_t n, int64_t dim, double beta,
                                const float* log_weights, hopfix_network_f32** network) {
  return create(patterns, n, dim, beta, log_weights, network);
}

hopfix_status hopfix_create_f64(const double* patterns, int64_t n, int64_t dim, double beta,
                                const double* log_weights, hopfix_network_f64** network) {
  return create(patterns, n, dim, beta, log_weights, network);
}

void hopfix_destroy_f32(hopfix_network_f32* network) { delete network; }

void hopfix_destroy_f64(hopfix_network_f64* network) { delete network; }

hopfix_status hopfix_update_f32(const hopfix_network_f32* network, const float* states,
                                int64_t count, float* out, const hopfix_execution* execution) {
  return apply(&Network<float>::update, network, states, count, out, execution, kDim);
}

hopfix_status hopfix_update_f64(const hopfix_network_f64* network, const double* states,
                                int64_t count, double* out, const hopfix_execution* execution) {
  return apply(&Network<double>::update, network, states, count, out, execution, kDim);
}

hopfix_status hopfix_weights_f32(const hopfix_network_f32* network, const float* states,
                                 int64_t count, float* out, const hopfix_execution* execution) {
  return apply(&Network<float>::weights, network, states, count, out, execution, kSize);
}

hopfix_status hopfix_weights_f64(const hopfix_network_f64* network, const double* states,
                                 int64_t count, double* out, const hopfix_execution* execution) {
  return apply(&Network<double>::weights, network, states, count, out, execution, kSize);
}

hopfix_status hopfix_energy_f32(const hopfix_network_f32* network, const float* states,
                                int64_t count, float* out, const hopfix_execution* execution) {
  return apply(&Network<float>::energy, network, states, count, out, execution, kOne);
}

hopfix_status hopfix_energy_f64(const hopfix_network_f64* network, const double* states,
                                int64_t count, double* out, const hopfix_execution* execution) {
  return apply(&Network<double>::energy, network, states, count, out, execution, kOne);
}

hopfix_status hopfix_jacobian_f32(const hopfix_network_f32* network, const float* states,
                                  int64_t count, float* out, const hopfix_execution* execution) {
  return apply(&Network<float>::jacobian, network, states, count, out, execution, kDimSquared);
}

hopfix_status hopfix_jacobian_f64(const hopfix_network_f64* network, const double* states,
                                  int64_t count, double* out, const hopfix_execution* execution) {
  return apply(&Network<double>::jacobian, network, states, count, out, execution, kDimSquared);
}

hopfix_status hopfix_retrieve_f32(const hopfix_network_f32* network, const float* states,
                                  int64_t count, int64_t max_steps, double tol, float* out,
                                  int64_t* steps, uint8_t* converged, float* residual,
                                  const hopfix_execution* execution) {
  return retrieve(network, states, count, max_steps, tol, out, steps, converged, residual,
                  execution);
}

hopfix_status hopfix_retrieve_f64(const hopfix_network_f64* network, const double* states,
                                  int64_t count, int64_t max_steps, double tol, double* out,
                                  int64_t* steps, uint8_t* converged, double* residual,
                                  const hopfix_execution* execution) {
  return retrieve(network, states, count, max_steps, tol, out, steps, converged, residual,
                  execution);
}

hopfix_status hopfix_fixed_points_f32(const hopfix_network_f32* network,
                                      const hopfix_search_options* options,
                                      const hopfix_execution* execution, hopfix_point_list** list) {
  return fixed_points(network, options, execution, true, list);
}

hopfix_status hopfix_fixed_points_f64(const hopfix_network_f64* network,
                                      const hopfix_search_options* options,
                                      const hopfix_execution* execution, hopfix_point_list** list) {
  return fixed_points(network, options, execution, false, list);
}

void hopfix_destroy_list(hopfix_point_list* list) { delete list; }

hopfix_status hopfix_list_summary(const hopfix_point_list* list, int64_t* count, int64_t* dim,
                                  hopfix_completeness* completeness) {
  return guarded([&] {
    require("list", list);
    if (count != nullptr) *count = static_cast<std::int64_t>(list->certificates.size());
    if (dim != nullptr) *dim = list->dim;
    if (completeness != nullptr) *completeness = list->completeness;
  });
}

hopfix_status hopfix_list_points(const hopfix_point_list* list, double* states,
                                 hopfix_certificate* certificates) {
  return guarded([&] {
    require("list", list);
    if (states != nullptr) std::copy(list->states.begin(), list->states.end(), states);
    if (certificates == nullptr) return;
    for (const hopfix::Certificate& c : list->certificates)
      *certificates++ = {c.certified() ? 1 : 0, c.morse_index, c.radius, c.uniqueness_radius,
                         c.spectral_radius};
  });
}

}  // extern "C"
