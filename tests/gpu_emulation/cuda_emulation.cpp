#include "cuda_emulation.hpp"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace emulation {

extern const Kernel kernels[];  // the last one has no name

namespace {

constexpr unsigned kWarp = 32;
constexpr std::size_t kStack = 1 << 17;

enum class Order { forward, reverse, random };

// ucontext starts it; after that jumps, which leave the signal mask alone, switch faster.
struct Fiber {
  std::unique_ptr<char[]> stack{new char[kStack]};
  ucontext_t beginning;
  jmp_buf place;
  bool begun = false, done = true;
  const void* waits_for = nullptr;  // the block or warp whose barrier has not opened yet
  int line = 0;                     // of that barrier
  std::uint64_t shown = 0;          // to its warp, in a shuffle
};

using Group = std::vector<Fiber*>;

struct Machine {
  Dim3 block_index, grid;
  jmp_buf scheduler;
  std::vector<Fiber> fibers;
  unsigned current;
  Group block;
  std::vector<Group> warps;
  const Kernel* kernel;
  void** arguments;
  int skipped_line;  // the __syncthreads that does nothing: an injected fault
  std::string error;

  void fail(const std::string& what) {
    if (error.empty()) error = what;
  }

  void yield() {
    if (_setjmp(fibers[current].place) == 0) _longjmp(scheduler, 1);
  }

  void resume(unsigned thread) {
    current = thread;
    if (_setjmp(scheduler) != 0) return;
    if (fibers[thread].begun) _longjmp(fibers[thread].place, 1);
    fibers[thread].begun = true;
    setcontext(&fibers[thread].beginning);
  }

  // The barrier opens when all members have come to the same line of it.
  void wait(const Group& group, int line) {
    fibers[current].waits_for = &group;
    fibers[current].line = line;
    const auto here = [&](const Fiber* f) { return f->waits_for == &group && f->line == line; };
    if (std::all_of(group.begin(), group.end(), here))
      for (Fiber* f : group) f->waits_for = nullptr;
    yield();
  }

  // Fibers are used again from block to block, those of a block that failed are not.
  void set_threads(unsigned count, void (*entry)()) {
    if (error.empty() && fibers.size() == count) return;
    error.clear();
    fibers = std::vector<Fiber>(count);
    block.clear();
    warps.assign((count + kWarp - 1) / kWarp, {});
    for (unsigned t = 0; t < count; ++t) {
      Fiber& f = fibers[t];
      block.push_back(&f);
      warps[t / kWarp].push_back(&f);
      getcontext(&f.beginning);
      f.beginning.uc_stack.ss_sp = f.stack.get();
      f.beginning.uc_stack.ss_size = kStack;
      f.beginning.uc_link = nullptr;
      makecontext(&f.beginning, entry, 0);
    }
  }

  // Runs each thread of a warp up to its next barrier, and says whether any could.
  bool run_warp(unsigned warp, Order order, std::mt19937& random) {
    std::vector<unsigned> turn(warps[warp].size());
    std::iota(turn.begin(), turn.end(), warp * kWarp);
    if (order == Order::reverse) std::reverse(turn.begin(), turn.end());
    if (order == Order::random) std::shuffle(turn.begin(), turn.end(), random);
    bool moved = false;
    for (const unsigned t : turn) {
      if (fibers[t].done || fibers[t].waits_for != nullptr) continue;
      moved = true;
      resume(t);
      if (!error.empty()) return false;
    }
    return moved;
  }

  // Runs the threads of a block to their ends: a warp as far as it gets before the next one, or in
  // random order, which may also leave it behind.
  void run_block(Order order, std::mt19937& random) {
    for (Fiber& f : fibers) f.done = false;
    std::vector<unsigned> turn(warps.size());
    std::iota(turn.begin(), turn.end(), 0u);
    if (order == Order::reverse) std::reverse(turn.begin(), turn.end());
    for (bool moved = true; moved;) {
      moved = false;
      if (order == Order::random) std::shuffle(turn.begin(), turn.end(), random);
      for (const unsigned warp : turn)
        while (run_warp(warp, order, random)) {
          moved = true;
          if (order == Order::random && random() % 2 == 0) break;
        }
      if (!error.empty()) return;
    }
    for (const Fiber& f : fibers)
      if (!f.done) return fail("line " + std::to_string(f.line) + ": not all threads get here");
  }
};

Machine machine;

void enter() {
  for (;;) {
    machine.kernel->run(machine.arguments);
    machine.fibers[machine.current].done = true;
    machine.yield();
  }
}

}  // namespace

unsigned current_thread() { return machine.current; }
const Dim3& current_block() { return machine.block_index; }
const Dim3& current_grid() { return machine.grid; }

void synchronize_block(int line) {
  if (line != machine.skipped_line) machine.wait(machine.block, line);
}

std::uint64_t shuffle_bits(unsigned mask, std::uint64_t bits, int lane_mask, int width, int line) {
  const unsigned thread = machine.current, lane = thread % kWarp;
  const unsigned other = lane ^ static_cast<unsigned>(lane_mask);
  const unsigned lanes = static_cast<unsigned>(width);
  const Group& warp = machine.warps[thread / kWarp];
  if (mask != 0xffffffffu)
    machine.fail("line " + std::to_string(line) + ": a shuffle of a part of a warp");
  machine.fibers[thread].shown = bits;
  machine.wait(warp, line);
  const std::uint64_t seen = warp[other / lanes == lane / lanes ? other : lane]->shown;
  machine.wait(warp, -line);
  return seen;
}

// The section's two ends, which the linker knows.
extern "C" char __start_emulated_shared[], __stop_emulated_shared[];

namespace {

void launch(const Kernel& kernel, const Dim3& grid, unsigned threads, void** arguments, Order order,
            unsigned seed, int skipped_line) {
  std::mt19937 random(seed);
  machine.set_threads(threads, enter);
  machine.skipped_line = skipped_line;
  machine.grid = grid;
  machine.kernel = &kernel;
  machine.arguments = arguments;
  std::vector<unsigned> blocks(grid.x * grid.y * grid.z);
  std::iota(blocks.begin(), blocks.end(), 0u);
  if (order == Order::reverse) std::reverse(blocks.begin(), blocks.end());
  if (order == Order::random) std::shuffle(blocks.begin(), blocks.end(), random);
  for (const unsigned b : blocks) {
    machine.block_index = {b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y};
    std::fill(__start_emulated_shared, __stop_emulated_shared, static_cast<char>(0xff));
    machine.run_block(order, random);
    if (!machine.error.empty()) return;
  }
}

const Kernel* find(const char* name) {
  const Kernel* kernel = kernels;
  while (kernel->name != nullptr && std::strcmp(kernel->name, name) != 0) ++kernel;
  return kernel->name == nullptr ? nullptr : kernel;
}

}  // namespace

// Bytes of the arguments of a kernel, then 0; null for an unknown kernel.
extern "C" const std::size_t* emulated_argument_sizes(const char* name) {
  const Kernel* kernel = find(name);
  return kernel == nullptr ? nullptr : kernel->sizes;
}

// Null, or what went wrong. order: 0 forward, 1 reverse, 2 random. Not for two threads at once.
extern "C" const char* emulated_launch(const char* name, const unsigned* grid, unsigned threads,
                                       void** arguments, int order, unsigned seed,
                                       int skipped_line) {
  const Kernel* kernel = find(name);
  if (kernel == nullptr) return "no such kernel";
  launch(*kernel, {grid[0], grid[1], grid[2]}, threads, arguments, static_cast<Order>(order), seed,
         skipped_line);
  return machine.error.empty() ? nullptr : machine.error.c_str();
}

// What -fsanitize=alignment,bounds calls, in place of its run-time library.
extern "C" void __ubsan_handle_type_mismatch_v1(void*, void*) {
  machine.fail("a misaligned access");
}
extern "C" void __ubsan_handle_out_of_bounds(void*, void*) {
  machine.fail("an index outside its array");
}

}  // namespace emulation
