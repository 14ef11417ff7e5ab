// Separation losses and kernels learned by descent.
#include <cmath>

#include "hopfix/separation_kernel.hpp"
#include "input.hpp"

namespace {

using namespace hopfix;
using hopfix::fuzz::Input;
using std::ptrdiff_t;

template <class T>
void run(Input& input) {
  const ptrdiff_t n = input.between(2, 9), dim = input.between(1, 6),
                  features = input.between(1, 8);
  SeparationLoss loss;
  loss.kind = static_cast<SeparationLoss::Kind>(input.between(0, 2));
  loss.t = input.scale();
  loss.normalize = input.flag();
  const auto rows = input.numbers<T>(n * dim), matrix = input.numbers<T>(features * dim);
  if (first_not_finite(rows.data(), n * dim) >= 0) return;
  if (first_not_finite(matrix.data(), features * dim) >= 0) return;
  const PatternRows<T> patterns{rows.data(), n, dim};

  std::vector<T> mapped(static_cast<std::size_t>(n * features)), gradient(matrix.size()),
      again(matrix.size());
  linear_features(patterns, matrix.data(), features, mapped.data(), Execution{2, {}});
  const LossValue one =
      separation_loss(patterns, matrix.data(), features, loss, gradient.data(), Execution{1, {}});
  const LossValue other =
      separation_loss(patterns, matrix.data(), features, loss, again.data(), Execution{3, {}});
  CLAIM(one.fault == other.fault && -1 <= one.fault && one.fault < n);
  if (one.fault < 0)
    CLAIM(fuzz::same_bits(gradient, again) &&
          std::memcmp(&one.value, &other.value, sizeof one.value) == 0);

  DescentOptions options;
  options.loss = loss;
  options.steps = input.between(0, 12);
  options.tolerance = input.flag() ? 0 : 1e-3;
  options.time_limit = 1;
  const auto steps = static_cast<std::size_t>(options.steps);
  if (input.flag()) options.rates.assign(steps, input.scale());
  if (!options.rates.empty() && input.flag()) {
    const ptrdiff_t batch = input.between(2, n);
    for (ptrdiff_t step = 0; step < options.steps; ++step)
      for (ptrdiff_t i = 0; i < batch; ++i) options.batches.push_back((step + i) % n);
  }
  std::vector<T> learned = matrix;
  const Descent descent = descend(patterns, learned.data(), features, options, Execution{2, {}});
  CLAIM(descent.losses.size() <= steps + 1);
  if (descent.fault < 0 && !descent.losses.empty() && std::isfinite(descent.losses.front()))
    CLAIM(first_not_finite(learned.data(), features * dim) < 0);
  if (options.rates.empty() && options.batches.empty() &&
      loss.kind != SeparationLoss::Kind::maximum)
    for (const double each : descent.losses) CLAIM(!std::isnan(each));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  fuzz::in_either_precision(input, [&](auto zero) { run<decltype(zero)>(input); });
  return 0;
}
