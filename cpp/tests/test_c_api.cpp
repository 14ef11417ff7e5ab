// The C API: the numbers of the C++ API, a status for every wrong argument, and no exception.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "hopfix/c_api.h"
#include "hopfix/cells.hpp"
#include "hopfix/checks.hpp"
#include "hopfix/fixed_points.hpp"
#include "hopfix/retrieval.hpp"

namespace {

using hopfix::Execution;
using hopfix::Network;
using std::int64_t;
using std::size_t;

constexpr int64_t kSize = 8, kDim = 3, kCount = 5;
constexpr double kBeta = 4, kNaN = std::numeric_limits<double>::quiet_NaN();

template <class T>
std::vector<T> normal(int64_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> distribution;
  std::vector<T> x(static_cast<size_t>(count));
  for (T& value : x) value = static_cast<T>(distribution(random));
  return x;
}

// Both types under one name.
template <class T>
struct Api;

template <>
struct Api<float> {
  using Handle = hopfix_network_f32;
  static constexpr auto create = hopfix_create_f32;
  static constexpr auto destroy = hopfix_destroy_f32;
  static constexpr auto update = hopfix_update_f32;
  static constexpr auto weights = hopfix_weights_f32;
  static constexpr auto energy = hopfix_energy_f32;
  static constexpr auto jacobian = hopfix_jacobian_f32;
  static constexpr auto retrieve = hopfix_retrieve_f32;
  static constexpr auto fixed_points = hopfix_fixed_points_f32;
};

template <>
struct Api<double> {
  using Handle = hopfix_network_f64;
  static constexpr auto create = hopfix_create_f64;
  static constexpr auto destroy = hopfix_destroy_f64;
  static constexpr auto update = hopfix_update_f64;
  static constexpr auto weights = hopfix_weights_f64;
  static constexpr auto energy = hopfix_energy_f64;
  static constexpr auto jacobian = hopfix_jacobian_f64;
  static constexpr auto retrieve = hopfix_retrieve_f64;
  static constexpr auto fixed_points = hopfix_fixed_points_f64;
};

template <class T>
struct Problem {
  std::vector<T> patterns = normal<T>(kSize * kDim, 1), log_weights = normal<T>(kSize, 2),
                 states = normal<T>(kCount * kDim, 3);
  typename Api<T>::Handle* network = nullptr;

  Problem() {
    CHECK(Api<T>::create(patterns.data(), kSize, kDim, kBeta, log_weights.data(), &network) ==
          HOPFIX_OK);
  }
  ~Problem() { Api<T>::destroy(network); }
};

// The status is that of a wrong argument, and the message begins with its name.
bool refused(hopfix_status status, const char* name) {
  const std::string start = std::string(name) + ": got ";
  return status == HOPFIX_INVALID_ARGUMENT &&
         std::strncmp(hopfix_last_error(), start.c_str(), start.size()) == 0;
}

template <class T>
void test_numbers_are_those_of_the_core() {
  const Problem<T> problem;
  const auto network = hopfix::checked_network(problem.patterns.data(), kSize, kDim, kBeta,
                                               problem.log_weights.data());
  const Execution serial;
  const hopfix_execution two{2, nullptr, nullptr};
  const T* states = problem.states.data();
  const auto same = [&](auto function, auto method, int64_t width) {
    std::vector<T> out(static_cast<size_t>(kCount * width)), expected(out.size());
    CHECK(function(problem.network, states, kCount, out.data(), &two) == HOPFIX_OK);
    (network.*method)(states, kCount, expected.data(), serial);
    CHECK(out == expected);
  };
  same(Api<T>::update, &Network<T>::update, kDim);
  same(Api<T>::weights, &Network<T>::weights, kSize);
  same(Api<T>::energy, &Network<T>::energy, 1);
  same(Api<T>::jacobian, &Network<T>::jacobian, kDim * kDim);

  std::vector<T> out(problem.states.size()), residual(kCount), alone(problem.states.size());
  std::vector<int64_t> steps(kCount);
  std::vector<std::uint8_t> converged(kCount);
  CHECK(Api<T>::retrieve(problem.network, states, kCount, 7, 1e-5, out.data(), steps.data(),
                         converged.data(), residual.data(), nullptr) == HOPFIX_OK);
  CHECK(Api<T>::retrieve(problem.network, states, kCount, 7, 1e-5, alone.data(), nullptr, nullptr,
                         nullptr, nullptr) == HOPFIX_OK);
  const auto expected = hopfix::retrieve(network, states, kCount, 7, 1e-5, serial);
  CHECK(out == expected.states && alone == out && steps == expected.steps &&
        converged == expected.converged && residual == expected.residual);
}

template <class T>
void test_fixed_points_are_those_of_the_core() {
  const Problem<T> problem;
  const std::vector<double> patterns(problem.patterns.begin(), problem.patterns.end());
  const std::vector<double> b(problem.log_weights.begin(), problem.log_weights.end());
  const Network<double> wide(patterns.data(), kSize, kDim, kBeta, b.data());
  hopfix::CellOptions cells;
  hopfix::SearchOptions starts;
  cells.single_precision = starts.single_precision = sizeof(T) == sizeof(float);
  const auto all = hopfix::fixed_points_by_cells(wide, cells, {});
  const auto some = hopfix::fixed_points_by_starts(wide, starts, {});

  const auto same = [&](hopfix_method method, const std::vector<double>& states,
                        const std::vector<hopfix::Certificate>& certificates,
                        hopfix_completeness verdict) {
    hopfix_search_options options{};
    options.method = method;
    hopfix_point_list* list = nullptr;
    CHECK(Api<T>::fixed_points(problem.network, &options, nullptr, &list) == HOPFIX_OK);
    int64_t count = 0, dim = 0;
    hopfix_completeness completeness = HOPFIX_UNKNOWN;
    CHECK(hopfix_list_summary(list, &count, &dim, &completeness) == HOPFIX_OK);
    CHECK(count == static_cast<int64_t>(certificates.size()) && count > 3 && dim == kDim);
    CHECK(completeness == verdict);
    std::vector<double> found(static_cast<size_t>(count * dim));
    std::vector<hopfix_certificate> proofs(static_cast<size_t>(count));
    CHECK(hopfix_list_points(list, found.data(), proofs.data()) == HOPFIX_OK);
    CHECK(found == states);
    for (size_t i = 0; i < proofs.size(); ++i)
      CHECK(proofs[i].certified == 1 && certificates[i].certified() &&
            proofs[i].morse_index == certificates[i].morse_index &&
            proofs[i].radius == certificates[i].radius &&
            proofs[i].uniqueness_radius == certificates[i].uniqueness_radius &&
            proofs[i].spectral_radius == certificates[i].spectral_radius);
    hopfix_destroy_list(list);
  };
  same(HOPFIX_CELLS, all.states, all.certificates, HOPFIX_PROVED);
  same(HOPFIX_STARTS, some.states, some.certificates, HOPFIX_CONSISTENT);
}

void test_limits_leave_the_verdict_open() {
  const Problem<double> problem;
  const auto verdict = [&](hopfix_search_options options) {
    hopfix_point_list* list = nullptr;
    CHECK(hopfix_fixed_points_f64(problem.network, &options, nullptr, &list) == HOPFIX_OK);
    hopfix_completeness completeness = HOPFIX_PROVED;
    CHECK(hopfix_list_summary(list, nullptr, nullptr, &completeness) == HOPFIX_OK);
    hopfix_destroy_list(list);
    return completeness;
  };
  CHECK(verdict({HOPFIX_CELLS, 2, 0, 0, 0}) == HOPFIX_UNKNOWN);
  CHECK(verdict({HOPFIX_CELLS, 0, 3, 0, 0}) == HOPFIX_UNKNOWN);
  CHECK(verdict({HOPFIX_CELLS, 0, 0, 1e-9, 0}) == HOPFIX_UNKNOWN);
  CHECK(verdict({HOPFIX_STARTS, 2, 0, 0, 0}) == HOPFIX_UNKNOWN);
  CHECK(verdict({HOPFIX_STARTS, 0, 0, 1e-9, 0}) == HOPFIX_UNKNOWN);
}

template <class T>
void test_wrong_arguments_of_create() {
  auto* const untouched = reinterpret_cast<typename Api<T>::Handle*>(0x10);
  const std::vector<T> good = normal<T>(6, 4);
  const auto refuses = [&](const char* name, const T* patterns, int64_t n, int64_t dim, double beta,
                           const T* log_weights) {
    typename Api<T>::Handle* network = untouched;
    const bool right = refused(Api<T>::create(patterns, n, dim, beta, log_weights, &network), name);
    return right && network == nullptr;
  };
  CHECK(refuses("patterns", nullptr, 2, 3, 1, nullptr));
  CHECK(refuses("patterns", good.data(), 0, 3, 1, nullptr));
  CHECK(refuses("patterns", good.data(), 2, -1, 1, nullptr));
  CHECK(refuses("patterns", good.data(), INT64_MAX, 3, 1, nullptr));
  CHECK(refuses("patterns", good.data(), INT64_MAX / 4, INT64_MAX / 4, 1, nullptr));
  for (const double beta : {0.0, -1.0, kNaN, HUGE_VAL})
    CHECK(refuses("beta", good.data(), 2, 3, beta, nullptr));
  for (const double spoilt : {kNaN, HUGE_VAL, -HUGE_VAL})
    for (size_t i = 0; i < good.size(); ++i) {
      std::vector<T> bad = good;
      bad[i] = static_cast<T>(spoilt);
      CHECK(refuses("patterns", bad.data(), 2, 3, 1, nullptr));
      if (i < 2) CHECK(refuses("log_weights", good.data(), 2, 3, 1, bad.data()));
    }
  CHECK(refused(Api<T>::create(good.data(), 2, 3, 1, nullptr, nullptr), "network"));
  Api<T>::destroy(nullptr);
}

template <class T>
void test_wrong_arguments_of_methods() {
  const Problem<T> problem;
  const T* states = problem.states.data();
  std::vector<T> out(static_cast<size_t>(kCount * kDim * kDim)), bad = problem.states;
  bad.back() = static_cast<T>(kNaN);
  for (const auto method : {Api<T>::update, Api<T>::energy, Api<T>::jacobian}) {
    CHECK(refused(method(nullptr, states, kCount, out.data(), nullptr), "network"));
    CHECK(refused(method(problem.network, nullptr, kCount, out.data(), nullptr), "states"));
    CHECK(refused(method(problem.network, states, 0, out.data(), nullptr), "states"));
    CHECK(refused(method(problem.network, states, -1, out.data(), nullptr), "states"));
    CHECK(refused(method(problem.network, bad.data(), kCount, out.data(), nullptr), "states"));
    CHECK(refused(method(problem.network, states, kCount, nullptr, nullptr), "out"));
    for (const int threads : {-1, 1025}) {
      const hopfix_execution wrong{threads, nullptr, nullptr};
      CHECK(refused(method(problem.network, states, kCount, out.data(), &wrong), "threads"));
    }
  }
  const auto retrieve = [&](const typename Api<T>::Handle* network, int64_t max_steps, double tol,
                            T* to) {
    return Api<T>::retrieve(network, states, kCount, max_steps, tol, to, nullptr, nullptr, nullptr,
                            nullptr);
  };
  CHECK(refused(retrieve(nullptr, 1, 1, out.data()), "network"));
  CHECK(refused(retrieve(problem.network, -1, 1, out.data()), "max_steps"));
  CHECK(refused(retrieve(problem.network, 1, 1, nullptr), "out"));
  for (const double tol : {-1.0, kNaN, HUGE_VAL})
    CHECK(refused(retrieve(problem.network, 1, tol, out.data()), "tol"));
  CHECK(retrieve(problem.network, INT64_MAX, 1e-3, out.data()) == HOPFIX_OK);
}

void test_wrong_arguments_of_searches() {
  const Problem<double> problem;
  const auto refuses = [&](const char* name, hopfix_search_options options) {
    auto* list = reinterpret_cast<hopfix_point_list*>(0x10);
    return refused(hopfix_fixed_points_f64(problem.network, &options, nullptr, &list), name) &&
           list == nullptr;
  };
  CHECK(refuses("method", {2, 0, 0, 0, 0}));
  CHECK(refuses("method", {-1, 0, 0, 0, 0}));
  for (const int method : {HOPFIX_CELLS, HOPFIX_STARTS}) {
    CHECK(refuses("max_count", {method, -1, 0, 0, 0}));
    CHECK(refuses("time_limit", {method, 0, 0, -1, 0}));
    CHECK(refuses("time_limit", {method, 0, 0, kNaN, 0}));
  }
  CHECK(refuses("max_boxes", {HOPFIX_CELLS, 0, -1, 0, 0}));
  CHECK(refused(hopfix_fixed_points_f64(problem.network, nullptr, nullptr, nullptr), "list"));
  hopfix_point_list* list = nullptr;
  CHECK(refused(hopfix_fixed_points_f64(nullptr, nullptr, nullptr, &list), "network"));
  CHECK(refused(hopfix_list_summary(nullptr, nullptr, nullptr, nullptr), "list"));
  CHECK(refused(hopfix_list_points(nullptr, nullptr, nullptr), "list"));
  hopfix_destroy_list(nullptr);

  // Too many patterns in too many dimensions for the exhaustive search.
  const std::vector<double> many = normal<double>(200 * 50, 5);
  hopfix_network_f64* network = nullptr;
  CHECK(hopfix_create_f64(many.data(), 200, 50, 1, nullptr, &network) == HOPFIX_OK);
  CHECK(refused(hopfix_fixed_points_f64(network, nullptr, nullptr, &list), "patterns"));
  hopfix_destroy_f64(network);
}

void test_overflow_has_a_status() {
  const float patterns[] = {1e30F, -1e30F}, state = 1e30F;
  hopfix_network_f32* network = nullptr;
  CHECK(hopfix_create_f32(patterns, 2, 1, 1, nullptr, &network) == HOPFIX_OK);
  float out = 0;
  CHECK(hopfix_energy_f32(network, &state, 1, &out, nullptr) == HOPFIX_OVERFLOW);
  CHECK(std::strstr(hopfix_last_error(), "overflow") != nullptr);
  hopfix_destroy_f32(network);
}

int stop_at_once(void* context) {
  ++*static_cast<int*>(context);
  return 1;
}

void test_stop_keeps_what_was_found() {
  // Far more than can be searched.
  const std::vector<double> patterns = normal<double>(60 * 40, 6);
  hopfix_network_f64* network = nullptr;
  CHECK(hopfix_create_f64(patterns.data(), 60, 40, 0.3, nullptr, &network) == HOPFIX_OK);
  int asked = 0;
  const hopfix_execution execution{1, stop_at_once, &asked};
  for (const int method : {HOPFIX_CELLS, HOPFIX_STARTS}) {
    const hopfix_search_options options{method, 0, 0, 60, 0};
    hopfix_point_list* list = nullptr;
    const int before = asked;
    CHECK(hopfix_fixed_points_f64(network, &options, &execution, &list) == HOPFIX_INTERRUPTED);
    CHECK(asked > before && list != nullptr);
    hopfix_completeness completeness = HOPFIX_PROVED;
    CHECK(hopfix_list_summary(list, nullptr, nullptr, &completeness) == HOPFIX_OK);
    CHECK(completeness == HOPFIX_UNKNOWN);
    hopfix_destroy_list(list);
  }
  std::vector<double> out(patterns.size());
  CHECK(hopfix_retrieve_f64(network, patterns.data(), 60, 1000, 0, out.data(), nullptr, nullptr,
                            nullptr, &execution) == HOPFIX_INTERRUPTED);
  hopfix_destroy_f64(network);
}

int stop_by_throwing(void*) { throw std::runtime_error("from the caller"); }

void test_no_exception_comes_out() {
  const std::vector<double> patterns = normal<double>(60 * 40, 6);
  hopfix_network_f64* network = nullptr;
  CHECK(hopfix_create_f64(patterns.data(), 60, 40, 0.3, nullptr, &network) == HOPFIX_OK);
  const hopfix_execution execution{2, stop_by_throwing, nullptr};
  hopfix_point_list* list = nullptr;
  const hopfix_search_options options{HOPFIX_CELLS, 0, 0, 60, 0};
  CHECK(hopfix_fixed_points_f64(network, &options, &execution, &list) == HOPFIX_FAILED);
  CHECK(std::string(hopfix_last_error()) == "from the caller" && list == nullptr);
  hopfix_destroy_f64(network);
}

void test_messages_belong_to_threads() {
  CHECK(refused(hopfix_list_points(nullptr, nullptr, nullptr), "list"));
  std::string before = "?", after;
  std::thread other([&] {
    before = hopfix_last_error();
    hopfix_create_f64(nullptr, 1, 1, 1, nullptr, nullptr);
    after = hopfix_last_error();
  });
  other.join();
  CHECK(before.empty() && after.rfind("network", 0) == 0);
  CHECK(std::string(hopfix_last_error()).rfind("list", 0) == 0);
}

}  // namespace

int main() {
  CHECK(std::string(hopfix_last_error()).empty());
  CHECK(std::string(hopfix_version()) == HOPFIX_VERSION);
  test_numbers_are_those_of_the_core<float>();
  test_numbers_are_those_of_the_core<double>();
  test_fixed_points_are_those_of_the_core<float>();
  test_fixed_points_are_those_of_the_core<double>();
  test_limits_leave_the_verdict_open();
  test_wrong_arguments_of_create<float>();
  test_wrong_arguments_of_create<double>();
  test_wrong_arguments_of_methods<float>();
  test_wrong_arguments_of_methods<double>();
  test_wrong_arguments_of_searches();
  test_overflow_has_a_status();
  test_stop_keeps_what_was_found();
  test_no_exception_comes_out();
  test_messages_belong_to_threads();
  return hopfix::test::finish();
}
