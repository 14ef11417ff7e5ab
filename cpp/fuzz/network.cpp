// Evaluation, retrieval and certificates: the same bits alone and in a batch on several threads.
#include <cmath>
#include <stdexcept>

#include "hopfix/certificate.hpp"
#include "hopfix/retrieval.hpp"
#include "input.hpp"

namespace {

using namespace hopfix;
using hopfix::fuzz::Input;
using std::ptrdiff_t;

// A result of `width` numbers a state.
template <class T, class Call>
void same_alone(ptrdiff_t count, ptrdiff_t width, const Call& call) {
  std::vector<T> batch(static_cast<std::size_t>(count * width)), alone(batch.size());
  call(0, count, batch.data(), Execution{3, {}});
  for (ptrdiff_t s = 0; s < count; ++s)
    call(s, ptrdiff_t{1}, alone.data() + s * width, Execution{1, {}});
  CLAIM(fuzz::same_bits(batch, alone));
}

template <class T>
void run(Input& input) {
  const auto network = fuzz::network<T>(input, 40, 12);
  if (!network) return;
  const ptrdiff_t n = network->size(), dim = network->dim(), count = input.between(1, 9);
  const auto states = input.numbers<T>(count * dim), others = input.numbers<T>(count * dim);
  try {
    check_states("states", states.data(), count, dim);
    check_states("others", others.data(), count, dim);
  } catch (const std::invalid_argument&) {
    return;
  }
  const T *x = states.data(), *c = others.data();
  same_alone<T>(count, dim, [&](ptrdiff_t s, ptrdiff_t k, T* out, const Execution& how) {
    network->update(x + s * dim, k, out, how);
  });
  same_alone<T>(count, n, [&](ptrdiff_t s, ptrdiff_t k, T* out, const Execution& how) {
    network->weights(x + s * dim, k, out, how);
  });
  same_alone<T>(count, 1, [&](ptrdiff_t s, ptrdiff_t k, T* out, const Execution& how) {
    network->energy(x + s * dim, k, out, how);
  });
  same_alone<T>(count, dim, [&](ptrdiff_t s, ptrdiff_t k, T* out, const Execution& how) {
    network->jvp(x + s * dim, c + s * dim, k, out, how);
  });
  same_alone<T>(count, dim * dim, [&](ptrdiff_t s, ptrdiff_t k, T* out, const Execution& how) {
    network->jacobian(x + s * dim, k, out, how);
  });
  const ptrdiff_t steps = input.between(0, 50);
  same_alone<T>(count, dim, [&](ptrdiff_t s, ptrdiff_t k, T* out, const Execution& how) {
    const auto found = retrieve(*network, x + s * dim, k, steps, 1e-6, how);
    std::copy(found.states.begin(), found.states.end(), out);
  });
  std::vector<T> of_states(states.size()), of_patterns(static_cast<std::size_t>(n * dim)),
      of_weights(static_cast<std::size_t>(n));
  T of_beta = 0;
  network->vjp(x, c, count, {of_states.data(), of_patterns.data(), &of_beta, of_weights.data()},
               Execution{2, {}});
  try {
    std::vector<T> radii(static_cast<std::size_t>(count));
    network->spectral_radius(x, count, radii.data(), Execution{2, {}});
  } catch (const std::runtime_error&) {  // as documented
  }
  if constexpr (std::is_same_v<T, double>)
    for (const Certificate& found : Certifier(*network).certify(x, count, Execution{2, {}}))
      CLAIM(!found.certified() || found.radius <= found.uniqueness_radius);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  fuzz::in_either_precision(input, [&](auto zero) { run<decltype(zero)>(input); });
  return 0;
}
