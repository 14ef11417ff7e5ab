// A request to stop, for parallel loops whose bodies run long.
#pragma once

#include <atomic>
#include <functional>
#include <utility>

#include "hopfix/parallel.hpp"

namespace hopfix {

// The calling thread, worker 0, asks for all: between bodies, within its own, and while it waits
// for the others. These see the answer within theirs. What the question throws stops them, too.
class SharedStop {
 public:
  // `ask` in place of execution.stop_requested.
  SharedStop(const Execution& execution, std::function<bool()> ask)
      : ask_(std::move(ask)), execution_(execution) {
    execution_.stop_requested = [this] { return requested(0); };
  }
  explicit SharedStop(const Execution& execution)
      : SharedStop(execution, execution.stop_requested) {}
  SharedStop(const SharedStop&) = delete;
  SharedStop& operator=(const SharedStop&) = delete;

  // For the loop.
  const Execution& execution() const { return execution_; }

  bool requested(int worker) {
    if (worker == 0 && ask_ && !stopped_.load(std::memory_order_relaxed)) try {
        if (ask_()) stopped_ = true;
      } catch (...) {
        stopped_ = true;
        throw;
      }
    return stopped_.load(std::memory_order_relaxed);
  }

 private:
  const std::function<bool()> ask_;
  Execution execution_;
  std::atomic<bool> stopped_{false};
};

}  // namespace hopfix
