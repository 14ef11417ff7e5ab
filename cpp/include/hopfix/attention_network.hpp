// The finite network of N units behind attention_dynamics.hpp: every unit of the next token is +1
// with probability (1 + tanh(beta sum_b P_cb A_b)) / 2, c its class, and A is the attention / N.
//
// Units of one class differ in nothing, so a token is known by how many of each class are +1. They
// are drawn 64 at a time: a unit is +1 if a uniform number of 64 bits is below its probability, and
// the bits of 64 such numbers are compared, most significant first, until all are decided (7 words
// on average). Random words are a counter through the mixing function of SplitMix64 (Steele, Lea
// and Flood 2014), so that step t, class c and word w have their own, whatever was drawn before.
// A step costs about 7 N / 64 random words, K hyperbolic tangents and O(MK + LM).
#pragma once

#include <cstdint>
#include <vector>

#include "hopfix/attention_dynamics.hpp"

namespace hopfix {

struct AttentionNetwork {
  // counts: K, the units of every class, with sum N; weights: 4 x M x K, their columns of o, v, q,
  // k. system.readouts must be weights times counts / N.
  const AttentionSystem& system;
  std::vector<std::int64_t> counts;
  double beta, gamma, position_weight;
  std::uint64_t seed;
};

// What the network remembers, newest first and at most L of each: attentions, and the values and
// keys of tokens; the position of the next token, and the steps made.
struct AttentionMemory {
  std::ptrdiff_t position = 0;
  std::int64_t steps = 0;
  std::vector<double> attention, values, keys;
};

// `count` steps. out (count x 6M): A, m^o, m^v, m^q, m^k and the semantic part of m^o, as
// simulate_attention writes them.
void simulate_network(const AttentionNetwork& network, AttentionMemory& memory, std::int64_t count,
                      double* out, const AttentionProgress& progress, const Execution& execution);

// out (count x 4M) = fields o, v, q, k of `count` independent tokens that follow one attention (M)
// at one position: draw s uses the words of step first + s.
void sample_fields(const AttentionNetwork& network, const double* attention,
                   std::ptrdiff_t position, std::int64_t first, std::int64_t count, double* out,
                   const Execution& execution);

}  // namespace hopfix
