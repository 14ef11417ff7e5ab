// One row through a separation function, and the first of many rows that has no answer.
#pragma once

#include <atomic>

#include "hopfix/isa.hpp"
#include "hopfix/separation.hpp"
#include "kernels/table.hpp"

namespace hopfix {

using kernels::RowFault;
using kernels::RowResult;
using kernels::SeparationKernels;

inline const SeparationKernels<float>& separation_kernels(float) {
  return isa::table().separation->f32;
}
inline const SeparationKernels<double>& separation_kernels(double) {
  return isa::table().separation->f64;
}

// `scratch` holds 2 (n + kRowSlack) numbers.
template <class T>
RowFault solve_row(const Separation& separation, const T* z, std::ptrdiff_t n,
                   const RowResult<T>& result, double* scratch) {
  const SeparationKernels<T>& kernels = separation_kernels(T());
  switch (separation.kind) {
    case Separation::Kind::entmax:
      if (separation.alpha == 1) break;
      return kernels.entmax(z, n, separation.alpha, result, scratch);
    case Separation::Kind::topk:
      return kernels.topk(z, n, separation.count, result, scratch);
    case Separation::Kind::polynomial:
      return kernels.polynomial(z, n, separation.count, separation.rectified, result, scratch);
    case Separation::Kind::softmax:
      break;
  }
  return kernels.softmax(z, n, result);
}

inline SeparationFault public_fault(RowFault fault) {
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

}  // namespace hopfix
