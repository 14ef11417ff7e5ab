// Portions of searches, some of them lost or damaged on the way: what is damaged is refused, what
// is lost is told unless it was not needed, else the list is that of the search done here.
#include "hopfix/portions.hpp"

#include <cmath>
#include <functional>
#include <stdexcept>

#include "hopfix/cells.hpp"
#include "hopfix/continuation.hpp"
#include "hopfix/face_search.hpp"
#include "hopfix/fixed_points.hpp"
#include "input.hpp"

namespace {

using namespace hopfix;
using hopfix::fuzz::Input;
using std::ptrdiff_t;

constexpr double kSeconds = 0.5;

struct Found {
  std::vector<double> states;
  bool whole;  // not cut short by the clock, nor by what was lost
};

void damage(Input& input, std::string& bytes) {
  const std::size_t place = (input.byte() + 256u * input.byte()) % bytes.size();
  const std::uint8_t how = input.byte();
  if (how >= 230)
    bytes.resize(place);
  else if (how >= 220)
    bytes.insert(place, std::string(1, static_cast<char>(input.byte())) + bytes);
  else
    bytes[place] = static_cast<char>(bytes[place] ^ (1 << how % 8));
}

// Hands portions back in the order they came.
struct Workers {
  const Network<double>& network;
  Input& input;
  bool lost = false, damaged = false;

  std::vector<std::string> operator()(const std::vector<std::string>& portions) {
    std::vector<std::string> answers;
    for (const std::string& portion : portions) {
      const std::uint8_t fate = input.byte();
      if (fate >= 250) {
        lost = true;
        answers.emplace_back();
        continue;
      }
      if (fate >= 235) refuse(portion);
      answers.push_back(work_on_portion(network, portion, Execution{1, {}}));
      if (fate >= 230 && fate < 235 && !answers.back().empty()) {
        damage(input, answers.back());
        damaged = damaged || !answers.back().empty();
      }
    }
    return answers;
  }

  void refuse(std::string portion) {
    damage(input, portion);
    bool refused = false;
    try {
      work_on_portion(network, portion, Execution{1, {}});
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    CLAIM(refused);
  }
};

Found by_cells(const Network<double>& network, const Execution& execution) {
  CellOptions options;
  options.symmetry = false;
  options.max_boxes = 10000;
  options.time_limit = kSeconds;
  const CellList list = fixed_points_by_cells(network, options, execution);
  return {list.states, list.undecided.empty()};
}

Found by_starts(const Network<double>& network, const Execution& execution) {
  SearchOptions options;
  options.time_limit = kSeconds;
  const FixedPointList list = fixed_points_by_starts(network, options, execution);
  return {list.states, !list.time_limit_reached && !list.interrupted};
}

Found by_faces(const Network<double>& network, const Execution& execution) {
  FaceSearchOptions options;
  options.boxes = false;
  options.max_regions = 2000;
  options.time_limit = kSeconds;
  const FaceSearchList list =
      fixed_points_by_faces(network, fuzz::every_pattern(network.size()), options, execution);
  return {list.states, list.proved};
}

Found by_following(const Network<double>& network, const Execution& execution) {
  SearchOptions options;
  options.max_count = 3;
  options.time_limit = kSeconds;
  const FixedPointList points = fixed_points_by_starts(network, options, Execution{1, {}});
  FollowOptions follow;
  follow.beta_to = network.beta() * 0.7;
  follow.max_steps = 40;
  follow.time_limit = kSeconds;
  if (points.size() == 0 || follow.beta_to == 0) return {{}, false};
  const BranchList list =
      follow_branches(network, points.states.data(), points.size(), follow, execution);
  Found found{{}, !list.time_limit_reached && !list.interrupted && !points.time_limit_reached};
  for (const Branch& branch : list.branches)
    found.states.insert(found.states.end(), branch.states.begin(), branch.states.end());
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  constexpr auto rarely = 7;  // only large searches by boxes have portions
  const ptrdiff_t kind = input.between(0, rarely);
  const auto search = kind == rarely  ? by_cells
                      : kind % 3 == 0 ? by_starts
                      : kind % 3 == 1 ? by_faces
                                      : by_following;
  const auto network = fuzz::network<double>(input, kind == rarely ? 8 : 5, kind == rarely ? 4 : 3);
  if (!network) return 0;
  try {
    work_on_portion(*network, {reinterpret_cast<const char*>(data), size}, Execution{1, {}});
    CLAIM(false);
  } catch (const std::invalid_argument&) {
  }
  Workers workers{*network, input};
  Execution elsewhere{1, {}};
  elsewhere.delegate = std::ref(workers);
  try {
    const Found there = search(*network, elsewhere);
    CLAIM(!workers.damaged || !there.whole || workers.lost);
    const Found here = search(*network, Execution{2, {}});
    CLAIM(!here.whole || !there.whole || fuzz::same_bits(here.states, there.states));
  } catch (const std::invalid_argument&) {
    CLAIM(workers.damaged);
  }
  return 0;
}
