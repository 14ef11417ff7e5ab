#include "panels.hpp"

#include <cmath>
#include <cstring>

namespace hopfix {

Execution sharing(const Execution& execution, double flops) {
  constexpr double kWorthSharing = 5e5;
  Execution reasonable = execution;
  if (flops < kWorthSharing) reasonable.threads = 1;
  return reasonable;
}

template <class T>
Panels<T> Panels<T>::from_rows(const T* rows, std::ptrdiff_t count, std::ptrdiff_t cols,
                               const Execution& execution, const std::int64_t* chosen) {
  Panels out(count, cols);
  const double work = static_cast<double>(out.size());
  parallel_for(out.panels(), sharing(execution, work), [&](std::ptrdiff_t p, int) {
    const std::ptrdiff_t first = p * out.lanes_;
    const auto bytes = static_cast<std::size_t>(std::min(out.lanes_, cols - first)) * sizeof(T);
    for (std::ptrdiff_t r = 0; r < count; ++r) {
      const std::ptrdiff_t row = chosen == nullptr ? r : chosen[r];
      std::memcpy(out.panel(p) + r * out.lanes_, rows + row * cols + first, bytes);
    }
  });
  return out;
}

template <class T>
void Panels<T>::to_rows(T* rows, const Execution& execution) const {
  const double work = static_cast<double>(size());
  parallel_for(panels(), sharing(execution, work), [&](std::ptrdiff_t p, int) {
    const std::ptrdiff_t first = p * lanes_;
    const auto bytes = static_cast<std::size_t>(std::min(lanes_, cols_ - first)) * sizeof(T);
    for (std::ptrdiff_t r = 0; r < rows_; ++r)
      std::memcpy(rows + r * cols_ + first, panel(p) + r * lanes_, bytes);
  });
}

template <class T>
void Panels<T>::add_to_rows(T* rows, const Execution& execution) const {
  const double work = static_cast<double>(size());
  parallel_for(panels(), sharing(execution, work), [&](std::ptrdiff_t p, int) {
    const std::ptrdiff_t first = p * lanes_, count = std::min(lanes_, cols_ - first);
    for (std::ptrdiff_t r = 0; r < rows_; ++r) {
      T* const to = rows + r * cols_ + first;
      const T* const from = panel(p) + r * lanes_;
      for (std::ptrdiff_t k = 0; k < count; ++k) to[k] += from[k];
    }
  });
}

template <class T>
Panels<T> Panels<T>::transposed(const Execution& execution) const {
  Panels out(cols_, rows_);
  const double work = static_cast<double>(size());
  parallel_for(panels(), sharing(execution, work), [&](std::ptrdiff_t p, int) {
    for (std::ptrdiff_t i = 0; i < row_blocks(); ++i)
      panel_kernels(T()).transpose(block(i, p), out.block(p, i));
  });
  return out;
}

namespace {

// A task takes so many rows of C against one panel of q, and so much depth at a time: what it
// reads over and over, 32 KiB of q and four times that of p, stays in the L2 cache.
constexpr std::ptrdiff_t kTaskRows = 128;
constexpr std::ptrdiff_t kTaskDepth = 256;

template <class T>
double flops_of(const Panels<T>& p, const Panels<T>& q) {
  return 2.0 * static_cast<double>(p.rows()) * static_cast<double>(p.cols()) *
         static_cast<double>(q.cols());
}

// Blocks first <= i < end of panel j of c = factor p^T q.
template <class T>
void multiply_blocks(const Panels<T>& p, const Panels<T>& q, double factor, std::ptrdiff_t first,
                     std::ptrdiff_t end, std::ptrdiff_t j, Panels<T>& c) {
  const std::ptrdiff_t lanes = p.lanes();
  if (first >= end) return;
  std::fill(c.block(first, j), c.block(end, j), T(0));
  for (std::ptrdiff_t k = 0; k < p.rows(); k += kTaskDepth)
    for (std::ptrdiff_t i = first; i < end; ++i)
      panel_kernels(T()).add_product(p.panel(i) + k * lanes, q.panel(j) + k * lanes,
                                     std::min(kTaskDepth, p.rows() - k), static_cast<T>(factor),
                                     c.block(i, j));
}

// task(first, end, j): row blocks first <= i < end of C against panel j.
template <class Task>
void for_tasks(std::ptrdiff_t row_blocks, std::ptrdiff_t panels, std::ptrdiff_t lanes,
               const Execution& execution, const Task& task) {
  const std::ptrdiff_t together = std::max<std::ptrdiff_t>(1, kTaskRows / lanes);
  const std::ptrdiff_t groups = (row_blocks + together - 1) / together;
  parallel_for(groups * panels, execution, [&](std::ptrdiff_t index, int) {
    const std::ptrdiff_t first = index / panels * together;
    task(first, std::min(first + together, row_blocks), index % panels);
  });
}

}  // namespace

template <class T>
void multiply(const Panels<T>& p, const Panels<T>& q, Panels<T>& c, const Execution& execution,
              double factor) {
  for_tasks(p.panels(), q.panels(), p.lanes(), sharing(execution, flops_of(p, q)),
            [&](std::ptrdiff_t first, std::ptrdiff_t end, std::ptrdiff_t j) {
              multiply_blocks(p, q, factor, first, end, j, c);
            });
}

template <class T>
void gram(const Panels<T>& p, Panels<T>& c, const Execution& execution) {
  for_tasks(p.panels(), p.panels(), p.lanes(), sharing(execution, flops_of(p, p) / 2),
            [&](std::ptrdiff_t first, std::ptrdiff_t end, std::ptrdiff_t j) {
              multiply_blocks(p, p, 1, std::max(first, j), end, j, c);
              for (std::ptrdiff_t i = std::max(first, j + 1); i < end; ++i)
                panel_kernels(T()).transpose(c.block(i, j), c.block(j, i));
            });
}

namespace {

constexpr std::ptrdiff_t kChunk = 1 << 14;  // a multiple of every number of lanes

// visit(first, count) for chunks of an array.
template <class Visit>
void for_chunks(std::ptrdiff_t size, const Execution& execution, const Visit& visit) {
  const double work = 2 * static_cast<double>(size);
  parallel_for((size + kChunk - 1) / kChunk, sharing(execution, work),
               [&](std::ptrdiff_t chunk, int) {
                 const std::ptrdiff_t first = chunk * kChunk;
                 visit(first, std::min(kChunk, size - first));
               });
}

}  // namespace

template <class T>
void add_scaled(double a, const Panels<T>& x, Panels<T>& y, const Execution& execution) {
  for_chunks(x.size(), execution, [&](std::ptrdiff_t first, std::ptrdiff_t count) {
    panel_kernels(T()).add_scaled(static_cast<T>(a), x.data() + first, y.data() + first, count);
  });
}

template <class T>
double inner(const Panels<T>& x, const Panels<T>& y, const Execution& execution) {
  std::vector<double> parts(static_cast<std::size_t>((x.size() + kChunk - 1) / kChunk));
  for_chunks(x.size(), execution, [&](std::ptrdiff_t first, std::ptrdiff_t count) {
    parts[static_cast<std::size_t>(first / kChunk)] =
        panel_kernels(T()).dot(x.data() + first, y.data() + first, count);
  });
  double sum = 0;
  for (const double part : parts) sum += part;
  return sum;
}

#define HOPFIX_INSTANTIATE(T)                                                              \
  template class Panels<T>;                                                                \
  template void multiply(const Panels<T>&, const Panels<T>&, Panels<T>&, const Execution&, \
                         double);                                                          \
  template void gram(const Panels<T>&, Panels<T>&, const Execution&);                      \
  template void add_scaled(double, const Panels<T>&, Panels<T>&, const Execution&);        \
  template double inner(const Panels<T>&, const Panels<T>&, const Execution&);
HOPFIX_INSTANTIATE(float)
HOPFIX_INSTANTIATE(double)
#undef HOPFIX_INSTANTIATE

}  // namespace hopfix
