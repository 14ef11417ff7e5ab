#include "hopfix/large_pages.hpp"

#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace hopfix {

#ifdef __linux__

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kLargePage = std::size_t{1} << 21;
// From here on memory comes from the system and goes back to it: the allocator would keep what is
// freed, and arrays of many sizes one after the other would take far more than those alive.
constexpr std::size_t kMapped = std::size_t{1} << 18;
// Below two large pages, the part that lies in whole ones is not worth the alignment.
constexpr std::size_t kLarge = 2 * kLargePage;

constexpr std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

char* map(std::size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<char*>(memory);
}

// Mapped with one large page to spare, of which the two ends go back.
char* map_large(std::size_t bytes) {
  char* memory = map(bytes + kLargePage);
  const std::size_t before = round_up(reinterpret_cast<std::uintptr_t>(memory), kLargePage) -
                             reinterpret_cast<std::uintptr_t>(memory);
  if (before > 0) munmap(memory, before);
  if (before < kLargePage) munmap(memory + before + bytes, kLargePage - before);
  // Only a wish: where the kernel does not grant it, everything works, slower.
  madvise(memory + before, bytes, MADV_HUGEPAGE);
  return memory + before;
}

}  // namespace

void* allocate_pages(std::size_t bytes) {
  if (bytes < kMapped) return ::operator new(bytes, std::align_val_t(64));
  if (bytes > static_cast<std::size_t>(-1) - 2 * kLargePage) throw std::bad_alloc();
  const std::size_t whole = round_up(bytes, kPage);
  return whole < kLarge ? map(whole) : map_large(whole);
}

void free_pages(void* memory, std::size_t bytes) noexcept {
  if (bytes < kMapped) {
    ::operator delete(memory, std::align_val_t(64));
  } else {
    munmap(memory, round_up(bytes, kPage));
  }
}

#else

void* allocate_pages(std::size_t bytes) { return ::operator new(bytes, std::align_val_t(64)); }

void free_pages(void* memory, std::size_t) noexcept {
  ::operator delete(memory, std::align_val_t(64));
}

#endif

}  // namespace hopfix
