// Matrices in panels (see kernels/panel_table.hpp) and their products, in parallel.
//
// Each element of a product is summed over the depth in one order, fixed by the depth alone: the
// same bits for every number of threads, and for a row by itself or among others.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "hopfix/isa.hpp"
#include "hopfix/large_pages.hpp"
#include "hopfix/parallel.hpp"
#include "kernels/table.hpp"

namespace hopfix {

inline const kernels::PanelKernels<float>& panel_kernels(float) { return isa::table().panels->f32; }
inline const kernels::PanelKernels<double>& panel_kernels(double) {
  return isa::table().panels->f64;
}

template <class T>
class Panels {
 public:
  Panels() = default;
  // Zeros.
  Panels(std::ptrdiff_t rows, std::ptrdiff_t cols)
      : rows_(rows),
        cols_(cols),
        lanes_(panel_kernels(T()).lanes),
        values_(static_cast<std::size_t>(padded(rows) * padded(cols))) {}

  // Row r of the matrix at rows + (chosen ? chosen[r] : r) * cols.
  static Panels from_rows(const T* rows, std::ptrdiff_t count, std::ptrdiff_t cols,
                          const Execution& execution, const std::int64_t* chosen = nullptr);
  void to_rows(T* rows, const Execution& execution) const;
  // rows += the matrix.
  void add_to_rows(T* rows, const Execution& execution) const;
  Panels transposed(const Execution& execution) const;

  std::ptrdiff_t rows() const { return rows_; }
  std::ptrdiff_t cols() const { return cols_; }
  std::ptrdiff_t lanes() const { return lanes_; }
  std::ptrdiff_t row_blocks() const { return padded(rows_) / lanes_; }
  std::ptrdiff_t panels() const { return padded(cols_) / lanes_; }
  std::ptrdiff_t size() const { return static_cast<std::ptrdiff_t>(values_.size()); }

  T* data() { return values_.data(); }
  const T* data() const { return values_.data(); }
  T* panel(std::ptrdiff_t p) { return data() + p * padded(rows_) * lanes_; }
  const T* panel(std::ptrdiff_t p) const { return data() + p * padded(rows_) * lanes_; }
  T* block(std::ptrdiff_t row_block, std::ptrdiff_t p) {
    return panel(p) + row_block * lanes_ * lanes_;
  }
  const T* block(std::ptrdiff_t row_block, std::ptrdiff_t p) const {
    return panel(p) + row_block * lanes_ * lanes_;
  }
  T& at(std::ptrdiff_t r, std::ptrdiff_t c) { return panel(c / lanes_)[r * lanes_ + c % lanes_]; }
  T at(std::ptrdiff_t r, std::ptrdiff_t c) const {
    return panel(c / lanes_)[r * lanes_ + c % lanes_];
  }

 private:
  std::ptrdiff_t padded(std::ptrdiff_t n) const { return (n + lanes_ - 1) / lanes_ * lanes_; }

  std::ptrdiff_t rows_ = 0, cols_ = 0, lanes_ = 1;
  std::vector<T, PageAllocator<T>> values_;
};

// c = factor p^T q, for p (k x m), q (k x n) and c (m x n): 2 k m n flops.
template <class T>
void multiply(const Panels<T>& p, const Panels<T>& q, Panels<T>& c, const Execution& execution,
              double factor = 1);

// c = p^T p, exactly symmetric, at half the cost.
template <class T>
void gram(const Panels<T>& p, Panels<T>& c, const Execution& execution);

// y += a x.
template <class T>
void add_scaled(double a, const Panels<T>& x, Panels<T>& y, const Execution& execution);

// The sum of x_ij y_ij in double precision.
template <class T>
double inner(const Panels<T>& x, const Panels<T>& y, const Execution& execution);

// `execution` with one thread where there is too little work to share.
Execution sharing(const Execution& execution, double flops);

}  // namespace hopfix
