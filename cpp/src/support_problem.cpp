#include "support_problem.hpp"

#include <algorithm>
#include <cmath>

#include "hopfix/interval.hpp"

namespace hopfix {

using std::ptrdiff_t;
using std::size_t;

namespace {

PatternGram gram_of(const Network<double>& network, const Execution& execution) {
  std::vector<double> offsets = network.log_weights();
  for (double& offset : offsets) offset /= network.beta();
  const double* patterns = network.patterns().data();
  const double* a = offsets.empty() ? nullptr : offsets.data();
  const ptrdiff_t n = network.size(), dim = network.dim();
  return make_gram(patterns, a, n, dim, common_exponent(patterns, a, n, dim), execution);
}

}  // namespace

SupportProblem::SupportProblem(const Network<double>& given,
                               const std::vector<double>& known_states,
                               const std::vector<Certificate>& known_certificates, bool single,
                               const Execution& execution)
    : network(given),
      states(known_states),
      certificates(known_certificates),
      form(given),
      certifier(given),
      gram(gram_of(given, execution)),
      single_precision(single) {
  if (!form.in_range()) return;
  choose_share();
  choose_clear_balls();
  index_known_points();
}

// A power of two, so that its logarithm is easy to bound. By experiment: with a larger share fewer
// sets are left, but their regions are harder to decide.
void SupportProblem::choose_share() {
  const double radius = network.extent().radius;
  const double strength = network.beta() * radius * radius;
  const double wanted = static_cast<double>(form.size()) * std::clamp(strength, 8.0, 64.0);
  const int exponent = static_cast<int>(std::ceil(std::log2(wanted)));
  share = std::ldexp(1.0, -exponent);
  log_share = (UpperBound(exponent) * UpperBound(0.6931471805599454)).value();
}

void SupportProblem::choose_clear_balls() {
  const ptrdiff_t dim = network.dim();
  const Certificate* widest = nullptr;
  for (const Certificate& certificate : certificates)
    if (certificate.concave_radius > (widest == nullptr ? 0 : widest->concave_radius))
      widest = &certificate;
  if (widest != nullptr) {
    const double* centre = state(static_cast<size_t>(widest - certificates.data()));
    clear.push_back({std::vector<double>(centre, centre + dim), widest->concave_radius});
  }
  const ClearBall hull = ball_outside_hull(network);
  if (hull.radius > 0) clear.push_back(hull);
}

// Rounding is harmless here: a point under a wrong support is certified once more.
void SupportProblem::index_known_points() {
  const ptrdiff_t n = network.size();
  std::vector<double> p(static_cast<size_t>(n));
  for (size_t i = 0; i < certificates.size(); ++i) {
    network.weights(state(i), 1, p.data(), Execution{});
    Members support;
    for (ptrdiff_t k = 0; k < n; ++k)
      if (p[static_cast<size_t>(k)] >= share) support.push_back(k);
    known[support].push_back(i);
  }
}

}  // namespace hopfix
