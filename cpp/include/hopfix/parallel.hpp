// Parallel loops over independent work, on a pool of threads that the library owns.
//
// The pool spins briefly and then sleeps, survives fork() (a child starts a pool of its own),
// runs nested loops and loops started while it is busy in the calling thread alone, and counts
// the CPUs of the process's affinity mask. Which thread runs which index is not fixed: bodies
// must write to places of their own, and sums must be formed in an order that does not depend
// on it. Then results do not depend on the number of threads.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <string>
#include <vector>

namespace hopfix {

// Thrown out of a computation that the caller asked to stop.
struct Interrupted : std::exception {
  const char* what() const noexcept override { return "interrupted"; }
};

// Runs work(data) on the calling thread and on others, `threads` in all or fewer, and returns when
// all have: GOMP_parallel of the OpenMP run-time library of GCC.
using Team = void (*)(void (*work)(void*), void* data, unsigned threads, unsigned flags);

// Works on portions of a search somewhere else and returns the answers of work_on_portion
// (portions.hpp), in the order of the portions; "" for those that it gave up, as the search then
// does. Called by the calling thread.
using Delegate = std::function<std::vector<std::string>(const std::vector<std::string>& portions)>;

// How to run: the number of threads (the caller included) and, optionally, a function that the
// calling thread asks about every 20 ms whether to stop, between its bodies and while it waits for
// the other threads. With a team, loops run on its threads
// instead of the pool's: where the caller's other work keeps a pool of its own spinning, two pools
// would get in each other's way. With a delegate, searches hand it what is worth the way.
struct Execution {
  int threads = 1;
  std::function<bool()> stop_requested;
  Team team = nullptr;
  Delegate delegate = nullptr;
};

// CPUs in the affinity mask of the process.
int available_cpus();

// Calls body(index, worker) for 0 <= index < count; 0 <= worker < execution.threads names the
// running thread, for scratch memory. The first exception of a body or of stop_requested is
// rethrown when no body runs any more; Interrupted is thrown when a stop was requested,
// std::system_error where a thread cannot be started.
void parallel_for(std::ptrdiff_t count, const Execution& execution,
                  const std::function<void(std::ptrdiff_t index, int worker)>& body);

}  // namespace hopfix
