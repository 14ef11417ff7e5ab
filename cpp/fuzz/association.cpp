// Associations of many sets, forward and back: the same bits for any number of threads.
#include "hopfix/association.hpp"

#include <cmath>
#include <utility>

#include "input.hpp"

namespace {

using namespace hopfix;
using hopfix::fuzz::Input;
using std::ptrdiff_t;

// An array of shape (batch, heads, rows, width), stored in this order of axes or by rows first.
template <class T>
struct Tensor {
  std::vector<T> numbers;
  ptrdiff_t batch, head, row;

  Tensor(std::vector<T> values, ptrdiff_t heads, ptrdiff_t rows, ptrdiff_t width, bool rows_first)
      : numbers(std::move(values)),
        batch(heads * rows * width),
        head(rows_first ? width : rows * width),
        row(rows_first ? heads * width : width) {}

  HeadRows<T> write() { return {numbers.data(), batch, head, row}; }
  HeadRows<const T> read() const { return {numbers.data(), batch, head, row}; }
};

template <class T>
void run(Input& input) {
  AssociationSizes sizes;
  sizes.batch = input.between(1, 3);
  sizes.heads = input.between(1, 3);
  sizes.queries = input.between(1, 5);
  sizes.patterns = input.between(1, 40);
  sizes.dim = input.between(1, 9);
  const bool mapped = input.flag(), rows_first = input.flag();
  sizes.value_dim = input.between(1, 9);
  const ptrdiff_t sets = sizes.batch * sizes.heads;
  const auto tensor = [&](ptrdiff_t rows, ptrdiff_t width, bool zero) {
    const ptrdiff_t count = sets * rows * width;
    return Tensor<T>(
        zero ? std::vector<T>(static_cast<std::size_t>(count)) : input.numbers<T>(count),
        sizes.heads, rows, width, rows_first);
  };
  const ptrdiff_t steps_most = input.between(0, 4);
  const bool converging = !mapped && input.between(0, 3) == 0;
  const std::vector<std::int64_t> max_steps(static_cast<std::size_t>(sizes.heads),
                                            converging ? kToConvergence : steps_most);
  const std::vector<double> tolerance(max_steps.size(), input.flag() ? 1e-4 : 0.0);
  std::vector<T> beta;
  for (ptrdiff_t h = 0; h < sizes.heads; ++h) beta.push_back(static_cast<T>(input.scale()));
  const bool biased = input.flag(), biased_rows = input.flag();
  const Tensor<T> queries = tensor(sizes.queries, sizes.dim, false),
                  patterns = tensor(sizes.patterns, sizes.dim, false),
                  values = tensor(sizes.patterns, sizes.value_dim, false),
                  pattern_bias = tensor(1, sizes.patterns, !biased),
                  bias = tensor(sizes.queries, sizes.patterns, !biased_rows),
                  cotangents = tensor(sizes.queries, sizes.value_dim, false);
  const auto maps = input.numbers<T>(mapped ? sizes.heads * sizes.dim * sizes.dim : 0),
             shifts = input.numbers<T>(mapped ? sizes.heads * sizes.dim : 0);
  const AssociationInput<T> given{sizes,
                                  queries.read(),
                                  patterns.read(),
                                  values.read(),
                                  biased ? pattern_bias.read() : HeadRows<const T>{},
                                  biased_rows ? bias.read() : HeadRows<const T>{},
                                  beta.data(),
                                  1,
                                  max_steps.data(),
                                  tolerance.data(),
                                  mapped ? maps.data() : nullptr,
                                  mapped ? shifts.data() : nullptr};
  const auto rows = static_cast<std::size_t>(sets * sizes.queries);
  const std::size_t slots = converging ? 1 : static_cast<std::size_t>(steps_most);
  std::vector<std::int64_t> steps(rows);
  std::vector<T> states(slots * rows * static_cast<std::size_t>(sizes.dim)),
      log_sums((slots + 1) * rows);
  Tensor<T> out = tensor(sizes.queries, sizes.value_dim, true), again = out;
  associate(given, again.write(), steps.data(), {}, Execution{3, {}});
  associate(given, out.write(), steps.data(), {states.data(), log_sums.data()}, Execution{1, {}});
  CLAIM(fuzz::same_bits(out.numbers, again.numbers));

  const auto back = [&](int threads) {
    Tensor<T> to_queries = tensor(sizes.queries, sizes.dim, true),
              to_patterns = tensor(sizes.patterns, sizes.dim, true),
              to_values = tensor(sizes.patterns, sizes.value_dim, true);
    std::vector<double> to_beta(max_steps.size());
    std::vector<T> to_states(mapped ? states.size() : 0);
    associate_adjoint(given, std::as_const(out).read(), steps.data(),
                      {states.data(), log_sums.data()}, cotangents.read(),
                      {to_queries.write(), to_patterns.write(), to_values.write(), to_beta.data(),
                       mapped ? to_states.data() : nullptr},
                      Execution{threads, {}});
    return std::vector<std::vector<T>>{to_queries.numbers, to_patterns.numbers, to_values.numbers};
  };
  const auto one = back(1), three = back(3);
  for (std::size_t i = 0; i < one.size(); ++i) CLAIM(fuzz::same_bits(one[i], three[i]));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  fuzz::in_either_precision(input, [&](auto zero) { run<decltype(zero)>(input); });
  return 0;
}
