// The pool: every index once, exceptions, nesting, stop requests, callers at once, fork.
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#ifndef _WIN32
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "check.hpp"
#include "hopfix/parallel.hpp"
#include "shared_stop.hpp"

namespace {

using hopfix::Execution;
using hopfix::parallel_for;

bool runs_every_index_once(int threads, std::ptrdiff_t count) {
  std::vector<std::atomic<int>> seen(static_cast<std::size_t>(count));
  std::atomic<bool> workers_in_range{true};
  parallel_for(count, Execution{threads, {}}, [&](std::ptrdiff_t i, int worker) {
    ++seen[static_cast<std::size_t>(i)];
    if (worker < 0 || worker >= threads) workers_in_range = false;
  });
  for (const auto& times : seen)
    if (times != 1) return false;
  return workers_in_range;
}

void test_indices() {
  for (const int threads : {1, 2, 3, 8})
    for (const std::ptrdiff_t count : {0, 1, 2, 7, 1000})
      CHECK(runs_every_index_once(threads, count));
  for (int round = 0; round < 2000; ++round)
    if (!runs_every_index_once(4, 5)) CHECK(!"a round lost an index");
}

void test_exception() {
  bool caught = false;
  try {
    parallel_for(100, Execution{4, {}}, [](std::ptrdiff_t i, int) {
      if (i == 37) throw std::runtime_error("37");
    });
  } catch (const std::runtime_error& error) {
    caught = std::string(error.what()) == "37";
  }
  CHECK(caught);
  CHECK(runs_every_index_once(4, 100));
}

void test_nesting() {
  std::atomic<int> total{0};
  parallel_for(8, Execution{4, {}}, [&](std::ptrdiff_t, int) {
    parallel_for(8, Execution{4, {}}, [&](std::ptrdiff_t, int worker) { total += worker == 0; });
  });
  CHECK(total == 64);
}

void test_stop() {
  using Clock = std::chrono::steady_clock;
  const auto began = Clock::now();
  bool stopped = false;
  try {
    parallel_for(100000, Execution{2, [] { return true; }}, [](std::ptrdiff_t, int) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
  } catch (const hopfix::Interrupted&) {
    stopped = true;
  }
  CHECK(stopped);
  CHECK(Clock::now() - began < std::chrono::seconds(5));
}

void test_stop_that_throws() {
  std::atomic<int> running{0};
  const auto stop = []() -> bool { throw std::runtime_error("no answer"); };
  std::string message;
  try {
    parallel_for(100000, Execution{4, stop}, [&](std::ptrdiff_t, int worker) {
      ++running;
      std::this_thread::sleep_for(std::chrono::milliseconds(worker == 0 ? 1 : 50));
      --running;
    });
  } catch (const std::runtime_error& error) {
    message = error.what();
  }
  CHECK(message == "no answer");
  CHECK(running == 0);
}

// The calling thread ends early and waits for a long body of another, which hears of the stop.
void test_stop_while_waiting() {
  for (const bool throws : {false, true}) {
    std::atomic<int> asked{0};
    const auto ask = [&]() -> bool {
      if (++asked < 5) return false;
      if (throws) throw std::runtime_error("no answer");
      return true;
    };
    hopfix::SharedStop stop(Execution{2, ask});
    const std::thread::id caller = std::this_thread::get_id();
    std::string message;
    std::atomic<bool> heard{false};
    try {
      parallel_for(2, stop.execution(), [&](std::ptrdiff_t, int worker) {
        // One body each.
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        if (std::this_thread::get_id() == caller) return;
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (!stop.requested(worker) && std::chrono::steady_clock::now() < deadline)
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
        heard = stop.requested(worker);
      });
    } catch (const std::exception& error) {
      message = error.what();
    }
    CHECK(heard);
    CHECK(message == (throws ? "no answer" : "interrupted"));
    CHECK(asked == 5);
  }
}

void test_callers_at_once() {
  std::vector<std::thread> callers;
  std::atomic<int> good{0};
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&] {
      for (int round = 0; round < 100; ++round) good += runs_every_index_once(3, 20);
    });
  for (auto& caller : callers) caller.join();
  CHECK(good == 400);
}

void test_fork() {
#ifndef _WIN32
  CHECK(runs_every_index_once(4, 100));
  const pid_t child = fork();
  if (child == 0) _exit(runs_every_index_once(4, 100) ? 0 : 1);
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
#endif
}

}  // namespace

int main() {
  test_indices();
  test_exception();
  test_nesting();
  test_stop();
  test_stop_that_throws();
  test_stop_while_waiting();
  test_callers_at_once();
  test_fork();
  return hopfix::test::finish();
}
