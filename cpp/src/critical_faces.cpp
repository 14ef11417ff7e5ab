#include "hopfix/critical_faces.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <utility>

#include "pattern_gram.hpp"
#include "power_cell.hpp"
#include "refined_face.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;
using Clock = std::chrono::steady_clock;

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

// When to stop, for all threads.
class Limits {
 public:
  Limits(const CriticalFaceOptions& options, const Execution& execution)
      : options_(options), execution_(execution), start_(Clock::now()) {}

  bool stopped() const { return stop_.load(std::memory_order_relaxed); }
  bool interrupted() const { return interrupted_.load(std::memory_order_relaxed); }
  void interrupt() {
    interrupted_ = true;
    stop_ = true;
  }
  void stop() { stop_ = true; }

  // Called often; the clock is read every 64th time a worker asks.
  bool check(int worker, unsigned& calls) {
    if ((++calls & 63U) == 0) {
      const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
      if (seconds > options_.time_limit) stop();
      if (worker == 0 && execution_.stop_requested && execution_.stop_requested()) interrupt();
    }
    return stopped();
  }

 private:
  const CriticalFaceOptions& options_;
  const Execution& execution_;
  Clock::time_point start_;
  std::atomic<bool> stop_{false}, interrupted_{false};
};

// Depth-first search below given sets, collecting what is found.
class Searcher {
 public:
  Searcher(const PatternGram& gram, ptrdiff_t max_size, bool prune, Limits& limits, int worker)
      : gram_(gram),
        max_size_(max_size),
        prune_(prune),
        limits_(limits),
        worker_(worker),
        node_(gram),
        cell_(gram),
        scores_(static_cast<size_t>(gram.n)) {}

  CriticalFaceList found;

  // {i} and all {i, j}, j > i; returns the j below whose pair the search must go on.
  std::vector<ptrdiff_t> singles_and_pairs(ptrdiff_t i) {
    std::vector<ptrdiff_t> open;
    node_.start(i);
    judge();
    for (ptrdiff_t j = i + 1; max_size_ >= 2 && j < gram_.n && !limits_.check(worker_, calls_);
         ++j) {
      if (!node_.push(j)) continue;
      judge();
      if (max_size_ >= 3 && may_grow()) open.push_back(j);
      node_.pop();
    }
    return open;
  }

  // All supersets of {i, j} by candidates above j.
  void descend_from(ptrdiff_t i, ptrdiff_t j, const std::vector<std::vector<ptrdiff_t>>& above) {
    node_.start(i);
    if (!node_.push(j)) return;
    std::vector<ptrdiff_t> candidates;
    intersect(above[static_cast<size_t>(i)], above[static_cast<size_t>(j)], candidates);
    descend(candidates, above);
  }

 private:
  static void intersect(const std::vector<ptrdiff_t>& a, const std::vector<ptrdiff_t>& b,
                        std::vector<ptrdiff_t>& out) {
    out.clear();
    std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(out));
  }

  void descend(const std::vector<ptrdiff_t>& candidates,
               const std::vector<std::vector<ptrdiff_t>>& above) {
    std::vector<ptrdiff_t> next;
    for (const ptrdiff_t m : candidates) {
      if (limits_.check(worker_, calls_)) return;
      if (!node_.push(m)) continue;
      judge();
      if (node_.size() < max_size_) {
        intersect(candidates, above[static_cast<size_t>(m)], next);
        if (!next.empty() && may_grow()) descend(next, above);
      }
      node_.pop();
    }
  }

  bool may_grow() { return !prune_ || cell_.may_hold(node_); }

  // Records the node if it is critical or tied.
  void judge() {
    node_.weights(p_);
    double absolute = 0, least = HUGE_VAL;
    for (const double weight : p_) {
      absolute += std::abs(weight);
      least = std::min(least, weight);
    }
    const double weight_error = node_.weight_error(absolute);
    if (least < -weight_error) return;
    const double error = node_.score_error(absolute);
    double outside = -HUGE_VAL, c = 0;
    if (!scan(error, c, outside)) return;
    if (least > weight_error && c - outside > error)
      record(c - outside);
    else if (!is_origin(c))
      judge_refined();
  }

  void judge_refined() {
    const RefinedFace face = refine(gram_, node_);
    const double least = *std::min_element(face.weights.begin(), face.weights.end());
    double outside = -HUGE_VAL;
    for (ptrdiff_t k = 0; k < gram_.n; ++k)
      if (!is_member(k)) outside = std::max(outside, face.excess[static_cast<size_t>(k)]);
    if (least < -face.weight_error || outside > face.score_error) return;
    // Where patterns are too near to be dependent even so, the weights stay what they were.
    if (std::all_of(face.weights.begin(), face.weights.end(),
                    [](double weight) { return std::isfinite(weight); }))
      // Where patterns are too near to be dependent even so, the weights stay what they were.
      if (std::all_of(face.weights.begin(), face.weights.end(),
                      [](double weight) { return std::isfinite(weight); }))
        p_ = face.weights;
    if (least > face.weight_error && outside < -face.score_error)
      record(-outside);
    else
      record_tied(face);
  }

  bool is_member(ptrdiff_t k) const {
    const auto& members = node_.members();
    return std::find(members.begin(), members.end(), k) != members.end();
  }

  // With a = 0 and weights of either sign p . Gp = c.
  bool is_origin(double c) const { return gram_.no_offsets && c <= 1e-14 * gram_.scale; }

  // The members' score c and the largest outside; false as soon as one is surely above c.
  bool scan(double error, double& c, double& outside) {
    for (size_t i = 0; i < p_.size(); ++i) {
      const ptrdiff_t member = node_.members()[i];
      double score = gram_.offset(member);
      for (size_t j = 0; j < p_.size(); ++j) score += p_[j] * gram_(node_.members()[j], member);
      c += p_[i] * score;
    }
    constexpr ptrdiff_t kBlock = 128;
    for (ptrdiff_t begin = 0; begin < gram_.n; begin += kBlock) {
      const ptrdiff_t end = std::min(gram_.n, begin + kBlock);
      add_scores(gram_, node_.members(), p_, begin, end, scores_.data());
      for (const ptrdiff_t member : node_.members())
        if (begin <= member && member < end) scores_[static_cast<size_t>(member)] = -HUGE_VAL;
      for (ptrdiff_t k = begin; k < end; ++k)
        outside = std::max(outside, scores_[static_cast<size_t>(k)]);
      if (outside > c + error) return false;
    }
    return true;
  }

  void record(double gap) {
    found.indices.insert(found.indices.end(), node_.members().begin(), node_.members().end());
    found.weights.insert(found.weights.end(), p_.begin(), p_.end());
    found.gaps.push_back(gap);
    found.first.push_back(static_cast<std::int64_t>(found.indices.size()));
  }

  void record_tied(const RefinedFace& face) {
    std::vector<std::int64_t> active;
    std::vector<double> weights;
    const auto& members = node_.members();
    for (ptrdiff_t k = 0; k < gram_.n; ++k) {
      const bool inside = is_member(k);
      if (!inside && face.excess[static_cast<size_t>(k)] < -face.score_error) continue;
      active.push_back(k);
      const auto place = std::find(members.begin(), members.end(), k) - members.begin();
      weights.push_back(inside ? p_[static_cast<size_t>(place)] : 0.0);
    }
    found.tied.push_back(std::move(active));
    found.tied_weights.push_back(std::move(weights));
  }

  const PatternGram& gram_;
  const ptrdiff_t max_size_;
  const bool prune_;
  Limits& limits_;
  const int worker_;
  FaceNode node_;
  PowerCell cell_;
  std::vector<double> p_, scores_;
  unsigned calls_ = 0;
};

// Faces by size, then as found, which is in lexicographic order; equal tied sets once.
CriticalFaceList merge(std::vector<CriticalFaceList>& parts, const CriticalFaceOptions& options,
                       int exponent) {
  struct Place {
    size_t part, face;
    std::int64_t size;
  };
  std::vector<Place> places;
  for (size_t part = 0; part < parts.size(); ++part)
    for (size_t face = 0; face < parts[part].gaps.size(); ++face)
      places.push_back({part, face, parts[part].first[face + 1] - parts[part].first[face]});
  // The lexicographic order is needed as pairs come from another pass than larger sets.
  std::stable_sort(places.begin(), places.end(),
                   [](const Place& a, const Place& b) { return a.size < b.size; });
  CriticalFaceList list;
  if (static_cast<std::int64_t>(places.size()) > options.max_count) {
    places.resize(static_cast<size_t>(options.max_count));
    list.complete = false;
  }
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
  const PatternGram gram = make_gram(patterns, offsets, n, dim, exponent, execution);
  const ptrdiff_t max_size = options.max_size == 0 ? n : options.max_size;
  const bool prune = max_size >= 3 && !independent(gram);
  Limits limits(options, execution);
  std::vector<CriticalFaceList> parts;
  std::int64_t count = 0;

  // Tasks in blocks, so that max_count stops at the same place for every number of threads.
  const auto run = [&](ptrdiff_t tasks, ptrdiff_t block, bool first_pass, const auto& task) {
    const size_t base = parts.size();
    parts.resize(base + static_cast<size_t>(tasks));
    for (ptrdiff_t begin = 0; begin < tasks && !limits.stopped(); begin += block) {
      const ptrdiff_t size = std::min(block, tasks - begin);
      try {
        parallel_for(size, execution, [&](ptrdiff_t index, int worker) {
          if (limits.stopped()) return;
          Searcher searcher(gram, max_size, prune, limits, worker);
          task(searcher, begin + index);
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
  run(n, 64, true, [&](Searcher& searcher, ptrdiff_t i) {
    above[static_cast<size_t>(i)] = searcher.singles_and_pairs(i);
  });
  if (max_size >= 3 && !limits.stopped()) {
    std::vector<std::pair<ptrdiff_t, ptrdiff_t>> pairs;
    for (ptrdiff_t i = 0; i < n; ++i)
      for (const ptrdiff_t j : above[static_cast<size_t>(i)]) pairs.emplace_back(i, j);
    run(static_cast<ptrdiff_t>(pairs.size()), 256, false, [&](Searcher& searcher, ptrdiff_t t) {
      const auto [i, j] = pairs[static_cast<size_t>(t)];
      searcher.descend_from(i, j, above);
    });
  }
  CriticalFaceList list = merge(parts, options, exponent);
  list.complete = list.complete && !limits.stopped();
  list.interrupted = limits.interrupted();
  return list;
}

}  // namespace hopfix
