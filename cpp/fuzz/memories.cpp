// Separations and general memories: probabilities, or a fault that is told.
#include <cmath>
#include <stdexcept>

#include "hopfix/memory.hpp"
#include "hopfix/separation.hpp"
#include "input.hpp"

namespace {

using namespace hopfix;
using hopfix::fuzz::Input;
using std::ptrdiff_t;

Separation separation(Input& input, ptrdiff_t n) {
  Separation chosen;
  chosen.kind = static_cast<Separation::Kind>(input.between(0, 3));
  const double alphas[] = {1, 1 + 1e-9, 1.25, 1.5, 2, 3.7, 50, HUGE_VAL};
  chosen.alpha = alphas[input.between(0, 7)];
  chosen.count = chosen.kind == Separation::Kind::topk ? input.between(1, n) : input.between(1, 9);
  // Without rectification powers are even.
  chosen.rectified = input.flag() || chosen.count % 2 != 0;
  return chosen;
}

template <class T>
void rows(Input& input) {
  const ptrdiff_t n = input.between(1, 40), count = input.between(1, 5);
  const Separation chosen = separation(input, n);
  const auto z = input.numbers<T>(count * n), t = input.numbers<T>(count * n);
  std::vector<T> p(z.size()), out(z.size());
  const SeparationStatus status = separate(chosen, z.data(), count, n, p.data(), Execution{2, {}});
  if (status.fault != SeparationFault::none) {
    CLAIM(0 <= status.row && status.row < count);
    return;
  }
  for (ptrdiff_t row = 0; row < count; ++row) {
    double sum = 0;
    for (ptrdiff_t i = 0; i < n; ++i) {
      const double each = p[static_cast<std::size_t>(row * n + i)];
      CLAIM(0 <= each && each <= 1);
      sum += each;
    }
    CLAIM(std::fabs(sum - 1) < (sizeof(T) == 4 ? 1e-4 : 1e-11));
  }
  separation_jvp(chosen, z.data(), t.data(), count, n, out.data(), Execution{2, {}});
  if (chosen.kind != Separation::Kind::polynomial)
    separation_conjugate(chosen, z.data(), count, n, out.data(), Execution{2, {}});
}

template <class T>
void memory(Input& input) {
  const ptrdiff_t n = input.between(1, 20), dim = input.between(1, 6), count = input.between(1, 5);
  const ptrdiff_t value_dim = input.flag() ? input.between(1, 5) : dim;
  MemoryOptions options;
  options.similarity = static_cast<Similarity>(input.between(0, 3));
  options.separation = separation(input, n);
  options.features = input.flag() ? input.between(1, 5) : 0;
  options.normalize = input.flag();
  if (input.flag()) options.sparsify_above = HUGE_VAL;
  const double beta = input.scale();
  const auto patterns = input.numbers<T>(n * dim), values = input.numbers<T>(n * value_dim),
             matrix = input.numbers<T>(options.features * dim),
             states = input.numbers<T>(count * dim), others = input.numbers<T>(count * value_dim);
  for (const auto* given : {&patterns, &values, &matrix, &states, &others})
    if (first_not_finite(given->data(), static_cast<ptrdiff_t>(given->size())) >= 0) return;
  const bool apart = value_dim != dim || input.flag();
  const Memory<T> store(patterns.data(), n, dim, beta, nullptr, apart ? values.data() : nullptr,
                        value_dim, options.features > 0 ? matrix.data() : nullptr, options);
  std::vector<T> batch(others.size()), alone(others.size()), p(static_cast<std::size_t>(count * n)),
      back(states.size());
  const auto status = store.update(states.data(), count, batch.data(), Execution{3, {}});
  if (status.fault != SeparationFault::none) return;
  for (ptrdiff_t s = 0; s < count; ++s)
    store.update(states.data() + s * dim, 1, alone.data() + s * value_dim, Execution{1, {}});
  CLAIM(fuzz::same_bits(batch, alone));
  store.weights(states.data(), count, p.data(), Execution{2, {}});
  if (options.similarity == Similarity::dot || options.similarity == Similarity::neg_sq_l2) try {
      store.vjp(states.data(), others.data(), count, back.data(), Execution{2, {}});
    } catch (const std::invalid_argument&) {
    }
  if (value_dim == dim) {
    SeparationStatus ended;
    retrieve(store, states.data(), count, 20, 1e-6, Execution{2, {}}, ended);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  switch (input.between(0, 3)) {
    case 0:
      rows<float>(input);
      break;
    case 1:
      rows<double>(input);
      break;
    case 2:
      memory<float>(input);
      break;
    default:
      memory<double>(input);
  }
  return 0;
}
