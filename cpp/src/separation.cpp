#include "hopfix/separation.hpp"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "hopfix/network.hpp"
#include "separation_row.hpp"

namespace hopfix {

namespace {

using Kind = Separation::Kind;

// What one thread needs beside its rows; an array that a task has no use for stays empty.
template <class T>
struct Workspace {
  AlignedArray<double> scratch, slopes;
  AlignedArray<T> probabilities;
};

// work(row, workspace) -> RowFault for every row, in parallel, a few thousand numbers at a time.
template <class T, class Work>
SeparationStatus for_rows(std::ptrdiff_t rows, std::ptrdiff_t n, const Execution& execution,
                          const Work& work) {
  constexpr std::ptrdiff_t kBlock = 4096;
  constexpr double kWorthSharing = 5e4;  // numbers; two threads save time from about here on
  Execution reasonable = execution;
  if (static_cast<double>(rows) * static_cast<double>(n) < kWorthSharing) reasonable.threads = 1;
  const std::ptrdiff_t together = std::max<std::ptrdiff_t>(1, kBlock / n);
  std::vector<Workspace<T>> workspaces(static_cast<std::size_t>(std::max(1, reasonable.threads)));
  FirstFault first;
  parallel_for((rows + together - 1) / together, reasonable, [&](std::ptrdiff_t b, int worker) {
    Workspace<T>& w = workspaces[static_cast<std::size_t>(worker)];
    w.scratch.reserve(2 * (n + kernels::kRowSlack));
    for (std::ptrdiff_t r = b * together; r < std::min(rows, (b + 1) * together); ++r)
      first.record(work(r, w), r);
  });
  return first.status();
}

}  // namespace

template <class T>
SeparationStatus separate(const Separation& separation, const T* z, std::ptrdiff_t rows,
                          std::ptrdiff_t n, T* p, const Execution& execution) {
  return for_rows<T>(rows, n, execution, [&](std::ptrdiff_t r, Workspace<T>& w) {
    return solve_row<T>(separation, z + r * n, n, {p + r * n, nullptr, nullptr}, w.scratch.data());
  });
}

template <class T>
SeparationStatus separation_conjugate(const Separation& separation, const T* z, std::ptrdiff_t rows,
                                      std::ptrdiff_t n, T* out, const Execution& execution) {
  if (separation.kind == Kind::polynomial)
    throw std::invalid_argument(
        "polynomial: has no conjugate, since its Jacobian is not symmetric");
  return for_rows<T>(rows, n, execution, [&](std::ptrdiff_t r, Workspace<T>& w) {
    w.probabilities.reserve(n);
    return solve_row<T>(separation, z + r * n, n, {w.probabilities.data(), nullptr, out + r},
                        w.scratch.data());
  });
}

template <class T>
SeparationStatus separation_jvp(const Separation& separation, const T* z, const T* t,
                                std::ptrdiff_t rows, std::ptrdiff_t n, T* out,
                                const Execution& execution) {
  const SeparationKernels<T>& kernels = separation_kernels(T());
  return for_rows<T>(rows, n, execution, [&](std::ptrdiff_t r, Workspace<T>& w) {
    w.probabilities.reserve(n);
    w.slopes.reserve(n + kernels::kRowSlack);
    const RowResult<T> result{w.probabilities.data(), w.slopes.data(), nullptr};
    const RowFault fault = solve_row<T>(separation, z + r * n, n, result, w.scratch.data());
    if (fault != RowFault::none) return fault;
    if (separation.kind == Kind::polynomial)
      kernels.polynomial_jvp(result.slopes, result.probabilities, t + r * n, n, out + r * n);
    else
      kernels.symmetric_jvp(result.slopes, t + r * n, n, out + r * n);
    return RowFault::none;
  });
}

#define HOPFIX_INSTANTIATE(T)                                                                     \
  template SeparationStatus separate(const Separation&, const T*, std::ptrdiff_t, std::ptrdiff_t, \
                                     T*, const Execution&);                                       \
  template SeparationStatus separation_conjugate(const Separation&, const T*, std::ptrdiff_t,     \
                                                 std::ptrdiff_t, T*, const Execution&);           \
  template SeparationStatus separation_jvp(const Separation&, const T*, const T*, std::ptrdiff_t, \
                                           std::ptrdiff_t, T*, const Execution&);
HOPFIX_INSTANTIATE(float)
HOPFIX_INSTANTIATE(double)
#undef HOPFIX_INSTANTIATE

}  // namespace hopfix
