// What portions there are, and how searches send them and take their answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "archive.hpp"
#include "hopfix/cells.hpp"
#include "hopfix/network.hpp"
#include "hopfix/parallel.hpp"

namespace hopfix {

enum class PortionKind : std::int32_t { cells, starts, seeds, supports, branches };

// A search makes so many portions at a time, where it has as much to do.
inline constexpr std::ptrdiff_t kMostPortions = 64;

inline Writer begin_portion(PortionKind kind) {
  Writer writer;
  writer.put(kind);
  return writer;
}

inline void write_region(const UndecidedRegion& region, Writer& writer) {
  writer.put(region.state);
  writer.put(region.radius);
  writer.put(region.reason);
}

inline UndecidedRegion read_region(Reader& reader) {
  std::vector<double> state = reader.list<double>();
  const auto radius = reader.get<double>();
  return {std::move(state), radius, reader.get<UndecidedReason>()};
}

// The same execution, stopped after so many seconds.
Execution within(double seconds, const Execution& execution);

// One function for each kind: reads the rest of the portion, returns the answer. Interrupted where
// there is none.
std::string work_on_cells(const Network<double>& network, Reader& portion,
                          const Execution& execution);
std::string work_on_starts(const Network<double>& network, Reader& portion,
                           const Execution& execution);
std::string work_on_seeds(const Network<double>& network, Reader& portion,
                          const Execution& execution);
std::string work_on_supports(const Network<double>& network, Reader& portion,
                             const Execution& execution);
std::string work_on_branches(const Network<double>& network, Reader& portion,
                             const Execution& execution);

// As many answers as portions, "" for what was not done. Portions travel under a seal of their
// bytes and of the network, answers under one of their bytes and of the portion's.
std::vector<std::string> ask_delegate(const Network<double>& network, const Execution& execution,
                                      std::vector<std::string> portions);

// Calls absorb(i, Reader&) for the portions that were done, in order; whether all were.
template <class Absorb>
bool delegate_portions(const Network<double>& network, const Execution& execution,
                       std::vector<std::string> portions, const Absorb& absorb) {
  const std::vector<std::string> answers = ask_delegate(network, execution, std::move(portions));
  bool all = true;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    all = all && !answers[i].empty();
    if (answers[i].empty()) continue;
    Reader reader(answers[i]);
    absorb(i, reader);
  }
  return all;
}

}  // namespace hopfix
