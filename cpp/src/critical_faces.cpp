#include "hopfix/critical_faces.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <utility>

#include "power_cell.hpp"
#include "refined_face.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;
using Clock = std::chrono::steady_clock;

PatternGram make_gram(const double* patterns, const double* offsets, ptrdiff_t n, ptrdiff_t dim,
                      int exponent, const Execution& execution) {
  PatternGram gram;
  gram.n = n;
  gram.dim = dim;
  gram.products.resize(static_cast<size_t>(n * n));
  gram.offsets.resize(static_cast<size_t>(n), 0.0);
  std::vector<double>& x = gram.patterns;
  x.assign(patterns, patterns + n * dim);
  for (double& value : x) value = std::ldexp(value, -exponent);
  double largest = 0;
  for (ptrdiff_t i = 0; offsets != nullptr && i < n; ++i) {
    double& offset = gram.offsets[static_cast<size_t>(i)];
    offset = std::ldexp(offsets[i], -2 * exponent);
    largest = std::max(largest, std::abs(offset));
  }
  gram.no_offsets = largest == 0;
  parallel_for(n, execution, [&](ptrdiff_t i, int) {
    for (ptrdiff_t j = 0; j < n; ++j) {
      double sum = 0;
      for (ptrdiff_t k = 0; k < dim; ++k)
        sum += x[static_cast<size_t>(i * dim + k)] * x[static_cast<size_t>(j * dim + k)];
      gram.products[static_cast<size_t>(i * n + j)] = sum;
    }
  });
  for (ptrdiff_t i = 0; i < n; ++i) gram.scale = std::max(gram.scale, gram(i, i));
  gram.scale += largest;
  return gram;
}

// The power of two that brings all patterns, and offsets to its square, to order 1.
int common_exponent(const double* patterns, const double* offsets, ptrdiff_t n, ptrdiff_t dim) {
  int exponent = -1100;
  const auto raise = [&](double value, int divisor) {
    if (value == 0) return;
    int e = 0;
    std::frexp(value, &e);
    exponent = std::max(exponent, divisor == 1 ? e : (e + 1) / 2);
  };
  for (ptrdiff_t i = 0; i < n * dim; ++i) raise(patterns[i], 1);
  for (ptrdiff_t i = 0; offsets != nullptr && i < n; ++i) raise(offsets[i], 2);
  return exponent == -1100 ? 0 : exponent;
}

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
  Searcher(const PatternGram& gram, ExactFaces& exact, double overall, ptrdiff_t max_size,
           bool prune, Limits& limits, int worker)
      : gram_(gram),
        exact_(exact),
        max_size_(max_size),
        prune_(prune),
        limits_(limits),
        worker_(worker),
        node_(gram),
        cell_(gram, exact, overall),
        scores_(static_cast<size_t>(gram.n)) {}

  CriticalFaceList found;

  double origin_radius() const { return cell_.origin_radius(); }

  // {i} and all {i, j}, j > i; returns the j below whose pair the search must go on.
  std::vector<ptrdiff_t> singles_and_pairs(ptrdiff_t i) {
    std::vector<ptrdiff_t> open;
    node_.start(i);
    judge();
    for (ptrdiff_t j = i + 1; max_size_ >= 2 && j < gram_.n && !limits_.check(worker_, calls_);
         ++j) {
      if (!push(j)) continue;
      if (judge() && max_size_ >= 3 && may_grow(nullptr)) open.push_back(j);
      pop();
    }
    return open;
  }

  // All supersets of {i, j} by candidates above j.
  void descend_from(ptrdiff_t i, ptrdiff_t j, const std::vector<std::vector<ptrdiff_t>>& above) {
    node_.start(i);
    if (!push(j)) return;
    std::vector<ptrdiff_t> candidates;
    intersect(above[static_cast<size_t>(i)], above[static_cast<size_t>(j)], candidates);
    if (!candidates.empty() && may_grow(&candidates)) descend(candidates, above);
    pop();
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
      if (!push(m)) continue;
      if (judge() && size() < max_size_) {
        intersect(candidates, above[static_cast<size_t>(m)], next);
        if (!next.empty() && may_grow(&next)) descend(next, above);
      }
      pop();
    }
  }

  // The set is that of the node and, beside it, of patterns so near to its hull that double
  // precision cannot hold them: whatever contains the set contains the node.
  bool may_grow(std::vector<ptrdiff_t>* candidates) {
    return !prune_ || cell_.may_hold(node_, candidates);
  }

  ptrdiff_t size() const { return node_.size() + static_cast<ptrdiff_t>(nearby_.size()); }

  std::vector<ptrdiff_t> members() const {
    std::vector<ptrdiff_t> all = node_.members();
    all.insert(all.end(), nearby_.begin(), nearby_.end());
    std::sort(all.begin(), all.end());
    return all;
  }

  // False if the pattern depends on the set.
  bool push(ptrdiff_t m) {
    on_node_.push_back(node_.push(m));
    if (on_node_.back()) return true;
    nearby_.push_back(m);
    if (exact_.dependence(members()) != ExactFace::Kind::dependent) return true;
    pop();
    return false;
  }

  void pop() {
    if (on_node_.back())
      node_.pop();
    else
      nearby_.pop_back();
    on_node_.pop_back();
  }

  // Records the set if it is critical or tied; false if it turns out to be dependent.
  bool judge() {
    if (!nearby_.empty()) return judge_exact();
    judge_node();
    return true;
  }

  void judge_node() {
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
    // Signs may be plain where weights are not: these are refined, too.
    constexpr double kAccurate = 1e-10;
    if (least > weight_error && c - outside > error && weight_error < kAccurate)
      record(c - outside);
    // A set that spans everything has its point at the origin, where all patterns tie: a centre,
    // unless it holds all of them.
    else if (!gram_.no_offsets || size() <= gram_.dim || size() == gram_.n)
      judge_refined();
  }

  void judge_refined() {
    const RefinedFace face = refine(gram_, node_);
    const double least = *std::min_element(face.weights.begin(), face.weights.end());
    double outside = -HUGE_VAL;
    for (ptrdiff_t k = 0; k < gram_.n; ++k)
      if (!is_member(k)) outside = std::max(outside, face.excess[static_cast<size_t>(k)]);
    if (least < -face.weight_error || outside > face.score_error) return;
    p_ = face.weights;
    if (least > face.weight_error && outside < -face.score_error)
      record(-outside);
    else
      judge_exact();
  }

  bool judge_exact() {
    const std::vector<ptrdiff_t> set = members();
    const ExactFace face = exact_.solve(set);
    if (face.kind == ExactFace::Kind::dependent) return false;
    if (face.kind == ExactFace::Kind::too_large) {
      record_undecided(set);
      return true;
    }
    const double least = *std::min_element(face.weights.begin(), face.weights.end());
    double outside = -HUGE_VAL;
    for (ptrdiff_t k = 0; k < gram_.n; ++k)
      if (!std::binary_search(set.begin(), set.end(), k))
        outside = std::max(outside, face.excess[static_cast<size_t>(k)]);
    if (least < 0 || outside > 0) return true;
    p_ = face.weights;
    if (least > 0 && outside < 0)
      record(-outside);
    else if (!gram_.no_offsets || face.score != 0)
      record_tied(set, face);
    return true;
  }

  bool is_member(ptrdiff_t k) const {
    const auto& members = node_.members();
    return std::find(members.begin(), members.end(), k) != members.end();
  }

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
    const std::vector<ptrdiff_t> set = members();
    found.indices.insert(found.indices.end(), set.begin(), set.end());
    found.weights.insert(found.weights.end(), p_.begin(), p_.end());
    found.gaps.push_back(gap);
    found.first.push_back(static_cast<std::int64_t>(found.indices.size()));
  }

  void record_tied(const std::vector<ptrdiff_t>& set, const ExactFace& face) {
    std::vector<std::int64_t> active;
    std::vector<double> weights;
    for (ptrdiff_t k = 0; k < gram_.n; ++k) {
      const auto place = std::lower_bound(set.begin(), set.end(), k);
      const bool inside = place != set.end() && *place == k;
      if (!inside && face.excess[static_cast<size_t>(k)] < 0) continue;
      active.push_back(k);
      weights.push_back(inside ? face.weights[static_cast<size_t>(place - set.begin())] : 0.0);
    }
    found.tied.push_back(std::move(active));
    found.tied_weights.push_back(std::move(weights));
  }

  // Nothing but their mean is known of such patterns.
  void record_undecided(const std::vector<ptrdiff_t>& set) {
    found.tied.emplace_back(set.begin(), set.end());
    found.tied_weights.emplace_back(set.size(), 1 / static_cast<double>(set.size()));
  }

  const PatternGram& gram_;
  ExactFaces& exact_;
  const ptrdiff_t max_size_;
  const bool prune_;
  Limits& limits_;
  const int worker_;
  FaceNode node_;
  std::vector<ptrdiff_t> nearby_;
  std::vector<bool> on_node_;  // where each pattern but the first went
  PowerCell cell_;
  std::vector<double> p_, scores_;
  unsigned calls_ = 0;
};

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
  Limits limits(options, execution);
  // The calling thread may wait for the others: it must tell them.
  Execution polled = execution;
  if (execution.stop_requested)
    polled.stop_requested = [&] {
      if (!execution.stop_requested()) return false;
      limits.interrupt();
      return true;
    };
  std::vector<CriticalFaceList> parts;
  std::int64_t count = 0;

  // Tasks in blocks, so that max_count stops at the same place for every number of threads.
  const auto run = [&](ptrdiff_t tasks, ptrdiff_t block, bool first_pass, const auto& task) {
    const size_t base = parts.size();
    parts.resize(base + static_cast<size_t>(tasks));
    for (ptrdiff_t begin = 0; begin < tasks && !limits.stopped(); begin += block) {
      const ptrdiff_t size = std::min(block, tasks - begin);
      try {
        parallel_for(size, polled, [&](ptrdiff_t index, int worker) {
          if (limits.stopped()) return;
          Searcher searcher(gram, exact, overall, max_size, prune, limits, worker);
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
  for (const CriticalFaceList& part : parts)
    list.origin_radius = std::max(list.origin_radius, std::ldexp(part.origin_radius, exponent));
  list.complete = list.complete && !limits.stopped();
  list.interrupted = limits.interrupted();
  return list;
}

}  // namespace hopfix
