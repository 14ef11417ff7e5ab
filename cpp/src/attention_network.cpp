#include "hopfix/attention_network.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

size_t at(ptrdiff_t i) { return static_cast<size_t>(i); }

constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15u;

std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

class RandomWords {
 public:
  RandomWords(std::uint64_t seed, std::int64_t step, ptrdiff_t group)
      : state_(mix(mix(seed + kGolden) ^ mix(static_cast<std::uint64_t>(step) * 2 + 1) ^
                   mix(static_cast<std::uint64_t>(group) * 2 + kGolden))) {}
  std::uint64_t next() { return mix(state_ += kGolden); }

 private:
  std::uint64_t state_;
};

int ones(std::uint64_t word) {
  word -= (word >> 1) & 0x5555555555555555u;
  word = (word & 0x3333333333333333u) + ((word >> 2) & 0x3333333333333333u);
  word = (word + (word >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
  return static_cast<int>((word * 0x0101010101010101u) >> 56);
}

// How many of `count` independent units are +1, with probability threshold / 2^64 each.
std::int64_t draw(std::uint64_t threshold, std::int64_t count, RandomWords& random) {
  std::int64_t positive = 0;
  for (std::int64_t first = 0; first < count; first += 64) {
    const std::int64_t units = std::min<std::int64_t>(64, count - first);
    std::uint64_t open = units == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << units) - 1;
    for (int bit = 63; bit >= 0 && open != 0; --bit) {
      const std::uint64_t word = random.next();
      if ((threshold >> bit) & 1) {
        positive += ones(open & ~word);
        open &= word;
      } else {
        open &= ~word;
      }
    }
  }
  return positive;
}

// p rounded to a multiple of 2^-64, at most 1 - 2^-64.
std::uint64_t as_threshold(double p) {
  if (!(p > 0)) return 0;
  return p >= 1 ? ~std::uint64_t{0} : static_cast<std::uint64_t>(std::ldexp(p, 64));
}

// Fields (4M) and the semantic part of the output (M) of a token drawn after an attention.
void draw_fields(const AttentionNetwork& network, const double* attention, ptrdiff_t position,
                 std::int64_t step, double* fields, double* semantic) {
  const AttentionSystem& s = network.system;
  const ptrdiff_t m = s.features, k = s.classes;
  std::vector<double> averages(at(k));
  for (ptrdiff_t c = 0; c < k; ++c) {
    double x = 0;
    for (ptrdiff_t b = 0; b < m; ++b) x += s.projection[at(c * m + b)] * attention[b];
    const std::int64_t units = network.counts[at(c)];
    RandomWords random(network.seed, step, c);
    // (1 + tanh y) / 2 without cancellation.
    const double probability = 1 / (1 + std::exp(-2 * network.beta * x));
    const std::int64_t positive = draw(as_threshold(probability), units, random);
    averages[at(c)] =
        units == 0 ? 0 : static_cast<double>(2 * positive - units) / static_cast<double>(units);
  }
  for (ptrdiff_t j = 0; j < 4 * m; ++j) {
    double sum = 0;
    for (ptrdiff_t c = 0; c < k; ++c) sum += s.readouts[at(j * k + c)] * averages[at(c)];
    sum *= 1 - network.position_weight;
    if (j < m) semantic[j] = sum;
    fields[j] = sum + network.position_weight * s.positions[at(position * 4 * m + j)];
  }
}

void push_front(std::vector<double>& rows, const double* row, ptrdiff_t length, ptrdiff_t most) {
  rows.insert(rows.begin(), row, row + length);
  rows.resize(std::min(rows.size(), at(most * length)));
}

// The mean of the values in the window.
void attend(const AttentionNetwork& network, const AttentionMemory& memory, const double* query,
            double* mean) {
  const ptrdiff_t m = network.system.features;
  const ptrdiff_t tokens = static_cast<ptrdiff_t>(memory.keys.size()) / m;
  const double coupling = network.gamma / std::sqrt(static_cast<double>(m));
  std::vector<double> shares(at(tokens));
  for (ptrdiff_t age = 0; age < tokens; ++age)
    shares[at(age)] =
        coupling * std::inner_product(query, query + m, memory.keys.begin() + age * m, 0.0);
  const double most = *std::max_element(shares.begin(), shares.end());
  double sum = 0;
  for (double& share : shares) sum += share = std::exp(share - most);
  std::fill_n(mean, m, 0.0);
  for (ptrdiff_t age = 0; age < tokens; ++age)
    for (ptrdiff_t a = 0; a < m; ++a)
      mean[a] += shares[at(age)] / sum * memory.values[at(age * m + a)];
}

}  // namespace

void simulate_network(const AttentionNetwork& network, AttentionMemory& memory, std::int64_t count,
                      double* out, const AttentionProgress& progress, const Execution& execution) {
  const ptrdiff_t m = network.system.features, length = network.system.context;
  const std::vector<double> nothing(at(m), 0.0);
  for (std::int64_t step = 0; step < count; ++step) {
    double* const row = out + step * 6 * m;
    const double* before = memory.attention.empty() ? nothing.data() : memory.attention.data();
    draw_fields(network, before, memory.position, memory.steps, row + m, row + 5 * m);
    push_front(memory.values, row + 2 * m, m, length);
    push_front(memory.keys, row + 4 * m, m, length);
    attend(network, memory, row + 3 * m, row);
    push_front(memory.attention, row, m, length);
    memory.position = (memory.position + 1) % length;
    ++memory.steps;
    if (execution.stop_requested && execution.stop_requested()) throw Interrupted();
    if (progress && (step + 1 == count || step % 64 == 63)) progress(step + 1, count);
  }
}

void sample_fields(const AttentionNetwork& network, const double* attention, ptrdiff_t position,
                   std::int64_t first, std::int64_t count, double* out,
                   const Execution& execution) {
  const ptrdiff_t m = network.system.features;
  parallel_for(count, execution, [&](ptrdiff_t s, int) {
    std::vector<double> semantic(at(m));
    draw_fields(network, attention, position, first + s, out + s * 4 * m, semantic.data());
  });
}

}  // namespace hopfix
