// Two exhaustive searches and one from starts: what is proved holds all that is certified.
#include <cmath>
#include <numeric>

#include "hopfix/cells.hpp"
#include "hopfix/continuation.hpp"
#include "hopfix/degree.hpp"
#include "hopfix/face_search.hpp"
#include "hopfix/fixed_points.hpp"
#include "input.hpp"

namespace {

using namespace hopfix;
using hopfix::fuzz::Input;
using std::ptrdiff_t;
using Certificates = std::vector<Certificate>;

constexpr double kSeconds = 0.2;

// Every certified point of `some` is one of `all`: their balls meet.
void holds(const Network<double>& network, const std::vector<double>& all,
           const Certificates& known, const std::vector<double>& some, const Certificates& found) {
  const ptrdiff_t dim = network.dim();
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (!found[i].certified()) continue;
    bool met = false;
    for (std::size_t k = 0; k < known.size() && !met; ++k) {
      double square = 0;
      for (ptrdiff_t a = 0; a < dim; ++a) {
        const double apart = some[i * static_cast<std::size_t>(dim) + static_cast<std::size_t>(a)] -
                             all[k * static_cast<std::size_t>(dim) + static_cast<std::size_t>(a)];
        square += apart * apart;
      }
      met = std::sqrt(square) <= (found[i].radius + known[k].radius) * (1 + 1e-9);
    }
    CLAIM(met);
  }
}

// The degree of the whole space is 1 (MATH: f maps a ball into itself).
void has_degree_one(const Certificates& known, ptrdiff_t dim) {
  ptrdiff_t sum = 0;
  for (const Certificate& each : known) sum += each.morse_index % 2 == 0 ? 1 : -1;
  CLAIM(sum == 1);
  CLAIM(passes_degree_audit(known, dim));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const auto network = fuzz::network<double>(input, 6, 3);
  if (!network) return 0;
  const Execution execution{2, {}};

  CellOptions options;
  options.form = static_cast<CellForm>(input.between(0, 2));
  options.symmetry = input.flag();
  options.max_boxes = 3000;
  options.max_count = 2000;
  options.time_limit = kSeconds;
  const CellList cells = fixed_points_by_cells(*network, options, execution);

  SearchOptions starts;
  starts.seed = input.byte();
  starts.time_limit = kSeconds;
  const FixedPointList some = fixed_points_by_starts(*network, starts, execution);

  FaceSearchOptions face_options;
  face_options.boxes = input.flag();
  face_options.max_regions = 3000;
  face_options.time_limit = kSeconds;
  const FaceSearchList faces = fixed_points_by_faces(*network, fuzz::every_pattern(network->size()),
                                                     face_options, execution);

  if (cells.undecided.empty()) {
    has_degree_one(cells.certificates, network->dim());
    holds(*network, cells.states, cells.certificates, some.states, some.certificates);
    holds(*network, cells.states, cells.certificates, faces.states, faces.certificates);
  }
  if (faces.proved) {
    has_degree_one(faces.certificates, network->dim());
    holds(*network, faces.states, faces.certificates, some.states, some.certificates);
    holds(*network, faces.states, faces.certificates, cells.states, cells.certificates);
  }

  FollowOptions follow;
  follow.beta_to = network->beta() * input.scale();
  follow.max_steps = 50;
  follow.time_limit = kSeconds;
  if (std::isfinite(follow.beta_to) && follow.beta_to > 0 && some.size() > 0)
    follow_branches(*network, some.states.data(), std::min<ptrdiff_t>(some.size(), 4), follow,
                    execution);

  std::vector<double> lower, upper;
  for (ptrdiff_t a = 0; a < network->dim(); ++a) {
    const double one = input.number<double>(), other = input.number<double>();
    if (!std::isfinite(one) || !std::isfinite(other) || one == other) return 0;
    lower.push_back(std::min(one, other));
    upper.push_back(std::max(one, other));
  }
  DegreeOptions degree;
  degree.max_boxes = 2000;
  degree.time_limit = kSeconds;
  brouwer_degree(*network, lower.data(), upper.data(), degree, execution);
  return 0;
}
