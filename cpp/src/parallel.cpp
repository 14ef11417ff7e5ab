#include "hopfix/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif
#ifndef _WIN32
#include <pthread.h>
#endif

namespace hopfix {

namespace {

using Clock = std::chrono::steady_clock;
using Body = std::function<void(std::ptrdiff_t, int)>;

// How often the caller's function is asked whether to stop.
constexpr std::chrono::milliseconds kPolling{20};

thread_local bool inside_loop = false;

struct InsideLoop {
  InsideLoop() { inside_loop = true; }
  ~InsideLoop() { inside_loop = false; }
};

// One parallel loop: indices are handed out one by one.
class Loop {
 public:
  Loop(std::ptrdiff_t count, const Body& body) : count_(count), body_(body) {}

  void work(int worker) {
    for (std::ptrdiff_t i = next_++; i < count_ && !stopped_; i = next_++) run_one(i, worker);
  }

  // The calling thread's share; asks between indices whether to stop.
  void work_and_poll(const std::function<bool()>& stop_requested) {
    auto asked = Clock::now();
    for (std::ptrdiff_t i = next_++; i < count_ && !stopped_; i = next_++) {
      run_one(i, 0);
      if (!stop_requested || Clock::now() - asked < kPolling) continue;
      ask(stop_requested);
      asked = Clock::now();
    }
  }

  // Asks, while others still run, every time it is called until it is told to stop.
  void poll(const std::function<bool()>& stop_requested) {
    if (stop_requested && !stopped_) ask(stop_requested);
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void run_one(std::ptrdiff_t index, int worker) {
    try {
      body_(index, worker);
    } catch (...) {
      fail(std::current_exception());
    }
  }

  // What the caller's function throws waits, as all else, until the helpers have left the loop.
  void ask(const std::function<bool()>& stop_requested) {
    try {
      if (stop_requested()) throw Interrupted();
    } catch (...) {
      fail(std::current_exception());
    }
  }

  void fail(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
    stopped_ = true;
  }

  const std::ptrdiff_t count_;
  const Body& body_;
  std::atomic<std::ptrdiff_t> next_{0};
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::exception_ptr error_;
};

class Pool {
 public:
  // One loop at a time. The caller waits for the helpers at work, not for those still waking up:
  // a short loop may be over by then.
  void run(Loop& loop, int helpers, const std::function<bool()>& stop_requested) {
    {
      const std::lock_guard lock(mutex_);
      while (static_cast<int>(threads_.size()) < helpers)
        threads_.emplace_back(&Pool::serve, this, static_cast<int>(threads_.size()) + 1);
      loop_ = &loop;
      wanted_ = helpers;
      ++round_;
    }
    wake_.notify_all();
    loop.work_and_poll(stop_requested);
    {
      const std::lock_guard lock(mutex_);
      loop_ = nullptr;
    }
    for (int spin = 0; spin < kSpins && running_.load() > 0; ++spin) std::this_thread::yield();
    std::unique_lock lock(mutex_);
    while (!done_.wait_for(lock, kPolling, [this] { return running_.load() == 0; })) {
      lock.unlock();
      loop.poll(stop_requested);
      lock.lock();
    }
  }

  std::mutex busy;

 private:
  static constexpr int kSpins = 2000;

  void serve(int worker) {
    inside_loop = true;
    unsigned long seen = 0;
    for (;;) {
      for (int spin = 0; spin < kSpins && round_.load() == seen; ++spin) std::this_thread::yield();
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return round_.load() != seen; });
      seen = round_.load();
      if (worker > wanted_ || loop_ == nullptr) continue;
      Loop* loop = loop_;
      ++running_;
      lock.unlock();
      loop->work(worker);
      lock.lock();
      if (--running_ == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> threads_;
  Loop* loop_ = nullptr;
  int wanted_ = 0;
  std::atomic<int> running_{0};
  std::atomic<unsigned long> round_{0};
};

// The pool lives until the process ends and is never destroyed: at exit its threads may already
// be gone. A forked child has none of them and starts anew.
std::atomic<Pool*> pool{nullptr};

Pool& shared_pool() {
  static std::once_flag once;
  std::call_once(once, [] {
#ifndef _WIN32
    pthread_atfork(nullptr, nullptr, [] {
      pool = new Pool;
      inside_loop = false;
    });
#endif
    if (pool == nullptr) pool = new Pool;
  });
  return *pool;
}

// A loop on the threads of a team, which take numbers in the order in which they come.
struct TeamLoop {
  Loop& loop;
  const std::function<bool()>& stop_requested;
  const std::thread::id caller;
  std::atomic<int> others{0};

  static void work(void* data) {
    auto& self = *static_cast<TeamLoop*>(data);
    const bool outside = !inside_loop;
    inside_loop = true;
    if (std::this_thread::get_id() == self.caller)
      self.loop.work_and_poll(self.stop_requested);
    else
      self.loop.work(++self.others);
    if (outside) inside_loop = false;
  }
};

}  // namespace

int available_cpus() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

void parallel_for(std::ptrdiff_t count, const Execution& execution,
                  const std::function<void(std::ptrdiff_t, int)>& body) {
  Loop loop(count, body);
  const int helpers = static_cast<int>(std::min<std::ptrdiff_t>(execution.threads, count)) - 1;
  if (helpers > 0 && !inside_loop && execution.team != nullptr) {
    TeamLoop shared{loop, execution.stop_requested, std::this_thread::get_id()};
    execution.team(&TeamLoop::work, &shared, static_cast<unsigned>(helpers) + 1, 0);
    loop.rethrow();
    return;
  }
  if (helpers > 0 && !inside_loop) {
    Pool& shared = shared_pool();
    if (const std::unique_lock lock(shared.busy, std::try_to_lock); lock) {
      const InsideLoop inside;
      shared.run(loop, helpers, execution.stop_requested);
      loop.rethrow();
      return;
    }
  }
  loop.work_and_poll(execution.stop_requested);
  loop.rethrow();
}

}  // namespace hopfix
