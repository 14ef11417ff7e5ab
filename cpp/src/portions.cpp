#include "hopfix/portions.hpp"

#include <chrono>
#include <stdexcept>

#include "portion_kinds.hpp"

namespace hopfix {

Execution within(double seconds, const Execution& execution) {
  using Clock = std::chrono::steady_clock;
  Execution limited = execution;
  limited.stop_requested = [seconds, began = Clock::now(), outer = execution.stop_requested] {
    return std::chrono::duration<double>(Clock::now() - began).count() > seconds ||
           (outer && outer());
  };
  return limited;
}

std::vector<std::string> ask_delegate(const Execution& execution,
                                      const std::vector<std::string>& portions) {
  std::vector<std::string> answers = execution.delegate(portions);
  if (answers.size() > portions.size())
    throw std::invalid_argument("delegate: more answers than portions");
  answers.resize(portions.size());
  return answers;
}

std::string work_on_portion(const Network<double>& network, const std::string& portion,
                            const Execution& execution) {
  Reader reader(portion);
  try {
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
  } catch (const Interrupted&) {
    return {};
  }
  throw std::invalid_argument("portion: of an unknown kind: need one version of hopfix everywhere");
}

}  // namespace hopfix
