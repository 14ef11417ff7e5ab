#include "hopfix/sufficient_beta.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <stdexcept>

#include "beta_trial.hpp"
#include "face_conditions.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kLeastShrink = 1e-6;

SufficientBeta none(const char* reason) { return {HUGE_VAL, kNaN, kNaN, reason, {}}; }

// The numbers of a trial, enlarged until the rigorous conditions hold.
SufficientBeta proved(const FaceGeometry& geometry, BetaMethod method, double shrink) {
  BetaTrial trial(geometry, method, shrink);
  const double found = trial.solve_softly(1e-14);
  if (!(found < HUGE_VAL)) return none("no shrinkage tried satisfies the conditions at any beta");
  const FaceConditions conditions(geometry, shrink, trial.witness);
  for (double slack = 0; slack < 0.1; slack = std::max(1e-15, 2 * slack)) {
    const double beta = found * (1 + slack), least = trial.thickness(beta);
    for (const double eps : {least, least * (1 + 1e-12), least * (1 + 1e-6)})
      if (conditions.hold(beta, eps)) return {beta, shrink, eps, "", std::move(trial.witness)};
  }
  return none("rounding leaves the conditions open");
}

// Shrinkages to try, by x with alpha = 1 / (1 + exp(-x)).
double shrink_at(double x) {
  return std::clamp(1 / (1 + std::exp(-x)), kLeastShrink, 1 - kLeastShrink);
}

struct Search {
  std::unique_ptr<FaceGeometry> geometry;
  double best = HUGE_VAL, centre = 0;
};

// beta at every x of a grid for every face that is still of interest.
void refine(std::vector<Search>& searches, const std::vector<double>& offsets, BetaMethod method,
            const Execution& execution) {
  const auto points = static_cast<ptrdiff_t>(offsets.size());
  std::vector<double> values(searches.size() * offsets.size(), HUGE_VAL);
  parallel_for(static_cast<ptrdiff_t>(values.size()), execution, [&](ptrdiff_t task, int) {
    const Search& search = searches[static_cast<size_t>(task / points)];
    if (search.geometry == nullptr) return;
    const double x = search.centre + offsets[static_cast<size_t>(task % points)];
    BetaTrial trial(*search.geometry, method, shrink_at(x));
    values[static_cast<size_t>(task)] = trial.solve(1e-9);
  });
  for (size_t s = 0; s < searches.size(); ++s) {
    const double* row = values.data() + s * offsets.size();
    const double* least = std::min_element(row, row + points);
    if (!(*least < searches[s].best)) continue;
    searches[s].best = *least;
    searches[s].centre += offsets[static_cast<size_t>(least - row)];
  }
}

void require_sound_arithmetic() {
  if (!arithmetic_is_sound())
    throw std::runtime_error(
        "sufficient_beta: this thread does not compute in round-to-nearest IEEE doubles, so that "
        "nothing can be proved");
}

}  // namespace

std::vector<SufficientBeta> sufficient_betas(const double* patterns, ptrdiff_t n, ptrdiff_t dim,
                                             const std::int64_t* faces, ptrdiff_t count,
                                             ptrdiff_t size, const SufficientBetaOptions& options,
                                             const Execution& execution) {
  require_sound_arithmetic();
  std::vector<SufficientBeta> answers(static_cast<size_t>(count), none(""));
  std::vector<Search> searches(static_cast<size_t>(count));
  parallel_for(count, execution, [&](ptrdiff_t f, int) {
    auto geometry =
        std::make_unique<FaceGeometry>(patterns, n, dim, faces + f * size, size, options.isolated);
    SufficientBeta& answer = answers[static_cast<size_t>(f)];
    if (!geometry->finite()) {
      answer.reason = "the patterns are too large: inner products may overflow";
    } else if (!geometry->independent()) {
      answer.reason = "the patterns of the face are affinely dependent, or nearly so";
    } else {
      searches[static_cast<size_t>(f)].geometry = std::move(geometry);
    }
  });
  const bool search = options.shrink == 0 && size > 1;
  if (search) {
    std::vector<double> offsets;
    for (int x = -14; x <= 14; ++x) offsets.push_back(x);
    refine(searches, offsets, options.method, execution);
    for (double step = 0.25; step > 1e-4; step *= 0.25) {
      offsets.clear();
      for (int x : {-3, -2, -1, 1, 2, 3}) offsets.push_back(step * x);
      refine(searches, offsets, options.method, execution);
    }
  }
  parallel_for(count, execution, [&](ptrdiff_t f, int) {
    const Search& found = searches[static_cast<size_t>(f)];
    if (found.geometry == nullptr) return;
    double shrink = options.shrink > 0 ? options.shrink : shrink_at(found.centre);
    if (size == 1) shrink = options.shrink > 0 ? options.shrink : 0.5;  // of no consequence
    answers[static_cast<size_t>(f)] = proved(*found.geometry, options.method, shrink);
  });
  return answers;
}

bool proves_sufficient_beta(const double* patterns, ptrdiff_t n, ptrdiff_t dim,
                            const std::int64_t* face, ptrdiff_t size, bool isolated,
                            const SufficientBeta& claim) {
  require_sound_arithmetic();
  if (!(claim.shrink > 0 && claim.shrink < 1)) return false;
  const FaceGeometry geometry(patterns, n, dim, face, size, isolated);
  if (!geometry.finite() || !geometry.independent()) return false;
  return FaceConditions(geometry, claim.shrink, claim.witness).hold(claim.beta, claim.thickness);
}

}  // namespace hopfix
