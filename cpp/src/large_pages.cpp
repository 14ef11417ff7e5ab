#include "hopfix/large_pages.hpp"

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace hopfix {

namespace {

constexpr std::size_t kLargePage = std::size_t{1} << 21;

// Below two large pages, the part that lies in whole ones is not worth the alignment.
std::align_val_t alignment(std::size_t bytes) {
  return std::align_val_t(bytes < 2 * kLargePage ? 64 : kLargePage);
}

}  // namespace

void* allocate_pages(std::size_t bytes) {
  void* memory = ::operator new(bytes, alignment(bytes));
#ifdef __linux__
  // Only a wish: where the kernel does not grant it, everything works, slower.
  if (bytes >= 2 * kLargePage) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return memory;
}

void free_pages(void* memory, std::size_t bytes) noexcept {
  ::operator delete(memory, alignment(bytes));
}

}  // namespace hopfix
