// Searches that hand their work on find what they find alone, and lose nothing where it is given
// up.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.hpp"
#include "hopfix/cells.hpp"
#include "hopfix/continuation.hpp"
#include "hopfix/face_search.hpp"
#include "hopfix/fixed_points.hpp"
#include "hopfix/portions.hpp"
#include "problem.hpp"

namespace {

using hopfix::Execution;
using hopfix::Network;
using hopfix::test::Problem;

Problem random_problem(std::ptrdiff_t n, std::ptrdiff_t dim, double scale, double beta) {
  std::mt19937_64 random(static_cast<unsigned>(n * 100 + dim));
  std::normal_distribution<double> normal;
  Problem problem{n, dim, beta, {}, {}};
  for (std::ptrdiff_t i = 0; i < n * dim; ++i) problem.patterns.push_back(scale * normal(random));
  return problem;
}

constexpr std::ptrdiff_t kAll = std::numeric_limits<std::ptrdiff_t>::max();

// Works on portions here, last first; the first `done` of every call are answered. After so many
// calls it throws Interrupted, or answers fewer than it was asked.
struct Worker {
  const Network<double>& network;
  std::ptrdiff_t done = kAll;
  std::ptrdiff_t calls = kAll;
  bool throws = true;
  std::vector<std::string> seen = {};

  Execution execution() {
    Execution execution;
    execution.threads = 2;
    execution.delegate = [this](const std::vector<std::string>& portions) {
      if (calls-- <= 0) {
        if (throws) throw hopfix::Interrupted();
        return std::vector<std::string>(portions.size() / 2);
      }
      std::vector<std::string> answers(portions.size());
      for (std::size_t i = portions.size(); i-- > 0;)
        if (static_cast<std::ptrdiff_t>(i) < done)
          answers[i] = hopfix::work_on_portion(network, portions[i], Execution{});
      seen.insert(seen.end(), portions.begin(), portions.end());
      return answers;
    };
    return execution;
  }
};

bool same(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

bool refused(const Network<double>& network, const std::string& portion) {
  try {
    hopfix::work_on_portion(network, portion, Execution{});
  } catch (const std::invalid_argument&) {
    return true;
  }
  return false;
}

// A portion that is cut short, longer, changed or of another network is refused.
void test_damage(const Network<double>& network, const std::string& portion) {
  const std::size_t stride = 1 + portion.size() / 50;
  for (std::size_t place = 0; place < portion.size(); place += stride) {
    CHECK(refused(network, portion.substr(0, place)));
    std::string changed = portion;
    changed[place] = static_cast<char>(changed[place] ^ (1 << place % 8));
    CHECK(refused(network, changed));
  }
  CHECK(refused(network, portion + '\0'));
  CHECK(refused(random_problem(5, 2, 1, 1).network(), portion));
  Problem other{network.size(), network.dim(), network.beta() * 2, {}, {}};
  other.patterns.assign(network.patterns().begin(), network.patterns().end());
  CHECK(refused(other.network(), portion));
}

// An answer that is changed, or to another portion, is refused by the search that asked.
template <class Search>
void test_damaged_answers(const Network<double>& network, const Search& search) {
  for (const bool swapped : {false, true}) {
    Execution execution;
    execution.delegate = [&](const std::vector<std::string>& portions) {
      std::vector<std::string> answers;
      for (const std::string& portion : portions)
        answers.push_back(hopfix::work_on_portion(network, portion, Execution{}));
      if (swapped)
        std::swap(answers.front(), answers.back());
      else
        answers.back()[answers.back().size() / 2] ^= 1;
      return answers;
    };
    bool told = false;
    try {
      search(execution);
    } catch (const std::invalid_argument&) {
      told = true;
    }
    CHECK(told);
  }
}

void test_cells() {
  for (const Problem& problem : {random_problem(14, 20, 0.2, 12), random_problem(24, 4, 1, 5)}) {
    const Network<double> network = problem.network();
    const auto alone = hopfix::fixed_points_by_cells(network, {}, Execution{});
    CHECK(alone.undecided.empty());
    Worker worker{network};
    const auto found = hopfix::fixed_points_by_cells(network, {}, worker.execution());
    CHECK(!worker.seen.empty());
    CHECK(same(found.states, alone.states));
    CHECK(found.undecided.empty());
    CHECK(found.boxes == alone.boxes && found.depth == alone.depth);
    test_damaged_answers(network, [&](const Execution& execution) {
      hopfix::fixed_points_by_cells(network, {}, execution);
    });
    test_damage(network, worker.seen.front());

    Worker lazy{network, 3};
    const auto partial = hopfix::fixed_points_by_cells(network, {}, lazy.execution());
    CHECK(partial.interrupted && !partial.undecided.empty());
    CHECK(partial.boxes < alone.boxes);
    for (const std::ptrdiff_t calls : {0, 1})
      for (const bool throws : {true, false}) {
        Worker breaking{network, kAll, calls, throws};
        const auto broken = hopfix::fixed_points_by_cells(network, {}, breaking.execution());
        CHECK(breaking.calls >= 0 || (broken.interrupted && !broken.undecided.empty()));
      }
  }
}

void test_starts() {
  const Problem problem = random_problem(16, 5, 1, 3);
  const Network<double> network = problem.network();
  const auto alone = hopfix::fixed_points_by_starts(network, {}, Execution{});
  Worker worker{network};
  const auto found = hopfix::fixed_points_by_starts(network, {}, worker.execution());
  CHECK(worker.seen.size() > 1);
  CHECK(same(found.states, alone.states));
  CHECK(found.starts == alone.starts);
  test_damaged_answers(network, [&](const Execution& execution) {
    hopfix::fixed_points_by_starts(network, {}, execution);
  });
  test_damage(network, worker.seen.front());

  Worker lazy{network, 1};
  const auto partial = hopfix::fixed_points_by_starts(network, {}, lazy.execution());
  CHECK(partial.interrupted && partial.size() <= alone.size());
}

// Orthonormal patterns have all their subsets as critical faces, with equal weights.
hopfix::FaceSeeds all_subsets(int n) {
  hopfix::FaceSeeds seeds;
  for (unsigned bits = 1; bits < 1U << n; ++bits) {
    std::vector<std::int64_t> members;
    for (int i = 0; i < n; ++i)
      if (bits >> i & 1U) members.push_back(i);
    seeds.indices.insert(seeds.indices.end(), members.begin(), members.end());
    seeds.weights.insert(seeds.weights.end(), members.size(),
                         1.0 / static_cast<double>(members.size()));
    seeds.first.push_back(static_cast<std::int64_t>(seeds.indices.size()));
  }
  return seeds;
}

void test_faces() {
  constexpr int kPatterns = 18, kChosen = 9;
  Problem problem{kPatterns, kPatterns, 80, {}, {}};
  problem.patterns.assign(static_cast<std::size_t>(kPatterns * kPatterns), 0);
  for (std::size_t i = 0; i < kPatterns; ++i) problem.patterns[i * kPatterns + i] = 1;
  const Network<double> network = problem.network();
  // Not all faces: the proof has to find the others, and to give up.
  const hopfix::FaceSeeds seeds = all_subsets(kChosen);
  hopfix::FaceSearchOptions options;
  options.max_regions = 1000;
  const auto alone = hopfix::fixed_points_by_faces(network, seeds, options, Execution{});
  CHECK(alone.size() >= (1 << kChosen) - 1);
  Worker worker{network};
  const auto found = hopfix::fixed_points_by_faces(network, seeds, options, worker.execution());
  CHECK(!worker.seen.empty());
  CHECK(same(found.states, alone.states));
  CHECK(found.proved == alone.proved);
  CHECK(found.open.size() == alone.open.size());
  test_damage(network, worker.seen.front());
  test_damage(network, worker.seen.back());

  for (const std::ptrdiff_t calls : {0, 1})
    for (const bool throws : {true, false}) {
      Worker breaking{network, kAll, calls, throws};
      const auto broken =
          hopfix::fixed_points_by_faces(network, seeds, options, breaking.execution());
      CHECK(breaking.calls >= 0 || (broken.interrupted && !broken.proved));
    }
}

void test_branches() {
  const Problem problem = random_problem(6, 3, 1, 8);
  const Network<double> network = problem.network();
  const auto points = hopfix::fixed_points_by_starts(network, {}, Execution{});
  hopfix::FollowOptions options;
  options.beta_to = 1;
  const auto follow = [&](const Execution& execution) {
    return hopfix::follow_branches(network, points.states.data(), points.size(), options,
                                   execution);
  };
  const auto alone = follow(Execution{});
  Worker worker{network};
  const auto found = follow(worker.execution());
  CHECK(worker.seen.size() > 1);
  CHECK(found.branches.size() == alone.branches.size());
  CHECK(found.events.size() == alone.events.size() && !alone.events.empty());
  for (std::size_t i = 0; i < alone.branches.size(); ++i) {
    CHECK(same(found.branches[i].states, alone.branches[i].states));
    CHECK(found.branches[i].last == alone.branches[i].last);
    CHECK(found.branches[i].events == alone.branches[i].events);
  }
  test_damage(network, worker.seen.front());

  Worker lazy{network, 1};
  const auto partial = follow(lazy.execution());
  CHECK(partial.interrupted && !partial.branches.empty());
}

}  // namespace

int main() {
  test_cells();
  test_starts();
  test_faces();
  test_branches();
  return hopfix::test::finish();
}
