#include "hopfix/row_norm.hpp"

#include <algorithm>

#include "association_tiles.hpp"

namespace hopfix {

template <class T>
void normalize_rows(const T* x, std::ptrdiff_t rows, std::ptrdiff_t dim, double eps, T* y, T* means,
                    T* inverses, const Execution& execution) {
  constexpr std::ptrdiff_t kNumbers = 1 << 14, kWorthSharing = 1 << 17;
  Execution reasonable = execution;
  if (rows * dim < kWorthSharing) reasonable.threads = 1;
  const std::ptrdiff_t block = std::max<std::ptrdiff_t>(1, kNumbers / dim);
  parallel_for(divide_up(rows, block), reasonable, [&](std::ptrdiff_t b, int) {
    const std::ptrdiff_t first = b * block;
    association_kernels(T())->normalize(x + first * dim, std::min(block, rows - first), dim,
                                        static_cast<T>(eps), y + first * dim, means + first,
                                        inverses + first);
  });
}

template void normalize_rows(const float*, std::ptrdiff_t, std::ptrdiff_t, double, float*, float*,
                             float*, const Execution&);
template void normalize_rows(const double*, std::ptrdiff_t, std::ptrdiff_t, double, double*,
                             double*, double*, const Execution&);

}  // namespace hopfix
