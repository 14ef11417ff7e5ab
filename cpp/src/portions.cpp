#include "hopfix/portions.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <stdexcept>

#include "portion_kinds.hpp"

namespace hopfix {

namespace {

using Seal = std::uint64_t;

// Every step is one-to-one in the word and in what came before: damage to one word always shows,
// other damage but for one case in 2^64.
Seal stamp(Seal seal, const void* data, std::size_t size) {
  const auto mix = [&seal](std::uint64_t word) {
    seal = (seal ^ word) * 0x9e3779b97f4a7c15u;
    seal ^= seal >> 32;
  };
  const auto* bytes = static_cast<const unsigned char*>(data);
  mix(size);
  for (std::size_t at = 0; at < size; at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + at, std::min(sizeof word, size - at));
    mix(word);
  }
  return seal;
}

Seal stamp(const Network<double>& network) {
  const std::ptrdiff_t sizes[] = {network.size(), network.dim()};
  const double beta = network.beta();
  Seal seal = stamp(1, sizes, sizeof sizes);
  seal = stamp(seal, &beta, sizeof beta);
  seal = stamp(seal, network.log_weights().data(), network.log_weights().size() * sizeof(double));
  return stamp(seal, network.patterns().data(),
               static_cast<std::size_t>(network.size() * network.dim()) * sizeof(double));
}

// Appends the seal, which it returns.
Seal close(Seal key, std::string& bytes) {
  const Seal seal = stamp(key, bytes.data(), bytes.size());
  bytes.append(reinterpret_cast<const char*>(&seal), sizeof seal);
  return seal;
}

// Takes the seal off and returns it; std::invalid_argument(fault) where it is another.
Seal open(Seal key, std::string& bytes, const char* fault) {
  Seal seal = 0;
  if (bytes.size() < sizeof seal) throw std::invalid_argument(fault);
  const std::size_t size = bytes.size() - sizeof seal;
  std::memcpy(&seal, bytes.data() + size, sizeof seal);
  if (stamp(key, bytes.data(), size) != seal) throw std::invalid_argument(fault);
  bytes.resize(size);
  return seal;
}

std::string work(const Network<double>& network, const std::string& portion,
                 const Execution& execution) {
  Reader reader(portion);
  switch (reader.get<PortionKind>()) {
    case PortionKind::cells:
      return work_on_cells(network, reader, execution);
    case PortionKind::starts:
      return work_on_starts(network, reader, execution);
    case PortionKind::seeds:
      return work_on_seeds(network, reader, execution);
    case PortionKind::supports:
      return work_on_supports(network, reader, execution);
    case PortionKind::branches:
      return work_on_branches(network, reader, execution);
  }
  throw std::invalid_argument("portion: of an unknown kind: need one version of hopfix everywhere");
}

}  // namespace

Execution within(double seconds, const Execution& execution) {
  using Clock = std::chrono::steady_clock;
  Execution limited = execution;
  limited.stop_requested = [seconds, began = Clock::now(), outer = execution.stop_requested] {
    return std::chrono::duration<double>(Clock::now() - began).count() > seconds ||
           (outer && outer());
  };
  return limited;
}

std::vector<std::string> ask_delegate(const Network<double>& network, const Execution& execution,
                                      std::vector<std::string> portions) {
  const Seal key = stamp(network);
  std::vector<Seal> seals;
  for (std::string& portion : portions) seals.push_back(close(key, portion));
  std::vector<std::string> answers = execution.delegate(portions);
  if (answers.size() > portions.size())
    throw std::invalid_argument("delegate: more answers than portions");
  answers.resize(portions.size());
  for (std::size_t i = 0; i < answers.size(); ++i)
    if (!answers[i].empty())
      open(seals[i], answers[i], "delegate: got an answer that is damaged, or of another portion");
  return answers;
}

std::string work_on_portion(const Network<double>& network, const std::string& portion,
                            const Execution& execution) {
  std::string bytes = portion;
  const Seal seal = open(stamp(network), bytes,
                         "portion: damaged, or of a search in another network: need the same "
                         "network and version of hopfix everywhere");
  try {
    std::string answer = work(network, bytes, execution);
    if (!answer.empty()) close(seal, answer);
    return answer;
  } catch (const Interrupted&) {
    return {};
  }
}

}  // namespace hopfix
