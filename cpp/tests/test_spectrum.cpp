// Bounds of eigenvalues, by one factorisation and by an eigensystem, on matrices whose spectrum is
// known.
#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "check.hpp"
#include "hopfix/isa.hpp"
#include "kernels/table.hpp"
#include "spectrum.hpp"

namespace {

using hopfix::Spectrum;
using hopfix::SpectrumWorkspace;
using hopfix::UpperBound;
using std::ptrdiff_t;
using std::size_t;
using Wide = long double;

// H D H with H = I - 2 v v' / v'v, rounded from long double: eigenvalues D to n u max D.
std::vector<double> with_eigenvalues(const std::vector<double>& d, unsigned seed) {
  const size_t n = d.size();
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<Wide> v(n);
  Wide square = 0, form = 0;
  for (size_t i = 0; i < n; ++i) {
    v[i] = normal(random);
    square += v[i] * v[i];
    form += d[i] * v[i] * v[i];
  }
  std::vector<double> matrix(n * n);
  for (size_t i = 0; i < n; ++i)
    for (size_t k = 0; k < n; ++k)
      matrix[i * n + k] = static_cast<double>(
          (i == k ? d[i] : 0) - 2 * v[i] * v[k] * (d[i] + d[k] - 2 * form / square) / square);
  return matrix;
}

struct Judged {
  bool converged = false;
  Spectrum spectrum;
};

Judged judge(const std::vector<double>& matrix, size_t n, double error, bool with_zero = false) {
  SpectrumWorkspace work;
  work.matrix = matrix;
  Judged judged;
  judged.converged = hopfix::enclose_spectrum(static_cast<ptrdiff_t>(n), UpperBound(error),
                                              with_zero, work, judged.spectrum);
  return judged;
}

// Only bounds by one factorisation are as wide as this.
bool by_factorisation(const std::vector<double>& d) {
  const Spectrum s = judge(with_eigenvalues(d, 1), d.size(), 1e-12).spectrum;
  return s.largest.value() - s.largest_low > 1e-5 * s.largest.value();
}

// Every claim holds for the spectrum d; `width`: how far from the truth bounds may be.
void check_claims(std::vector<double> d, unsigned seed, double width) {
  std::sort(d.begin(), d.end());
  const double slack = 1e-12 * d.back();
  const Judged judged = judge(with_eigenvalues(d, seed), d.size(), slack);
  CHECK(judged.converged && !judged.spectrum.degenerate);
  const Spectrum& s = judged.spectrum;
  Wide ratio = HUGE_VALL, inverse = 0, root = 0;
  for (const double value : d) {
    const Wide gap = std::fabs(1 - static_cast<Wide>(value));
    ratio = std::min(ratio, gap / value);
    inverse = std::max(inverse, 1 / gap);
    root = std::max(root, std::sqrt(static_cast<Wide>(value)) / gap);
  }
  CHECK(s.above_one == std::count_if(d.begin(), d.end(), [](double x) { return x > 1; }));
  CHECK(s.min_ratio <= ratio * (1 + 1e-6L) && s.min_ratio >= ratio * (1 - width));
  CHECK(s.inverse_gap.value() >= inverse * (1 - 1e-6L) &&
        s.inverse_gap.value() <= inverse * (1 + width));
  CHECK(s.root_over_gap.value() >= root * (1 - 1e-6L) &&
        s.root_over_gap.value() <= root * (1 + width));
  CHECK(s.largest_low <= d.back() + slack && s.largest.value() >= d.back() - slack);
  CHECK(s.largest.value() - s.largest_low <= width * std::max(1.0, d.back()));
  CHECK(std::fabs(s.radius - d.back()) <= 1e-9 * d.back());
}

std::vector<double> evenly(size_t n, double from, double to) {
  std::vector<double> d(n);
  for (size_t i = 0; i < n; ++i)
    d[i] = from + (to - from) * static_cast<double>(i) / static_cast<double>(n - 1);
  return d;
}

void test_known_spectra() {
  std::vector<double> saddle = evenly(200, 0.01, 0.6);
  saddle[0] = 1.7;
  CHECK(by_factorisation(evenly(200, 0.1, 0.95)) && by_factorisation(saddle));
  CHECK(!by_factorisation(evenly(100, 0.1, 0.95)) && !by_factorisation(evenly(200, 0.5, 3)));
  for (const size_t n : {size_t{40}, size_t{200}, size_t{260}}) {
    check_claims(evenly(n, 0.001, 0.03), 1, 0.05);
    check_claims(evenly(n, 1e-21, 1e-20), 2, 0.05);
    check_claims(evenly(n, 0.1, 0.95), 3, 0.05);
    for (const size_t above : {1, 2, 5, 16, 20}) {
      std::vector<double> d = evenly(n, 0.01, 0.6);
      for (size_t i = 0; i < above; ++i) d[i] = 1.3 + 0.4 * static_cast<double>(i);
      check_claims(d, 4, 0.05);
    }
    // Eigenvalues of higher multiplicity: Lanczos sees one of each.
    std::vector<double> d = evenly(n, 0.01, 0.5);
    d[0] = d[1] = d[2] = 2;
    check_claims(d, 5, 0.05);
    d.assign(n, 1e-3);
    d[0] = 3;
    check_claims(d, 6, 0.05);
    // Nearly all above 1.
    d = evenly(n, 1.5, 40);
    d[3] = 0.25;
    check_claims(d, 7, 0.05);
    // Close to 1 on both sides.
    d = evenly(n, 0.01, 0.5);
    d[0] = 1 + 1e-5;
    d[1] = 1 - 1e-5;
    check_claims(d, 8, 0.05);
  }
}

void test_one_is_degenerate() {
  for (const size_t n : {size_t{40}, size_t{200}})
    for (const double value : {1.0, 1 + 1e-13, 1 - 1e-13}) {
      std::vector<double> d = evenly(n, 0.01, 0.5);
      d[4] = value;
      CHECK(judge(with_eigenvalues(d, 9), n, 1e-11).spectrum.degenerate);
    }
  // The error given counts.
  const std::vector<double> d = evenly(200, 0.01, 0.9);
  CHECK(!judge(with_eigenvalues(d, 9), 200, 0.05).spectrum.degenerate);
  CHECK(judge(with_eigenvalues(d, 9), 200, 0.11).spectrum.degenerate);
}

void test_the_factor_is_one() {
  const std::vector<double> matrix = with_eigenvalues(evenly(250, 0.1, 3), 1);
  std::vector<double> factor = matrix, product(matrix.size());
  const auto& dense = *hopfix::isa::table().dense;
  CHECK(dense.cholesky(factor.data(), 250));
  for (size_t i = 0; i < 250; ++i)
    for (size_t k = i + 1; k < 250; ++k) CHECK(factor[i * 250 + k] == 0);
  dense.gram_rows(factor.data(), 250, 250, product.data());
  for (size_t i = 0; i < matrix.size(); ++i) CHECK(std::fabs(product[i] - matrix[i]) < 1e-13);
  std::vector<double> indefinite = matrix;
  for (size_t i = 0; i < 250; ++i) indefinite[i * 251] -= 0.11;
  CHECK(!dense.cholesky(indefinite.data(), 250));
}

}  // namespace

int main() {
  test_known_spectra();
  test_one_is_degenerate();
  test_the_factor_is_one();
  return hopfix::test::finish();
}
