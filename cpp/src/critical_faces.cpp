#include "hopfix/critical_faces.hpp"

#include <algorithm>
#include <utility>

#include "face_searcher.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

// Independent, linearly if there are no offsets (the origin joins as a pattern), else affinely.
bool independent(const PatternGram& gram) {
  if (!gram.no_offsets) {
    FaceNode node(gram);
    node.start(0);
    for (ptrdiff_t i = 1; i < gram.n; ++i)
      if (!node.push(i)) return false;
    return true;
  }
  PatternGram with_origin;
  with_origin.n = gram.n + 1;
  with_origin.scale = gram.scale;
  with_origin.offsets.assign(static_cast<size_t>(gram.n + 1), 0.0);
  with_origin.products.assign(static_cast<size_t>((gram.n + 1) * (gram.n + 1)), 0.0);
  for (ptrdiff_t i = 0; i < gram.n; ++i)
    std::copy_n(gram.row(i), gram.n, with_origin.products.begin() + (i + 1) * (gram.n + 1) + 1);
  FaceNode node(with_origin);
  node.start(0);
  for (ptrdiff_t i = 1; i <= gram.n; ++i)
    if (!node.push(i)) return false;
  return true;
}

// Faces by size, then as found, which is in lexicographic order; equal tied sets once.
CriticalFaceList merge(std::vector<CriticalFaceList>& parts, const CriticalFaceOptions& options,
                       int exponent) {
  struct Place {
    size_t part, face;
  };
  // A stable sort by size, as sizes are few: where each size begins, then one pass.
  std::vector<size_t> begins(2, 0);
  const auto size_of = [&](const CriticalFaceList& part, size_t face) {
    return static_cast<size_t>(part.first[face + 1] - part.first[face]);
  };
  for (const CriticalFaceList& part : parts)
    for (size_t face = 0; face < part.gaps.size(); ++face) {
      const size_t size = size_of(part, face);
      if (begins.size() < size + 2) begins.resize(size + 2, 0);
      ++begins[size + 1];
    }
  for (size_t size = 1; size < begins.size(); ++size) begins[size] += begins[size - 1];
  std::vector<Place> places(begins.back());
  for (size_t part = 0; part < parts.size(); ++part)
    for (size_t face = 0; face < parts[part].gaps.size(); ++face)
      places[begins[size_of(parts[part], face)]++] = {part, face};
  CriticalFaceList list;
  if (static_cast<std::int64_t>(places.size()) > options.max_count) {
    places.resize(static_cast<size_t>(options.max_count));
    list.complete = false;
  }
  size_t total = 0;
  for (const Place& place : places) total += size_of(parts[place.part], place.face);
  list.indices.reserve(total);
  list.weights.reserve(total);
  list.gaps.reserve(places.size());
  list.first.reserve(places.size() + 1);
  for (const Place& place : places) {
    const CriticalFaceList& part = parts[place.part];
    const std::int64_t from = part.first[place.face], to = part.first[place.face + 1];
    list.indices.insert(list.indices.end(), part.indices.begin() + from, part.indices.begin() + to);
    list.weights.insert(list.weights.end(), part.weights.begin() + from, part.weights.begin() + to);
    list.gaps.push_back(std::ldexp(part.gaps[place.face], 2 * exponent));
    list.first.push_back(static_cast<std::int64_t>(list.indices.size()));
  }
  std::vector<std::pair<std::vector<std::int64_t>, std::vector<double>>> tied;
  for (CriticalFaceList& part : parts)
    for (size_t i = 0; i < part.tied.size(); ++i)
      tied.emplace_back(std::move(part.tied[i]), std::move(part.tied_weights[i]));
  std::stable_sort(tied.begin(), tied.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& entry : tied) {
    if (!list.tied.empty() && list.tied.back() == entry.first) continue;
    list.tied.push_back(std::move(entry.first));
    list.tied_weights.push_back(std::move(entry.second));
  }
  return list;
}

}  // namespace

CriticalFaceList critical_faces(const double* patterns, const double* offsets, ptrdiff_t n,
                                ptrdiff_t dim, const CriticalFaceOptions& options,
                                const Execution& execution) {
  const int exponent = common_exponent(patterns, offsets, n, dim);
  PatternGram gram;
  try {
    gram = make_gram(patterns, offsets, n, dim, exponent, execution);
  } catch (const Interrupted&) {
    CriticalFaceList nothing;
    nothing.complete = false;
    nothing.interrupted = true;
    return nothing;
  }
  const ptrdiff_t max_size = options.max_size == 0 ? n : options.max_size;
  const bool prune = max_size >= 3 && !independent(gram);
  ExactFaces exact(gram);
  const double overall = prune ? PowerCell::overall_bound(gram, exact) : HUGE_VAL;
  FaceLimits limits(options, execution);
  std::vector<CriticalFaceList> parts;
  std::int64_t count = 0;

  // Tasks in blocks, so that max_count stops at the same place for every number of threads.
  const auto run = [&](ptrdiff_t tasks, ptrdiff_t block, bool first_pass, const auto& task) {
    const size_t base = parts.size();
    parts.resize(base + static_cast<size_t>(tasks));
    for (ptrdiff_t begin = 0; begin < tasks && !limits.stopped(); begin += block) {
      const ptrdiff_t size = std::min(block, tasks - begin);
      try {
        parallel_for(size, limits.execution(), [&](ptrdiff_t index, int worker) {
          if (limits.stopped()) return;
          FaceSearcher searcher(gram, exact, overall, max_size, prune, limits, worker);
          task(searcher, begin + index);
          searcher.found.origin_radius = searcher.origin_radius();
          parts[base + static_cast<size_t>(begin + index)] = std::move(searcher.found);
        });
        if (options.progress)
          options.progress((first_pass ? 0 : n) + begin + size, (first_pass ? 0 : n) + tasks);
      } catch (const Interrupted&) {
        limits.interrupt();
      }
      for (ptrdiff_t t = begin; t < begin + size; ++t)
        count += static_cast<std::int64_t>(parts[base + static_cast<size_t>(t)].gaps.size());
      if (count >= options.max_count && begin + size < tasks) limits.stop();
    }
  };

  std::vector<std::vector<ptrdiff_t>> above(static_cast<size_t>(n));
  run(n, 64, true, [&](FaceSearcher& searcher, ptrdiff_t i) {
    above[static_cast<size_t>(i)] = searcher.singles_and_pairs(i);
  });
  if (max_size >= 3 && !limits.stopped()) {
    std::vector<std::pair<ptrdiff_t, ptrdiff_t>> pairs;
    for (ptrdiff_t i = 0; i < n; ++i)
      for (const ptrdiff_t j : above[static_cast<size_t>(i)]) pairs.emplace_back(i, j);
    run(static_cast<ptrdiff_t>(pairs.size()), 256, false, [&](FaceSearcher& searcher, ptrdiff_t t) {
      const auto [i, j] = pairs[static_cast<size_t>(t)];
      searcher.descend_from(i, j, above);
    });
  }
  CriticalFaceList list = merge(parts, options, exponent);
  for (const CriticalFaceList& part : parts)
    list.origin_radius = std::max(list.origin_radius, std::ldexp(part.origin_radius, exponent));
  list.complete = list.complete && !limits.stopped();
  list.interrupted = limits.interrupted();
  return list;
}

}  // namespace hopfix
