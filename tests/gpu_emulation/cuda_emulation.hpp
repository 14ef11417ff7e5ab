// Enough of CUDA to run a kernel's source, unchanged, on the CPU as C++17.
//
// The threads of a block are fibers of one operating-system thread: each runs until it waits at a
// barrier (__syncthreads, or one of the two inside a shuffle), then another does, in an order that
// the launch chooses: a kernel whose result depends on it has a race. Shared memory is filled with
// NaN before every block. What would be undefined on a device ends the launch with an error: a
// barrier that not all threads reach, a shuffle by a part of a warp, and, compiled with
// -fsanitize=alignment,bounds, a misaligned vector or an index outside its array.
#pragma once

#include <math.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace emulation {

struct Dim3 {
  unsigned x, y, z;
};

unsigned current_thread();
const Dim3& current_block();
const Dim3& current_grid();
void synchronize_block(int line);

// What the thread of the warp at lane ^ lane_mask shows, if that is in the same `width` lanes.
std::uint64_t shuffle_bits(unsigned mask, std::uint64_t bits, int lane_mask, int width, int line);

template <class T>
T shuffle_xor(unsigned mask, T value, int lane_mask, int width, int line) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t), "one register or two");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = shuffle_bits(mask, bits, lane_mask, width, line);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// threadIdx of whichever thread asks.
struct ThreadIndex {
  struct {
    operator unsigned() const { return current_thread(); }
  } x;
};

// A kernel by name, its arguments untyped as in cuLaunchKernel.
struct Kernel {
  const char* name;
  const std::size_t* sizes;  // of the arguments, then 0
  void (*run)(void** arguments);
};

template <auto kernel>
struct Untyped;

template <class... A, void (*kernel)(A...)>
struct Untyped<kernel> {
  static constexpr std::size_t sizes[] = {sizeof(A)..., 0};

  template <std::size_t... I>
  static void call(void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<A*>(arguments[I])...);
  }
  static void run(void** arguments) { call(arguments, std::index_sequence_for<A...>()); }
};

}  // namespace emulation

#define __device__
#define __global__
#define __launch_bounds__(...)
// Shared variables of kernels that are no templates lie together, in a section of their own.
#define __shared__ static __attribute__((section("emulated_shared")))
#define __syncthreads() emulation::synchronize_block(__LINE__)
#define __shfl_xor_sync(mask, value, lane_mask, width) \
  emulation::shuffle_xor(mask, value, lane_mask, width, __LINE__)
#define blockIdx emulation::current_block()
#define gridDim emulation::current_grid()

static constexpr emulation::ThreadIndex threadIdx{};

inline float __int_as_float(int bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
