// Enclosures hold against long double (eleven more bits) and, where that is not enough, against
// exact error terms; widths are reported.
#include <cfenv>
#include <random>
#include <stdexcept>

#include "check.hpp"
#include "hopfix/certificate.hpp"
#include "hopfix/interval.hpp"

namespace {

using hopfix::Interval;
using hopfix::kInfinity;
using Wide = long double;

constexpr int kCount = 1000000;

double ulp(double x) { return hopfix::next_up(std::fabs(x)) - std::fabs(x); }

// The number of doubles from lo to hi, less one.
double steps(Interval x) {
  const auto place = [](double value) {
    std::int64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits < 0 ? std::numeric_limits<std::int64_t>::min() - bits : bits;
  };
  return static_cast<double>(place(x.hi) - place(x.lo));
}

// Doubles of every magnitude, subnormal ones and simple ones among them.
double any_double(std::mt19937_64& random) {
  switch (random() % 8) {
    case 0:
      return static_cast<double>(static_cast<int>(random() % 17) - 8);
    case 1:
      return std::ldexp(1.0, static_cast<int>(random() % 2098) - 1074);
    case 2:
      return std::ldexp(static_cast<double>(random() % 4096), -1074);
    default: {
      const std::uint64_t bits = random();
      double x;
      std::memcpy(&x, &bits, sizeof x);
      return std::isfinite(x) ? x : 1.0;
    }
  }
}

struct Report {
  bool holds = true;
  double widest = 0, worst = 0;  // ulp

  void add(double exact_error, double width) {
    worst = std::max(worst, exact_error);
    widest = std::max(widest, width);
  }
};

void test_steps() {
  CHECK(hopfix::next_up(0.0) == 0x1p-1074);
  CHECK(hopfix::next_up(-0.0) == 0x1p-1074);
  CHECK(hopfix::next_up(-0x1p-1074) == 0);
  CHECK(hopfix::next_down(1.0) == 1 - 0x1p-53);
  CHECK(hopfix::next_up(0x1.fffffffffffffp1023) == kInfinity);
  CHECK(hopfix::next_down(kInfinity) == 0x1.fffffffffffffp1023);
  CHECK(hopfix::next_down(-kInfinity) == -kInfinity);
}

// long double holds a + b and a b to 64 bits: a rounding it hides is below 2^-10 ulp, so an
// endpoint within 2^-10 ulp of it says nothing; these are left to the exact cases below.
void test_operations() {
  std::mt19937_64 random(1);
  Report sum, product, quotient, root;
  const auto judge = [](Report& report, Interval result, Wide exact) {
    const Wide slack = std::fabs(exact) * 0x1p-63L;
    report.holds = report.holds && result.lo <= exact + slack && exact - slack <= result.hi;
    report.add(0, steps(result));
  };
  for (int i = 0; i < kCount; ++i) {
    const double a = any_double(random), b = any_double(random);
    judge(sum, Interval(a) + Interval(b), static_cast<Wide>(a) + b);
    judge(product, Interval(a) * Interval(b), static_cast<Wide>(a) * b);
    if (b != 0) judge(quotient, Interval(a) / Interval(b), static_cast<Wide>(a) / b);
    judge(root, sqrt(Interval(std::fabs(a))), std::sqrt(static_cast<Wide>(std::fabs(a))));
  }
  std::printf("widest sum %.0f, product %.0f, quotient %.0f, root %.0f steps\n", sum.widest,
              product.widest, quotient.widest, root.widest);
  CHECK(sum.holds && sum.widest <= 2);
  CHECK(product.holds && product.widest <= 2);
  CHECK(quotient.holds && quotient.widest <= 2);
  CHECK(root.holds && root.widest <= 2);
}

void test_exact_cases() {
  CHECK((Interval(1) + Interval(2)).lo == 3 && (Interval(1) + Interval(2)).hi == 3);
  const Interval tiny = Interval(1) + Interval(0x1p-200);
  CHECK(tiny.lo == 1 && tiny.hi == 1 + 0x1p-52);
  const Interval less = Interval(1) - Interval(0x1p-200);
  CHECK(less.lo == 1 - 0x1p-53 && less.hi == 1);
  const Interval square = Interval(1 + 0x1p-52) * Interval(1 + 0x1p-52);
  CHECK(square.lo == 1 + 0x1p-51 && square.hi == 1 + 3 * 0x1p-52);
  const Interval underflow = Interval(0x1p-600) * Interval(0x1p-600);
  CHECK(underflow.lo <= 0 && underflow.hi == 0x1p-1074);
  const Interval overflow = Interval(0x1p600) * Interval(0x1p600);
  CHECK(overflow.lo == 0x1.fffffffffffffp1023 && overflow.hi == kInfinity);
  const Interval mixed = Interval(-1, 2) * Interval(-3, 5);
  CHECK(mixed.lo == -6 && mixed.hi == 10);
  const Interval line = Interval(0, 1) * Interval(-kInfinity, kInfinity);
  CHECK(line.lo == -kInfinity && line.hi == kInfinity);
  const Interval third = Interval(1) / Interval(3);
  CHECK(third.lo == 1.0 / 3 && third.hi == hopfix::next_up(1.0 / 3));
  CHECK((Interval(1) / Interval(-1, 1)).hi == kInfinity);
  CHECK((Interval(0x1p-1074) / Interval(kInfinity)).hi >= 0x1p-1074);
  CHECK(sqrt(Interval(9)).lo == 3 && sqrt(Interval(9)).hi == 3);
  CHECK(sqrt(Interval(2)).lo < sqrt(Interval(2)).hi);
}

void judge_function(Report& report, Interval result, Wide exact) {
  report.holds = report.holds && result.lo <= exact && exact <= result.hi;
  const auto nearest = static_cast<double>(exact);
  if (!std::isfinite(result.hi) || std::fabs(nearest) < 0x1p-1000) return;
  const double middle = result.lo / 2 + result.hi / 2;
  report.add(static_cast<double>(std::fabs(middle - exact)) / ulp(nearest), steps(result));
}

void test_exp() {
  std::mt19937_64 random(2);
  Report report;
  for (const double reach : {1e-20, 1e-5, 0.02, 1.0, 40.0, 800.0})
    for (int i = 0; i < kCount / 6; ++i) {
      const double x = std::uniform_real_distribution<double>(-reach, reach)(random);
      judge_function(report, exp(Interval(x)), std::exp(static_cast<Wide>(x)));
    }
  // Around every power of the table, where the reduced argument changes its sign and its table row.
  for (int n = -34400; n <= 32760; ++n)
    for (const double half : {0.0, 0.5}) {
      const double centre = (n + half) * 0.021660849392498290;
      for (const double x : {centre, hopfix::next_up(centre), hopfix::next_down(centre)})
        judge_function(report, exp(Interval(x)), std::exp(static_cast<Wide>(x)));
    }
  std::printf("exp: worst error %.3f ulp, widest %.0f steps\n", report.worst, report.widest);
  CHECK(report.holds && report.worst < 1.1 && report.widest <= 2);
  CHECK(exp(Interval(0)).lo == 1 && exp(Interval(0)).hi == 1);
  CHECK(exp(Interval(-kInfinity)).lo == 0 && exp(Interval(-kInfinity)).hi == 0);
  CHECK(exp(Interval(-1e308)).lo == 0 && exp(Interval(-1e308)).hi == 0x1p-1074);
  CHECK(exp(Interval(710)).lo == 0x1.fffffffffffffp1023 && exp(Interval(710)).hi == kInfinity);
  CHECK(exp(Interval(kInfinity)).lo == kInfinity);
}

void test_log() {
  std::mt19937_64 random(3);
  Report report;
  for (int i = 0; i < kCount; ++i) {
    const double x = std::fabs(any_double(random));
    if (x > 0) judge_function(report, log(Interval(x)), std::log(static_cast<Wide>(x)));
    const double near = 1 + std::uniform_real_distribution<double>(-0.3, 0.42)(random);
    judge_function(report, log(Interval(near)), std::log(static_cast<Wide>(near)));
    const double nearer = 1 + std::ldexp(near - 1, -static_cast<int>(random() % 52));
    judge_function(report, log(Interval(nearer)), std::log(static_cast<Wide>(nearer)));
  }
  for (int j = 90; j <= 184; ++j)
    for (const double x : {j / 128.0, hopfix::next_up(j / 128.0), hopfix::next_down(j / 128.0)})
      judge_function(report, log(Interval(x)), std::log(static_cast<Wide>(x)));
  std::printf("log: worst error %.3f ulp, widest %.0f steps\n", report.worst, report.widest);
  CHECK(report.holds && report.worst < 1.1 && report.widest <= 2);
  CHECK(log(Interval(1)).lo == 0 && log(Interval(1)).hi == 0);
  CHECK(log(Interval(0, 1)).lo == -kInfinity);
  CHECK(log(Interval(kInfinity)).hi == kInfinity);
}

bool certificate_is_refused() {
  const double patterns[] = {1, 0, 0, 1};
  const hopfix::Network<double> network(patterns, 2, 2, 1.0, nullptr);
  try {
    hopfix::Certifier(network).certify(patterns, 1, {});
  } catch (const std::runtime_error&) {
    return true;
  }
  return false;
}

void test_self_test() {
  CHECK(!certificate_is_refused());
  CHECK(hopfix::arithmetic_is_sound());
#if defined(__x86_64__)
  for (const int mode : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
    std::fesetround(mode);
    const bool sound = hopfix::arithmetic_is_sound(), refused = certificate_is_refused();
    std::fesetround(FE_TONEAREST);
    CHECK(!sound && refused);
  }
  const unsigned control = __builtin_ia32_stmxcsr();
  for (const unsigned flag : {0x8000u, 0x0040u}) {  // flush to zero, denormals are zero
    __builtin_ia32_ldmxcsr(control | flag);
    const bool sound = hopfix::arithmetic_is_sound(), refused = certificate_is_refused();
    __builtin_ia32_ldmxcsr(control);
    CHECK(!sound && refused);
  }
#endif
}

}  // namespace

int main() {
  test_steps();
  test_operations();
  test_exact_cases();
  test_exp();
  test_log();
  test_self_test();
  return hopfix::test::finish();
}
