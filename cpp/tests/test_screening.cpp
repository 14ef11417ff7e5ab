// Logits in 16-bit fixed point stay within their error bounds, in every shape and at every level
// that this CPU runs; lists hold every pattern that they must.
#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "check.hpp"
#include "hopfix/isa.hpp"
#include "screening.hpp"

namespace {

using std::ptrdiff_t;

template <class T>
struct Problem {
  ptrdiff_t n, dim, count;
  double beta;
  std::vector<T> patterns, log_weights, states;

  // Sizes spread over many orders of magnitude, a zero state and a zero pattern among them.
  Problem(ptrdiff_t size, ptrdiff_t d, double inverse_temperature, double spread, unsigned seed)
      : n(size), dim(d), count(37), beta(inverse_temperature) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    for (ptrdiff_t i = 0; i < n; ++i) {
      const double scale = std::pow(10, spread * normal(random));
      for (ptrdiff_t k = 0; k < dim; ++k)
        patterns.push_back(static_cast<T>(i == 1 ? 0 : scale * normal(random)));
      log_weights.push_back(static_cast<T>(10 * spread * normal(random)));
    }
    for (ptrdiff_t b = 0; b < count; ++b) {
      const double scale = b == 2 ? 0 : std::pow(10, 3 * spread * normal(random));
      for (ptrdiff_t k = 0; k < dim; ++k) states.push_back(static_cast<T>(scale * normal(random)));
    }
  }

  long double logit(ptrdiff_t i, ptrdiff_t b) const {
    long double sum = 0;
    for (ptrdiff_t k = 0; k < dim; ++k)
      sum += static_cast<long double>(patterns[static_cast<std::size_t>(i * dim + k)]) *
             static_cast<long double>(states[static_cast<std::size_t>(b * dim + k)]);
    return beta * sum + static_cast<long double>(log_weights[static_cast<std::size_t>(i)]);
  }
};

// The largest ratio of error to bound among the maxima of all groups.
template <class T>
double worst_error(const Problem<T>& p) {
  const hopfix::Network<T> network(p.patterns.data(), p.n, p.dim, p.beta, p.log_weights.data());
  const hopfix::QuantizedPatterns& quantized = network.quantized();
  const ptrdiff_t groups = hopfix::divide_up(p.n, hopfix::kernels::kScreenRows);
  double worst = 0;
  for (int shape = 0; shape < hopfix::kernels::kTileShapes; ++shape) {
    const auto& kernels = hopfix::isa::table().screen[shape];
    const ptrdiff_t lanes = std::min<ptrdiff_t>(kernels.lanes, p.count),
                    stride = quantized.stride();
    std::vector<std::int16_t> rows(static_cast<std::size_t>(lanes * stride)),
        tile(static_cast<std::size_t>(kernels.lanes * stride));
    std::vector<float> scale(static_cast<std::size_t>(kernels.lanes)),
        error = scale, maxima(static_cast<std::size_t>(groups * kernels.lanes));
    for (ptrdiff_t b = 0; b < lanes; ++b) {
      const auto scaling =
          quantized.quantize(p.states.data() + b * p.dim, rows.data() + b * stride);
      scale[static_cast<std::size_t>(b)] = scaling.scale;
      error[static_cast<std::size_t>(b)] = scaling.error;
    }
    kernels.pack(rows.data(), lanes, stride, tile.data());
    kernels.group_maxima(quantized.block(0, p.n), tile.data(), scale.data(), maxima.data());
    for (ptrdiff_t g = 0; g < groups; ++g)
      for (ptrdiff_t b = 0; b < lanes; ++b) {
        long double largest = p.logit(g * hopfix::kernels::kScreenRows, b);
        for (ptrdiff_t i = g * hopfix::kernels::kScreenRows;
             i < std::min(p.n, (g + 1) * hopfix::kernels::kScreenRows); ++i)
          largest = std::max(largest, p.logit(i, b));
        const long double off = maxima[static_cast<std::size_t>(g * kernels.lanes + b)] - largest;
        const double bound = static_cast<double>(error[static_cast<std::size_t>(b)]);
        worst = std::max(worst, static_cast<double>(std::fabs(off)) / bound);
      }
  }
  return worst;
}

template <class T>
void test_error_bounds() {
  double worst = 0;
  unsigned seed = 0;
  for (const ptrdiff_t dim : {1, 2, 7, 64, 301})
    for (const double beta : {1e-3, 1.0, 1e4})
      for (const double spread : {0.0, 0.3, 2.0})
        worst = std::max(worst, worst_error(Problem<T>(203, dim, beta, spread, ++seed)));
  std::printf("16-bit logits: worst error %.2f of the bound\n", worst);
  CHECK(worst <= 1);
  CHECK(worst > 0.01);  // a bound that says something
}

// Lists are complete whether all groups of the wide margin are wanted or none, and what is beyond
// the narrow one weighs no more than they say.
template <class T>
void test_lists() {
  bool complete = true, bounded = true;
  std::size_t listed = 0, all = 0, tight = 0;
  for (const double beta : {1.0, 30.0, 1e5}) {
    const Problem<T> p(700, 24, beta, 0.1, 7);
    const hopfix::Network<T> network(p.patterns.data(), p.n, p.dim, beta, p.log_weights.data());
    constexpr double kWide = 20, kNarrow = 5;
    for (const int threads : {1, 3})
      for (const ptrdiff_t longest : {1000, -1}) {
        hopfix::Screening screening(network.quantized(), kWide, kNarrow, longest, {threads, {}});
        std::vector<hopfix::Shortlist> lists(static_cast<std::size_t>(p.count));
        screening.run(p.states.data(), p.count,
                      [&](ptrdiff_t b, const hopfix::Shortlist& list, int) {
                        lists[static_cast<std::size_t>(b)] = list;
                      });
        for (ptrdiff_t b = 0; b < p.count; ++b) {
          const hopfix::Shortlist& list = lists[static_cast<std::size_t>(b)];
          const auto is_in = [&](ptrdiff_t i) {
            return std::find(list.groups.begin(), list.groups.end(),
                             i / hopfix::kernels::kScreenRows) != list.groups.end();
          };
          CHECK(list.is_wide == (longest > 0));
          long double largest = p.logit(0, b), beyond = 0, weight = 0;
          for (ptrdiff_t i = 0; i < p.n; ++i) largest = std::max(largest, p.logit(i, b));
          for (ptrdiff_t i = 0; i < p.n; ++i) {
            const long double gap = largest - p.logit(i, b), share = std::exp(-gap);
            weight += share;
            if (!is_in(i)) beyond += share;
            if (gap <= (list.is_wide ? kWide : kNarrow)) complete = complete && is_in(i);
          }
          bounded = bounded && beyond / weight <= static_cast<long double>(list.beyond_narrow);
          tight += beyond > static_cast<long double>(list.beyond_narrow) / 100 && beyond > 0;
          listed += list.groups.size();
          all += static_cast<std::size_t>(screening.groups());
        }
      }
  }
  CHECK(complete);
  CHECK(bounded);
  CHECK(tight > 0);
  CHECK(listed < all * 3 / 4);
}

// Numbers beyond what float holds are not told apart; zeros cost no accuracy.
void test_extremes() {
  const double huge[] = {1e200, 1.0}, zero[] = {0.0, 0.0}, one = 1, nothing = 0;
  const hopfix::Network<double> extreme(huge, 2, 1, 1.0, nullptr), empty(zero, 2, 1, 1.0, nullptr);
  std::vector<std::int16_t> row(static_cast<std::size_t>(empty.quantized().stride()));
  CHECK(std::isinf(extreme.quantized().quantize(&one, row.data()).error));
  CHECK(empty.quantized().quantize(&one, row.data()).error < 1e-6);
  CHECK(empty.quantized().quantize(&nothing, row.data()).error < 1e-6);
}

}  // namespace

int main() {
  for (const std::string& level : hopfix::isa::supported()) {
    hopfix::isa::select(level);
    std::printf("%s\n", level.c_str());
    test_error_bounds<float>();
    test_error_bounds<double>();
    test_lists<float>();
    test_lists<double>();
    test_extremes();
  }
  return hopfix::test::finish();
}
