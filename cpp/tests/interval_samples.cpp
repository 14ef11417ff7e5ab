// Writes enclosures for check_interval.py: records of five doubles (operation, a, b, lo, hi).
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "hopfix/interval.hpp"

namespace {

using hopfix::Interval;

enum Operation { kSum, kProduct, kQuotient, kRoot, kExp, kLog, kOperations };

// Doubles of every magnitude, subnormal and simple ones among them.
double any_double(std::mt19937_64& random) {
  const std::uint64_t bits = random();
  switch (random() % 6) {
    case 0:
      return static_cast<double>(static_cast<int>(bits % 17) - 8);
    case 1:
      return std::ldexp(1.0, static_cast<int>(bits % 2098) - 1074);
    case 2:
      return std::ldexp(static_cast<double>(bits % 4096), -1074);
    default: {
      double x;
      std::memcpy(&x, &bits, sizeof x);
      return std::isfinite(x) ? x : 1.0;
    }
  }
}

// The other operand: anything, or one that makes the result cancel, or nearly a double.
double partner(double a, std::mt19937_64& random) {
  switch (random() % 4) {
    case 0:
      return -a * (1 + std::ldexp(static_cast<double>(random() % 9) - 4, -52));
    case 1:
      return 1 / a;
    case 2:
      return std::ldexp(a, -static_cast<int>(random() % 120));
    default:
      return any_double(random);
  }
}

double argument_of_exp(std::mt19937_64& random) {
  const double x = std::ldexp(static_cast<double>(random() >> 11), -53);
  switch (random() % 4) {
    case 0:  // where the reduced argument changes its sign and its row of the table
      return (std::floor(65000 * x) - 34000) / 2 * 0.021660849392498290;
    case 1:
      return std::ldexp(x - 0.5, -static_cast<int>(random() % 60));
    default:
      return 1490 * x - 760;
  }
}

double argument_of_log(std::mt19937_64& random) {
  const double x = std::ldexp(static_cast<double>(random() >> 11), -53);
  switch (random() % 3) {
    case 0:
      return 1 + std::ldexp(x - 0.4, -static_cast<int>(random() % 52));
    case 1:  // the centres of the table, and the ends of their ranges
      return (90 + std::floor(95 * x)) / 128 * (1 + std::ldexp(1.0, -52) * std::floor(3 * x));
    default:
      return std::fabs(any_double(random));
  }
}

}  // namespace

int main(int count, char** arguments) {
  const long samples = count > 1 ? std::atol(arguments[1]) : 1000;
  std::mt19937_64 random(20260101);
  for (long i = 0; i < samples; ++i) {
    const auto operation = static_cast<Operation>(i % kOperations);
    double a = any_double(random), b = partner(a, random);
    if (!std::isfinite(b) || (operation == kQuotient && b == 0)) b = 3;
    if (operation == kRoot) a = std::fabs(a);
    if (operation == kExp) a = argument_of_exp(random);
    if (operation == kLog) a = std::max(argument_of_log(random), 0x1p-1074);
    const Interval x(a), y(b);
    const Interval result = operation == kSum        ? x + y
                            : operation == kProduct  ? x * y
                            : operation == kQuotient ? x / y
                            : operation == kRoot     ? sqrt(x)
                            : operation == kExp      ? exp(x)
                                                     : log(x);
    const double record[] = {static_cast<double>(operation), a, b, result.lo, result.hi};
    std::fwrite(record, sizeof(double), 5, stdout);
  }
}
