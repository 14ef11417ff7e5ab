// Portions of searches, some cut short on the way: the list is the same, or marked as cut.
#include "hopfix/portions.hpp"

#include <stdexcept>

#include "hopfix/cells.hpp"
#include "hopfix/fixed_points.hpp"
#include "input.hpp"

namespace {

using namespace hopfix;
using hopfix::fuzz::Input;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const auto network = fuzz::network<double>(input, 8, 4);
  if (!network) return 0;
  bool lost = false;
  Execution delegating{1, {}};
  delegating.delegate = [&](const std::vector<std::string>& portions) {
    std::vector<std::string> answers;
    for (const std::string& portion : portions) {
      const std::uint8_t fate = input.byte();
      answers.emplace_back();
      if (fate >= 240) {  // a worker that is given a part, or nothing
        const std::string part = portion.substr(0, portion.size() * (fate - 240) / 16);
        try {
          work_on_portion(*network, part, Execution{1, {}});
        } catch (const std::invalid_argument&) {
        }
        lost = true;
        continue;
      }
      answers.back() = work_on_portion(*network, portion, Execution{1, {}});
    }
    return answers;
  };
  CellOptions options;
  options.symmetry = false;
  options.max_boxes = 20000;
  options.time_limit = 5;
  const CellList there = fixed_points_by_cells(*network, options, delegating);
  if (lost) CLAIM(!there.undecided.empty());
  if (!lost && there.undecided.empty()) {
    const CellList here = fixed_points_by_cells(*network, options, Execution{2, {}});
    CLAIM(here.undecided.empty());
    CLAIM(fuzz::same_bits(there.states, here.states));
  }
  lost = false;
  SearchOptions starts;
  starts.time_limit = 5;
  const FixedPointList some = fixed_points_by_starts(*network, starts, delegating);
  if (!lost)
    CLAIM(fuzz::same_bits(some.states,
                          fixed_points_by_starts(*network, starts, Execution{2, {}}).states));
  return 0;
}
