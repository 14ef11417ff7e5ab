// Depth-first search for critical faces: which sets are visited, and what is said of each.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>

#include "hopfix/critical_faces.hpp"
#include "power_cell.hpp"
#include "refined_face.hpp"
#include "shared_stop.hpp"

namespace hopfix {

// When to stop, for all threads.
class FaceLimits {
 public:
  FaceLimits(const CriticalFaceOptions& options, const Execution& execution)
      : options_(options), user_stop_(execution), start_(std::chrono::steady_clock::now()) {}

  // For loops over searches.
  const Execution& execution() const { return user_stop_.execution(); }

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
      const double seconds =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
      if (seconds > options_.time_limit) stop();
      if (user_stop_.requested(worker)) interrupt();
    }
    return stopped();
  }

 private:
  const CriticalFaceOptions& options_;
  SharedStop user_stop_;
  std::chrono::steady_clock::time_point start_;
  std::atomic<bool> stop_{false}, interrupted_{false};
};

// Depth-first search below given sets, collecting what is found.
class FaceSearcher {
 public:
  FaceSearcher(const PatternGram& gram, ExactFaces& exact, double overall, std::ptrdiff_t max_size,
               bool prune, FaceLimits& limits, int worker)
      : gram_(gram),
        exact_(exact),
        max_size_(max_size),
        prune_(prune),
        limits_(limits),
        worker_(worker),
        node_(gram),
        cell_(gram, exact, overall),
        scores_(static_cast<std::size_t>(gram.n)) {}

  CriticalFaceList found;

  double origin_radius() const { return cell_.origin_radius(); }

  // {i} and all {i, j}, j > i; returns the j below whose pair the search must go on.
  std::vector<std::ptrdiff_t> singles_and_pairs(std::ptrdiff_t i) {
    std::vector<std::ptrdiff_t> open;
    node_.start(i);
    judge();
    for (std::ptrdiff_t j = i + 1; max_size_ >= 2 && j < gram_.n && !limits_.check(worker_, calls_);
         ++j) {
      if (!push(j)) continue;
      if (judge() && max_size_ >= 3 && may_grow(nullptr)) open.push_back(j);
      pop();
    }
    return open;
  }

  // All supersets of {i, j} by candidates above j.
  void descend_from(std::ptrdiff_t i, std::ptrdiff_t j,
                    const std::vector<std::vector<std::ptrdiff_t>>& above) {
    node_.start(i);
    if (!push(j)) return;
    std::vector<std::ptrdiff_t> candidates;
    intersect(above[static_cast<std::size_t>(i)], above[static_cast<std::size_t>(j)], candidates);
    if (!candidates.empty() && may_grow(&candidates)) descend(candidates, above);
    pop();
  }

 private:
  static void intersect(const std::vector<std::ptrdiff_t>& a, const std::vector<std::ptrdiff_t>& b,
                        std::vector<std::ptrdiff_t>& out) {
    out.clear();
    std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(out));
  }

  void descend(const std::vector<std::ptrdiff_t>& candidates,
               const std::vector<std::vector<std::ptrdiff_t>>& above) {
    std::vector<std::ptrdiff_t> next;
    for (const std::ptrdiff_t m : candidates) {
      if (limits_.check(worker_, calls_)) return;
      if (!push(m)) continue;
      if (judge() && size() < max_size_) {
        intersect(candidates, above[static_cast<std::size_t>(m)], next);
        if (!next.empty() && may_grow(&next)) descend(next, above);
      }
      pop();
    }
  }

  // The set is that of the node and, beside it, of patterns so near to its hull that double
  // precision cannot hold them: whatever contains the set contains the node.
  bool may_grow(std::vector<std::ptrdiff_t>* candidates) {
    return !prune_ || cell_.may_hold(node_, candidates);
  }

  std::ptrdiff_t size() const { return node_.size() + static_cast<std::ptrdiff_t>(nearby_.size()); }

  std::vector<std::ptrdiff_t> members() const {
    std::vector<std::ptrdiff_t> all = node_.members();
    all.insert(all.end(), nearby_.begin(), nearby_.end());
    std::sort(all.begin(), all.end());
    return all;
  }

  // False if the pattern depends on the set.
  bool push(std::ptrdiff_t m) {
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
    for (std::ptrdiff_t k = 0; k < gram_.n; ++k)
      if (!is_member(k)) outside = std::max(outside, face.excess[static_cast<std::size_t>(k)]);
    if (least < -face.weight_error || outside > face.score_error) return;
    p_ = face.weights;
    if (least > face.weight_error && outside < -face.score_error)
      record(-outside);
    else
      judge_exact();
  }

  bool judge_exact() {
    const std::vector<std::ptrdiff_t> set = members();
    const ExactFace face = exact_.solve(set);
    if (face.kind == ExactFace::Kind::dependent) return false;
    if (face.kind == ExactFace::Kind::too_large) {
      record_undecided(set);
      return true;
    }
    const double least = *std::min_element(face.weights.begin(), face.weights.end());
    double outside = -HUGE_VAL;
    for (std::ptrdiff_t k = 0; k < gram_.n; ++k)
      if (!std::binary_search(set.begin(), set.end(), k))
        outside = std::max(outside, face.excess[static_cast<std::size_t>(k)]);
    if (least < 0 || outside > 0) return true;
    p_ = face.weights;
    if (least > 0 && outside < 0)
      record(-outside);
    else if (!gram_.no_offsets || face.score != 0)
      record_tied(set, face);
    return true;
  }

  bool is_member(std::ptrdiff_t k) const {
    const auto& members = node_.members();
    return std::find(members.begin(), members.end(), k) != members.end();
  }

  // The members' score c and the largest outside; false as soon as one is surely above c.
  bool scan(double error, double& c, double& outside) {
    for (std::size_t i = 0; i < p_.size(); ++i) {
      const std::ptrdiff_t member = node_.members()[i];
      double score = gram_.offset(member);
      for (std::size_t j = 0; j < p_.size(); ++j)
        score += p_[j] * gram_(node_.members()[j], member);
      c += p_[i] * score;
    }
    constexpr std::ptrdiff_t kBlock = 128;
    for (std::ptrdiff_t begin = 0; begin < gram_.n; begin += kBlock) {
      const std::ptrdiff_t end = std::min(gram_.n, begin + kBlock);
      add_scores(gram_, node_.members(), p_, begin, end, scores_.data());
      for (const std::ptrdiff_t member : node_.members())
        if (begin <= member && member < end) scores_[static_cast<std::size_t>(member)] = -HUGE_VAL;
      for (std::ptrdiff_t k = begin; k < end; ++k)
        outside = std::max(outside, scores_[static_cast<std::size_t>(k)]);
      if (outside > c + error) return false;
    }
    return true;
  }

  void record(double gap) {
    const std::vector<std::ptrdiff_t> set = members();
    found.indices.insert(found.indices.end(), set.begin(), set.end());
    found.weights.insert(found.weights.end(), p_.begin(), p_.end());
    found.gaps.push_back(gap);
    found.first.push_back(static_cast<std::int64_t>(found.indices.size()));
  }

  void record_tied(const std::vector<std::ptrdiff_t>& set, const ExactFace& face) {
    std::vector<std::int64_t> active;
    std::vector<double> weights;
    for (std::ptrdiff_t k = 0; k < gram_.n; ++k) {
      const auto place = std::lower_bound(set.begin(), set.end(), k);
      const bool inside = place != set.end() && *place == k;
      if (!inside && face.excess[static_cast<std::size_t>(k)] < 0) continue;
      active.push_back(k);
      weights.push_back(inside ? face.weights[static_cast<std::size_t>(place - set.begin())] : 0.0);
    }
    found.tied.push_back(std::move(active));
    found.tied_weights.push_back(std::move(weights));
  }

  // Nothing but their mean is known of such patterns.
  void record_undecided(const std::vector<std::ptrdiff_t>& set) {
    found.tied.emplace_back(set.begin(), set.end());
    found.tied_weights.emplace_back(set.size(), 1 / static_cast<double>(set.size()));
  }

  const PatternGram& gram_;
  ExactFaces& exact_;
  const std::ptrdiff_t max_size_;
  const bool prune_;
  FaceLimits& limits_;
  const int worker_;
  FaceNode node_;
  std::vector<std::ptrdiff_t> nearby_;
  std::vector<bool> on_node_;  // where each pattern but the first went
  PowerCell cell_;
  std::vector<double> p_, scores_;
  unsigned calls_ = 0;
};

}  // namespace hopfix
