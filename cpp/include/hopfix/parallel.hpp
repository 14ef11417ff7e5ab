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

namespace hopfix {

// Thrown out of a computation that the caller asked to stop.
struct Interrupted : std::exception {
  const char* what() const noexcept override { return "interrupted"; }
};

// How to run: the number of threads (the caller included) and, optionally, a function that the
// calling thread asks about every 20 ms whether to stop.
struct Execution {
  int threads = 1;
  std::function<bool()> stop_requested;
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
