// The limit beta -> infinity: critical faces, margins, sufficient betas; the softmax map.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "hopfix/cips.hpp"
#include "hopfix/connections.hpp"
#include "hopfix/critical_faces.hpp"
#include "hopfix/softmax_map.hpp"
#include "hopfix/sufficient_beta.hpp"
#include "input.hpp"

namespace {

using namespace hopfix;
using hopfix::fuzz::Input;
using std::int64_t;
using std::ptrdiff_t;

constexpr double kSeconds = 0.5;

struct Patterns {
  ptrdiff_t n, dim;
  std::vector<double> rows;
  bool usable;
};

Patterns patterns_of(Input& input, ptrdiff_t most, ptrdiff_t most_dim) {
  const ptrdiff_t n = input.between(1, most), dim = input.between(1, most_dim);
  auto rows = input.numbers<double>(n * dim);
  const bool usable = first_not_finite(rows.data(), n * dim) < 0;
  return {n, dim, std::move(rows), usable};
}

void enumerate(Input& input) {
  const Patterns x = patterns_of(input, 9, 5);
  const auto offsets = input.numbers<double>(input.flag() ? x.n : 0);
  if (!x.usable || first_not_finite(offsets.data(), static_cast<ptrdiff_t>(offsets.size())) >= 0)
    return;
  CriticalFaceOptions options;
  options.max_size = input.between(0, x.n);
  options.max_count = input.between(1, 255);
  options.time_limit = kSeconds;
  const auto list = [&](int threads) {
    return critical_faces(x.rows.data(), offsets.empty() ? nullptr : offsets.data(), x.n, x.dim,
                          options, Execution{threads, {}});
  };
  const CriticalFaceList faces = list(1);
  CLAIM(faces.first.size() == faces.gaps.size() + 1);
  CLAIM(faces.first.back() == static_cast<int64_t>(faces.indices.size()));
  CLAIM(faces.weights.size() == faces.indices.size());
  for (std::size_t k = 0; k < faces.gaps.size(); ++k) {
    double sum = 0;
    for (auto i = static_cast<std::size_t>(faces.first[k]);
         i < static_cast<std::size_t>(faces.first[k + 1]); ++i) {
      CLAIM(0 <= faces.indices[i] && faces.indices[i] < x.n);
      CLAIM(faces.weights[i] > 0);
      sum += faces.weights[i];
    }
    CLAIM(std::fabs(sum - 1) < 1e-6);
  }
  const CriticalFaceList again = list(3);
  CLAIM(!faces.complete || !again.complete ||
        (faces.indices == again.indices && fuzz::same_bits(faces.weights, again.weights)));
}

void face_conditions(Input& input) {
  const Patterns x = patterns_of(input, 7, 5);
  const ptrdiff_t size = input.between(1, x.n);
  std::vector<int64_t> face(static_cast<std::size_t>(x.n));
  std::iota(face.begin(), face.end(), int64_t{0});
  for (std::size_t i = 0; i < face.size(); ++i)
    std::swap(face[i], face[static_cast<std::size_t>(input.between(0, x.n - 1))]);
  if (!x.usable) return;
  const CipsMargins margins =
      cips_margins(x.rows.data(), x.n, x.dim, face.data(), 1, size, Execution{2, {}});
  CLAIM(!(margins.lower[0] > margins.upper[0]));
  SufficientBetaOptions options;
  options.isolated = input.flag();
  options.method = input.flag() ? BetaMethod::kExact : BetaMethod::kLemma;
  options.shrink = input.flag() ? 0 : (input.byte() + 1) / 257.0;
  const auto claims =
      sufficient_betas(x.rows.data(), x.n, x.dim, face.data(), 1, size, options, Execution{2, {}});
  CLAIM(claims.size() == 1);
  if (std::isfinite(claims[0].beta))
    CLAIM(proves_sufficient_beta(x.rows.data(), x.n, x.dim, face.data(), size, options.isolated,
                                 claims[0]));
}

void softmax_map(Input& input) {
  const int64_t n = input.between(-1, 60), k = input.between(-1, 60);
  const double beta = input.flag() ? input.number<double>() : 60 * input.scale();
  try {
    const double threshold = softmax_map_threshold(n, k);
    CLAIM(threshold > 0 && threshold <= static_cast<double>(n));
  } catch (const std::invalid_argument&) {
    CLAIM(n < 2 || k < 1 || k >= n);
  }
  try {
    for (const SoftmaxMapClass& each : softmax_map_classes(n, beta)) {
      CLAIM(each.u >= each.v && each.v >= 0);
      CLAIM(each.morse_index >= 0 && each.morse_index < std::max<int64_t>(n, 1));
    }
  } catch (const std::invalid_argument&) {
    CLAIM(n < 1 || !std::isfinite(beta) || beta <= 0);
  }
}

void connections(Input& input) {
  const auto network = fuzz::network<double>(input, 6, 5);
  if (!network) return;
  const ptrdiff_t count = input.between(1, 5), dim = network->dim(), n = network->size();
  const auto states = input.numbers<double>(count * dim);
  if (first_not_finite(states.data(), count * dim) >= 0) return;
  std::vector<double> directions(states.size());
  try {
    leading_directions(*network, states.data(), count, directions.data(), Execution{2, {}});
  } catch (const std::runtime_error&) {  // as Network::spectral_radius
  }
  std::vector<double> reach;
  for (ptrdiff_t i = 0; i < n; ++i) reach.push_back(std::fabs(input.number<double>()));
  std::vector<int64_t> nearest(static_cast<std::size_t>(count));
  nearest_within(states.data(), count, network->patterns().data(), reach.data(), n, dim,
                 nearest.data(), Execution{2, {}});
  for (const int64_t i : nearest) CLAIM(-1 <= i && i < n);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  switch (input.between(0, 3)) {
    case 0:
      enumerate(input);
      break;
    case 1:
      face_conditions(input);
      break;
    case 2:
      softmax_map(input);
      break;
    default:
      connections(input);
  }
  return 0;
}
