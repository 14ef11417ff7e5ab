// Threads of a caller that share networks, from the first use on, and networks of their own.
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "check.hpp"
#include "hopfix/cells.hpp"
#include "hopfix/face_search.hpp"
#include "hopfix/fixed_points.hpp"
#include "hopfix/parallel.hpp"
#include "hopfix/retrieval.hpp"

namespace {

using hopfix::Execution;
using hopfix::Network;

template <class T>
std::vector<T> normal_numbers(std::ptrdiff_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<T> numbers;
  for (std::ptrdiff_t i = 0; i < count; ++i) numbers.push_back(static_cast<T>(normal(random)));
  return numbers;
}

template <class T>
void append(const std::vector<T>& values, std::vector<double>& all) {
  all.insert(all.end(), values.begin(), values.end());
}

// Lets threads go on together when `count` of them have come.
class Meeting {
 public:
  explicit Meeting(int count) : missing_(count) {}

  void wait() {
    std::unique_lock lock(mutex_);
    if (--missing_ == 0) all_here_.notify_all();
    all_here_.wait(lock, [this] { return missing_ <= 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_here_;
  int missing_;
};

constexpr int kThreads = 2;
constexpr int kCallers = 3;

// What networks derive from their patterns at the first call that needs it: an attractor and the
// quantized patterns (retrieve), the spaced rows (dim a power of two), extent and spread.
template <class T>
std::vector<double> retrievals(const Network<T>& network) {
  constexpr std::ptrdiff_t kStates = 24;
  const auto states = normal_numbers<T>(kStates * network.dim(), 7);
  const Execution execution{kThreads, [] { return false; }};
  std::vector<double> all{network.spread(), network.extent().radius};
  for (const double tol : {0.0, 1e-5}) {
    const auto found = hopfix::retrieve(network, states.data(), kStates, 200, tol, execution);
    append(found.states, all);
    append(found.residual, all);
  }
  std::vector<T> updated(states.size());
  network.update(states.data(), kStates, updated.data(), execution);
  append(updated, all);
  return all;
}

std::vector<double> searches(const Network<double>& network) {
  const Execution execution{kThreads, [] { return false; }};
  std::vector<double> all = retrievals(network);
  append(hopfix::fixed_points_by_starts(network, {}, execution).states, all);
  append(hopfix::fixed_points_by_cells(network, {}, execution).states, all);
  hopfix::FaceSeeds seeds;
  for (std::ptrdiff_t i = 0; i < network.size(); ++i) {
    seeds.indices.push_back(i);
    seeds.weights.push_back(1);
    seeds.first.push_back(static_cast<std::int64_t>(seeds.indices.size()));
  }
  append(hopfix::fixed_points_by_faces(network, seeds, {}, execution).states, all);
  return all;
}

bool same(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

// `make` makes equal networks: callers get one for all, then one each.
template <class Make, class Work>
void test_callers(const Make& make, const Work& work) {
  const std::vector<double> expected = work(make());
  CHECK(!expected.empty());
  for (const bool shared : {true, false}) {
    const auto common = make();
    std::vector<std::vector<double>> answers(kCallers);
    Meeting meeting(kCallers);
    std::vector<std::thread> callers;
    for (auto& answer : answers)
      callers.emplace_back([&] {
        const auto own = make();
        meeting.wait();
        answer = work(shared ? common : own);
      });
    for (auto& caller : callers) caller.join();
    for (const auto& answer : answers) CHECK(same(answer, expected));
  }
}

template <class T>
void test_retrievals(std::ptrdiff_t n, std::ptrdiff_t dim, double beta) {
  const auto patterns = normal_numbers<T>(n * dim, 3);
  test_callers([&] { return Network<T>(patterns.data(), n, dim, beta, nullptr); }, retrievals<T>);
}

void test_searches() {
  const auto patterns = normal_numbers<double>(7 * 3, 5);
  test_callers([&] { return Network<double>(patterns.data(), 7, 3, 4.0, nullptr); }, searches);
}

// A first use that is stopped leaves the network as it was.
void test_stopped_first_use() {
  constexpr std::ptrdiff_t n = 700, dim = 32, count = 64;
  const auto patterns = normal_numbers<double>(n * dim, 3);
  const auto states = normal_numbers<double>(count * dim, 9);
  const auto make = [&] { return Network<double>(patterns.data(), n, dim, 0.02, nullptr); };
  const Network<double> network = make();
  bool stopped = false;
  try {
    hopfix::retrieve(network, states.data(), count, std::int64_t{1} << 40, 0.0,
                     Execution{kThreads, [] { return true; }});
  } catch (const hopfix::Interrupted&) {
    stopped = true;
  }
  CHECK(stopped);
  CHECK(same(retrievals(network), retrievals(make())));
}

}  // namespace

int main() {
  test_retrievals<float>(600, 512, 0.05);
  test_retrievals<double>(600, 256, 0.05);
  test_retrievals<double>(700, 32, 0.66);
  test_searches();
  test_stopped_first_use();
  return hopfix::test::finish();
}
