// Accuracy of the kernels' exp and tanh at every level that runs here, in ulp of the exact value.
//
// float: every fifth number of [-104, 0], or every one with the argument --all (the figure in
// kernels/exp.hpp). double: a million random numbers of each of several ranges.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "check.hpp"
#include "hopfix/isa.hpp"
#include "kernels/table.hpp"

namespace {

using hopfix::kernels::Table;

// |computed - exact| in units of the spacing of T at exact (the subnormal spacing below the
// smallest normal number).
template <class T, class Wide>
double ulps(T computed, Wide exact) {
  int exponent = 0;
  std::frexp(exact, &exponent);
  constexpr int digits = std::numeric_limits<T>::digits;
  const int spacing = std::max(exponent - digits, std::numeric_limits<T>::min_exponent - digits);
  return static_cast<double>(std::fabs(static_cast<Wide>(computed) - exact) /
                             std::ldexp(Wide(1), spacing));
}

float from_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

double worst_float(const Table& table, std::uint32_t stride) {
  constexpr std::uint32_t first = 0x80000000u, last = 0xC2D00000u;  // -0 to -104
  std::vector<float> x, y;
  double worst = 0;
  for (std::uint64_t bits = first; bits <= last; bits += stride) {
    x.push_back(from_bits(static_cast<std::uint32_t>(bits)));
    if (x.size() < 65536 && bits + stride <= last) continue;
    y.resize(x.size());
    table.exp32(x.data(), y.data(), static_cast<std::ptrdiff_t>(x.size()));
    for (std::size_t i = 0; i < x.size(); ++i)
      worst = std::max(worst, ulps(y[i], std::exp(static_cast<double>(x[i]))));
    x.clear();
  }
  return worst;
}

double worst_double(const Table& table, double lowest) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> uniform(lowest, 0.0);
  std::vector<double> x(1000003), y(x.size());
  for (double& value : x) value = uniform(random);
  table.exp64(x.data(), y.data(), static_cast<std::ptrdiff_t>(x.size()));
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    worst = std::max(worst, ulps(y[i], std::exp(static_cast<long double>(x[i]))));
  return worst;
}

// Of either sign and any size.
template <class T>
double worst_tanh(hopfix::kernels::ExpFunction<T> tanh) {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> exponent(-60.0, 6.0);
  std::vector<T> x(2000003), y(x.size());
  for (T& value : x)
    value = static_cast<T>(std::exp2(exponent(random)) * ((random() & 1) != 0 ? 1.0 : -1.0));
  tanh(x.data(), y.data(), static_cast<std::ptrdiff_t>(x.size()));
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    worst = std::max(worst, ulps(y[i], std::tanh(static_cast<long double>(x[i]))));
    CHECK(std::fabs(y[i]) <= 1);
  }
  const T in[] = {T(0), T(-800), std::numeric_limits<T>::infinity(),
                  std::numeric_limits<T>::quiet_NaN()};
  T out[4];
  tanh(in, out, 4);
  CHECK(out[0] == 0 && out[1] == -1 && out[2] == 1 && std::isnan(out[3]));
  return worst;
}

template <class T>
void check_special(hopfix::kernels::ExpFunction<T> exp) {
  const T infinity = std::numeric_limits<T>::infinity();
  const T in[] = {T(0), -T(0), -infinity, std::numeric_limits<T>::quiet_NaN(), T(-2000)};
  T out[5];
  exp(in, out, 5);
  CHECK(out[0] == 1 && out[1] == 1 && out[2] == 0 && std::isnan(out[3]) && out[4] == 0);
}

}  // namespace

int main(int argc, char** argv) {
  const bool all = argc > 1 && std::string(argv[1]) == "--all";
  for (const std::string& level : hopfix::isa::supported()) {
    hopfix::isa::select(level);
    const Table& table = hopfix::isa::table();
    check_special(table.exp32);
    check_special(table.exp64);
    const double single = worst_float(table, all ? 1 : 5);
    double twice = 0;
    for (const double lowest : {-1e-3, -0.5, -20.0, -745.0})
      twice = std::max(twice, worst_double(table, lowest));
    std::printf("%s: exp within %.3f ulp (float), %.3f ulp (double)\n", level.c_str(), single,
                twice);
    const double tangents[] = {worst_tanh(table.tanh32), worst_tanh(table.tanh64)};
    std::printf("%s: tanh within %.3f ulp (float), %.3f ulp (double)\n", level.c_str(), tangents[0],
                tangents[1]);
    CHECK(tangents[0] <= 4 && tangents[1] <= 4);
    CHECK(single <= 1.5);
    CHECK(twice <= 1.5);
  }
  return hopfix::test::finish();
}
