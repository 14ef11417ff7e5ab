// The finite network behind the mean field of attention, and proofs of cycles.
#include <cmath>

#include "hopfix/attention_network.hpp"
#include "hopfix/attention_orbit.hpp"
#include "input.hpp"

namespace {

using namespace hopfix;
using hopfix::fuzz::Input;
using std::ptrdiff_t;

struct Parameters {
  double beta, gamma, position_weight;
};

bool finite(const std::vector<double>& numbers) {
  return first_not_finite(numbers.data(), static_cast<ptrdiff_t>(numbers.size())) < 0;
}

void units(Input& input, const AttentionSystem& system, const Parameters& at) {
  const ptrdiff_t m = system.features;
  std::vector<std::int64_t> counts;
  for (ptrdiff_t c = 0; c < system.classes; ++c) counts.push_back(input.between(0, 130));
  const AttentionNetwork network{system,      counts, at.beta, at.gamma, at.position_weight,
                                 input.byte()};
  const auto run = [&](int threads, std::int64_t first, std::int64_t second) {
    AttentionMemory memory;
    memory.attention = std::vector<double>(static_cast<std::size_t>(m), 0.5);
    std::vector<double> out(static_cast<std::size_t>((first + second) * 6 * m));
    simulate_network(network, memory, first, out.data(), nullptr, Execution{threads, {}});
    simulate_network(network, memory, second, out.data() + first * 6 * m, nullptr,
                     Execution{threads, {}});
    return out;
  };
  const std::int64_t steps = input.between(0, 20), first = input.between(0, steps);
  // In one go or in two, on any number of threads.
  CLAIM(fuzz::same_bits(run(1, steps, 0), run(3, first, steps - first)));
  const auto attention = input.numbers<double>(m);
  const std::int64_t draws = input.between(0, 9);
  std::vector<double> fields(static_cast<std::size_t>(draws * 4 * m)), again(fields.size());
  const ptrdiff_t position = input.between(0, system.context - 1);
  sample_fields(network, attention.data(), position, 3, draws, fields.data(), Execution{1, {}});
  sample_fields(network, attention.data(), position, 3, draws, again.data(), Execution{3, {}});
  CLAIM(fuzz::same_bits(fields, again));
}

void cycle(Input& input, const AttentionSystem& system, const Parameters& at) {
  const ptrdiff_t m = system.features, period = system.context * input.between(1, 2);
  const auto attention = input.numbers<double>(period * m);
  std::vector<double> inverse(static_cast<std::size_t>(period * m * period * m));
  for (std::size_t i = 0; i < inverse.size(); i += static_cast<std::size_t>(period * m) + 1)
    inverse[i] = 1;
  if (input.flag()) inverse = input.numbers<double>(static_cast<ptrdiff_t>(inverse.size()));
  const OrbitCertificate found = certify_attention_orbit(
      system, at.beta, at.gamma, at.position_weight, attention.data(), period,
      input.between(0, system.context - 1), inverse.data(), Execution{2, {}});
  CLAIM(!found.certified() || found.radius <= found.uniqueness_radius);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const bool finite_network = input.flag();
  const ptrdiff_t m = input.between(1, 3), context = input.between(1, 4),
                  classes = input.between(1, 5);
  const Parameters at{input.scale(), input.scale(), input.byte() / 255.0};
  const auto projection = input.numbers<double>(classes * m),
             readouts = input.numbers<double>(4 * m * classes),
             positions = input.numbers<double>(context * 4 * m);
  if (!finite(projection) || !finite(readouts) || !finite(positions)) return 0;
  const AttentionSystem system(m, context, classes, projection, readouts, positions);
  if (finite_network)
    units(input, system, at);
  else
    cycle(input, system, at);
  return 0;
}
