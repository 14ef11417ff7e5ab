#include "hopfix/checks.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>

namespace hopfix {

namespace {

using std::ptrdiff_t;

template <class Value>
[[noreturn]] void refuse(const std::string& name, const Value& got, const std::string& need) {
  std::ostringstream text;
  text.precision(17);
  text << name << ": got " << got << ", need " << need;
  throw std::invalid_argument(text.str());
}

// rows x columns finite numbers, at least one.
template <class T>
void check_rows(const std::string& name, const T* x, ptrdiff_t rows, ptrdiff_t columns) {
  const std::string shape = std::to_string(rows) + " x " + std::to_string(columns);
  if (rows < 1 || columns < 1) refuse(name, shape, "at least 1 x 1");
  if (rows > PTRDIFF_MAX / static_cast<ptrdiff_t>(sizeof(T)) / columns)
    refuse(name, shape, "a number that fits into memory");
  if (x == nullptr) refuse(name, "a null pointer", shape + " numbers");
  const ptrdiff_t first = first_not_finite(x, rows * columns);
  if (first >= 0)
    refuse(name,
           std::to_string(x[first]) + " in row " + std::to_string(first / columns) + ", column " +
               std::to_string(first % columns),
           "finite numbers");
}

}  // namespace

template <class T>
ptrdiff_t first_not_finite(const T* x, ptrdiff_t count) {
  // x * 0 is zero for finite x and NaN otherwise; several sums, so that they run in vectors.
  constexpr ptrdiff_t kBlock = 4096, kParts = 8;
  for (ptrdiff_t first = 0; first < count; first += kBlock) {
    const ptrdiff_t end = std::min(count, first + kBlock);
    T part[kParts] = {}, sum = 0;
    ptrdiff_t i = first;
    for (; i + kParts <= end; i += kParts)
      for (ptrdiff_t j = 0; j < kParts; ++j) part[j] += x[i + j] * T(0);
    for (; i < end; ++i) sum += x[i] * T(0);
    for (const T each : part) sum += each;
    if (sum == 0) continue;
    for (i = first; i < end; ++i)
      if (!std::isfinite(x[i])) return i;
  }
  return -1;
}

template <class T>
void check_states(const char* name, const T* states, ptrdiff_t count, ptrdiff_t dim) {
  check_rows(name, states, count, dim);
}

template <class T>
Network<T> checked_network(const T* patterns, ptrdiff_t n, ptrdiff_t dim, double beta,
                           const T* log_weights) {
  check_rows("patterns", patterns, n, dim);
  if (!(std::isfinite(beta) && beta > 0)) refuse("beta", beta, "a finite number > 0");
  if (log_weights != nullptr) check_rows("log_weights", log_weights, 1, n);
  return Network<T>(patterns, n, dim, beta, log_weights);
}

template ptrdiff_t first_not_finite(const float*, ptrdiff_t);
template ptrdiff_t first_not_finite(const double*, ptrdiff_t);
template void check_states(const char*, const float*, ptrdiff_t, ptrdiff_t);
template void check_states(const char*, const double*, ptrdiff_t, ptrdiff_t);
template Network<float> checked_network(const float*, ptrdiff_t, ptrdiff_t, double, const float*);
template Network<double> checked_network(const double*, ptrdiff_t, ptrdiff_t, double,
                                         const double*);

}  // namespace hopfix
