// The C API: a status for whatever it is given, and the promised message.
#include "hopfix/c_api.h"

#include <cstring>
#include <type_traits>

#include "input.hpp"

namespace {

using hopfix::fuzz::Input;
using std::int64_t;

// Null now and then.
template <class T>
T* sometimes(Input& input, std::vector<T>& values) {
  return input.byte() % 16 == 0 ? nullptr : values.data();
}

void is_told(hopfix_status status) {
  CLAIM(status == HOPFIX_OK || std::strlen(hopfix_last_error()) > 0);
}

// What overflows is refused: results are finite.
void is_finite(hopfix_status status, const std::vector<double>& out, int64_t count, int64_t width) {
  if (status != HOPFIX_OK) return;
  CLAIM(hopfix::first_not_finite(out.data(), count * width) < 0);
}

// Right more often than not.
int64_t size_of(Input& input, int64_t right) {
  const int64_t wrong[] = {0, -1, INT64_MIN, INT64_MAX, right - 1};
  return input.byte() % 16 == 0 ? wrong[input.between(0, 4)] : right;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const int64_t n = input.between(1, 8), dim = input.between(1, 4), count = input.between(1, 6);
  auto patterns = input.numbers<double>(n * dim), weights = input.numbers<double>(n),
       states = input.numbers<double>(count * dim);
  const double beta = input.flag() ? input.scale() : input.number<double>();
  hopfix_network_f64* network = nullptr;
  int64_t rows = size_of(input, n);
  // More rows than there are would be read: what cannot be allocated is all that may be asked for.
  if (rows > n) rows = INT64_MAX;
  const auto made =
      hopfix_create_f64(rows > n ? nullptr : sometimes(input, patterns), rows, dim, beta,
                        input.flag() && rows == n ? weights.data() : nullptr, &network);
  is_told(made);
  CLAIM((made == HOPFIX_OK) == (network != nullptr));
  hopfix_execution how{static_cast<int>(input.between(0, 3)), nullptr, nullptr};
  if (input.byte() % 16 == 0) how.stop = [](void*) { return 1; };
  const int64_t k = std::min(size_of(input, count), count);
  std::vector<double> out(static_cast<std::size_t>(count * (n + dim * dim)));
  double* to = sometimes(input, out);
  const double* from = sometimes(input, states);
  auto status = hopfix_update_f64(network, from, k, to, &how);
  is_told(status);
  is_finite(status, out, k, dim);
  status = hopfix_weights_f64(network, from, k, to, &how);
  is_told(status);
  is_finite(status, out, k, rows);
  is_told(hopfix_energy_f64(network, from, k, to, &how));
  is_told(hopfix_jacobian_f64(network, from, k, to, &how));
  std::vector<int64_t> steps(static_cast<std::size_t>(count));
  std::vector<std::uint8_t> converged(steps.size());
  const int64_t most = size_of(input, 20);
  is_told(hopfix_retrieve_f64(network, from, k, std::min<int64_t>(most, 1000),
                              input.flag() ? 1e-9 : input.number<double>(), to,
                              input.flag() ? steps.data() : nullptr,
                              input.flag() ? converged.data() : nullptr, nullptr, &how));
  hopfix_search_options options{static_cast<int>(input.between(0, 3)), size_of(input, 50),
                                size_of(input, 500), 0.2, input.byte()};
  hopfix_point_list* list = nullptr;
  status = hopfix_fixed_points_f64(network, &options, &how, &list);
  is_told(status);
  int64_t points = 0;
  if (list != nullptr && hopfix_list_summary(list, &points, nullptr, nullptr) == HOPFIX_OK) {
    std::vector<double> found(static_cast<std::size_t>(points * dim));
    std::vector<hopfix_certificate> certificates(static_cast<std::size_t>(points));
    CLAIM(hopfix_list_points(list, found.data(), certificates.data()) == HOPFIX_OK);
  }
  hopfix_destroy_list(list);
  hopfix_destroy_f64(network);
  return 0;
}
