#include "hopfix/separation.hpp"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <vector>

#include "hopfix/isa.hpp"
#include "hopfix/network.hpp"
#include "kernels/table.hpp"

namespace hopfix {

namespace {

using kernels::RowFault;
using kernels::RowResult;
using kernels::SeparationKernels;
using Kind = Separation::Kind;

const SeparationKernels<float>& kernels_for(float) { return isa::table().separation->f32; }
const SeparationKernels<double>& kernels_for(double) { return isa::table().separation->f64; }

template <class T>
RowFault solve_row(const Separation& separation, const T* z, std::ptrdiff_t n,
                   const RowResult<T>& result, double* scratch) {
  const SeparationKernels<T>& kernels = kernels_for(T());
  switch (separation.kind) {
    case Kind::entmax:
      if (separation.alpha == 1) break;
      return kernels.entmax(z, n, separation.alpha, result, scratch);
    case Kind::topk:
      return kernels.topk(z, n, separation.count, result, scratch);
    case Kind::polynomial:
      return kernels.polynomial(z, n, separation.count, separation.rectified, result, scratch);
    case Kind::softmax:
      break;
  }
  return kernels.softmax(z, n, result);
}

SeparationFault public_fault(RowFault fault) {
  switch (fault) {
    case RowFault::not_finite:
      return SeparationFault::not_finite;
    case RowFault::all_minus_infinity:
      return SeparationFault::all_minus_infinity;
    case RowFault::all_zero:
      return SeparationFault::all_zero;
    case RowFault::none:
      break;
  }
  return SeparationFault::none;
}

// The first of the rows that failed, whichever thread saw which first.
class FirstFault {
 public:
  void record(RowFault fault, std::ptrdiff_t row) {
    if (fault == RowFault::none) return;
    const std::ptrdiff_t code = row * kKinds + static_cast<std::ptrdiff_t>(fault);
    std::ptrdiff_t first = code_;
    while ((first < 0 || code < first) && !code_.compare_exchange_weak(first, code)) {
    }
  }

  SeparationStatus status() const {
    if (code_ < 0) return {};
    return {public_fault(static_cast<RowFault>(code_ % kKinds)), code_ / kKinds};
  }

 private:
  static constexpr std::ptrdiff_t kKinds = 4;
  std::atomic<std::ptrdiff_t> code_{-1};
};

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
  const SeparationKernels<T>& kernels = kernels_for(T());
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
