// Classical networks, random features and the mean field of attention.
#include <cmath>
#include <stdexcept>

#include "hopfix/attention_dynamics.hpp"
#include "hopfix/binary_hopfield.hpp"
#include "hopfix/continuous_hopfield.hpp"
#include "hopfix/random_features.hpp"
#include "input.hpp"

namespace {

using namespace hopfix;
using hopfix::fuzz::Input;
using std::ptrdiff_t;

SignWords signs(Input& input, ptrdiff_t count, ptrdiff_t dim) {
  std::vector<double> rows;
  for (ptrdiff_t i = 0; i < count * dim; ++i) rows.push_back(input.flag() ? 1 : -1);
  SignWords words(static_cast<std::size_t>(count * sign_words(dim)));
  CLAIM(pack_signs(rows.data(), count, dim, words.data(), Execution{2, {}}) < 0);
  return words;
}

void binary(Input& input) {
  const ptrdiff_t n = input.between(1, 40), dim = input.between(1, 150),
                  count = input.between(1, 7);
  const SignWords patterns = signs(input, n, dim), states = signs(input, count, dim);
  const auto bias = input.flag() ? input.numbers<double>(dim) : std::vector<double>();
  if (first_not_finite(bias.data(), static_cast<ptrdiff_t>(bias.size())) >= 0) return;
  const BinaryNetwork network(patterns.data(), n, dim, bias.empty() ? nullptr : bias.data(),
                              input.flag());
  CLAIM(network.patterns() == patterns);
  const auto order = input.flag() ? SweepOrder::cyclic : SweepOrder::random;
  const auto swept =
      network.retrieve_asynchronous(states.data(), count, 100, order, 1, Execution{2, {}});
  SignWords after(swept.states.size());
  network.update(swept.states.data(), count, after.data(), Execution{1, {}});
  for (ptrdiff_t s = 0; s < count; ++s)
    if (swept.period[static_cast<std::size_t>(s)] == 1)
      for (ptrdiff_t w = 0; w < network.words(); ++w) {
        const auto at = static_cast<std::size_t>(s * network.words() + w);
        CLAIM(after[at] == swept.states[at]);
      }
  network.retrieve_synchronous(states.data(), count, 100, Execution{2, {}});
}

template <class T>
void continuous(Input& input) {
  const ptrdiff_t n = input.between(1, 12), dim = input.between(1, 9), count = input.between(1, 5);
  const auto patterns = input.numbers<T>(n * dim), bias = input.numbers<T>(dim),
             states = input.numbers<T>(count * dim);
  const double gain = input.scale();
  for (const auto* given : {&patterns, &bias, &states})
    if (first_not_finite(given->data(), static_cast<ptrdiff_t>(given->size())) >= 0) return;
  Sparsity sparsity;
  if (input.flag()) sparsity.top = input.between(0, dim);
  const ContinuousNetwork<T> network(patterns.data(), n, dim, gain,
                                     input.flag() ? bias.data() : nullptr, input.flag(), sparsity);
  std::vector<T> out(states.size()), jacobian(static_cast<std::size_t>(count * dim * dim));
  network.update(states.data(), count, out.data(), Execution{2, {}});
  for (const T each : out) CLAIM(std::isnan(each) || std::fabs(each) <= 1);
  network.jacobian(states.data(), count, jacobian.data(), Execution{2, {}});
  retrieve(network, states.data(), count, 30, 1e-6, Execution{2, {}});
  if constexpr (std::is_same_v<T, double>)
    if (!sparsity.any()) {
      solve_by_newton(network, out.data(), count, 20, 1e-10, Execution{2, {}});
      certify(network, out.data(), count, Execution{2, {}});
    }
}

template <class T>
void features(Input& input) {
  const ptrdiff_t n = input.between(1, 9), dim = input.between(1, 20), count = input.between(1, 70);
  const auto kind = input.flag() ? FeatureKind::exponential : FeatureKind::rectified;
  const auto matrix = input.numbers<T>(count * dim), rows = input.numbers<T>(n * dim);
  std::vector<T> out(static_cast<std::size_t>(n * count)), again(out.size());
  const FeatureMap<T> map{kind, matrix.data(), count, dim, 0};
  random_features(map, rows.data(), n, out.data(), Execution{1, {}});
  random_features(map, rows.data(), n, again.data(), Execution{3, {}});
  CLAIM(fuzz::same_bits(out, again));
}

void attention(Input& input) {
  const ptrdiff_t m = input.between(1, 4), context = input.between(1, 6),
                  classes = input.between(1, 9);
  const ptrdiff_t count = input.between(1, 11);
  AttentionSystem system(m, context, classes, input.numbers<double>(classes * m),
                         input.numbers<double>(4 * m * classes),
                         input.numbers<double>(context * 4 * m));
  std::vector<double> beta, gamma, weight;
  for (ptrdiff_t i = 0; i < count; ++i) {
    beta.push_back(input.scale());
    gamma.push_back(input.scale());
    weight.push_back(input.byte() / 255.0);
  }
  const AttentionParameters parameters{count, beta.data(), gamma.data(), weight.data()};
  AttentionWindow window;
  window.filled = input.between(0, context);
  window.position = window.filled % context;
  window.attention = input.numbers<double>(count * window.filled * m);
  window.token = input.numbers<double>(count * classes);
  AttentionWindow other = window;
  const std::int64_t steps = input.between(0, 30), discard = input.between(0, steps);
  std::vector<double> out(static_cast<std::size_t>(count * (steps - discard) * 6 * m)),
      again(out.size());
  simulate_attention(system, parameters, window, steps, discard, AttentionOutput::everything,
                     out.data(), nullptr, Execution{1, {}});
  simulate_attention(system, parameters, other, steps, discard, AttentionOutput::everything,
                     again.data(), nullptr, Execution{3, {}});
  CLAIM(fuzz::same_bits(out, again));
  if (window.filled < context) return;
  LyapunovOptions options;
  options.steps = options.batches = input.between(1, 5);
  options.count = input.between(1, context * m);
  std::vector<double> means(static_cast<std::size_t>(count * options.batches * options.count));
  attention_exponents(system, parameters, window, options, means.data(), nullptr, Execution{2, {}});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  switch (input.between(0, 5)) {
    case 0:
      binary(input);
      break;
    case 1:
      continuous<float>(input);
      break;
    case 2:
      continuous<double>(input);
      break;
    case 3:
      features<float>(input);
      break;
    case 4:
      features<double>(input);
      break;
    default:
      attention(input);
  }
  return 0;
}
