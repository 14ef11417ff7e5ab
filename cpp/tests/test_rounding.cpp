// Bounds hold: against long double, which carries eleven more bits here.
#include <algorithm>
#include <random>
#include <vector>

#include "check.hpp"
#include "hopfix/rounding.hpp"

namespace {

using hopfix::UpperBound;

void test_exp() {
  std::mt19937_64 random(2);
  double worst = 0;
  for (const double lowest : {-1e-9, -0.4, -1.1, -30.0, -700.0}) {
    std::uniform_real_distribution<double> uniform(lowest, 0.0);
    for (int i = 0; i < 400000; ++i) {
      const double x = uniform(random);
      const long double exact = std::exp(static_cast<long double>(x));
      const long double computed = hopfix::exp_nonpositive(x);
      worst = std::max(worst, static_cast<double>(std::fabs(computed - exact) / exact));
    }
  }
  std::printf("exp_nonpositive: worst relative error %.2f u of 16 u allowed\n",
              worst / hopfix::kUnitRoundoff);
  CHECK(worst <= hopfix::kExpError);
  CHECK(hopfix::exp_nonpositive(0.0) == 1.0);
}

void test_upper_bounds() {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> exponent(-300, 150), mantissa(1, 2);
  const auto number = [&] {
    return std::ldexp(mantissa(random), static_cast<int>(exponent(random)));
  };
  bool holds = true;
  for (int i = 0; i < 200000; ++i) {
    const double a = number(), b = number();
    const long double wide_a = a, wide_b = b;
    holds = holds && (UpperBound(a) + UpperBound(b)).value() >= wide_a + wide_b;
    holds = holds && (UpperBound(a) * UpperBound(b)).value() >= wide_a * wide_b;
    holds = holds && (UpperBound(a) / b).value() >= wide_a / wide_b;
    holds = holds && sqrt(UpperBound(a)).value() >= std::sqrt(wide_a);
    holds = holds && hopfix::lower_bound(a * b) <= wide_a * wide_b;
  }
  CHECK(holds);
  CHECK(hopfix::lower_bound(0.0) == 0.0);
  CHECK(!(hopfix::gamma_bound(std::ptrdiff_t{1} << 53).value() < 1e300));
}

void test_norm() {
  std::mt19937_64 random(4);
  std::normal_distribution<double> normal;
  bool holds = true;
  for (int count = 1; count < 400; ++count) {
    std::vector<double> x(static_cast<std::size_t>(count));
    long double square = 0;
    for (double& value : x) {
      value = normal(random);
      square += static_cast<long double>(value) * value;
    }
    holds = holds && hopfix::norm_bound(x.data(), count).value() >= std::sqrt(square);
  }
  CHECK(holds);
}

}  // namespace

int main() {
  test_exp();
  test_upper_bounds();
  test_norm();
  return hopfix::test::finish();
}
