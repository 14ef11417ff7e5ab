// The branch and bound of cells.hpp, for any contractor of boxes.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "hopfix/cells.hpp"
#include "hopfix/interval.hpp"
#include "hopfix/parallel.hpp"
#include "hopfix/rounding.hpp"
#include "portion_kinds.hpp"

namespace hopfix {

// Moves `state` to where Newton's method leads; whether f nearly has a fixed point there, an
// eigenvalue of J is 1 or nearly so, and no certificate can be had, unless even_certified.
bool leads_to_degenerate(const Network<double>& network, const Certifier& certifier,
                         std::vector<double>& state, bool even_certified,
                         Certifier::Workspace& work);

// Makes one region of degenerate ones whose states are within `nearby` of each other.
void merge_regions(std::ptrdiff_t dim, double nearby, std::vector<UndecidedRegion>& regions);

// Ascending by place, so that what is made of the points and regions does not depend on the order
// in which they were found.
void sort_by_place(std::ptrdiff_t dim, CellList& list);

// Removes certified points that are proved to be others of the list once more, and reports pairs
// for which neither that nor the contrary can be proved. O(count log count) for points in general
// position.
void resolve_duplicates(std::ptrdiff_t dim, CellList& list);

// Leaves the first max_count points, and reports the others as undecided.
void truncate(std::ptrdiff_t dim, std::int64_t max_count, CellList& list);

// Contractor: a form of the equations with its boxes, as WeightContractor and HullContractor.
// `Box whole() const` holds all fixed points; `bool contract(Box&, Workspace&) const` is false for
// a box without any; `halves(const Box&, const Workspace&) const` are two boxes that cover one just
// contracted, or nothing; all depend on nothing but the box. `width`, `middle` and `reach` of a box
// tell its size, relative to that of the problem, a state in it, and how far from a state the fixed
// points in it can be; `write` and `read` turn it into bytes and back. Workspace is
// default-constructible, counts newton_steps and holds `stop`: where that says so, contract may
// throw Interrupted.
template <class Contractor>
class CellSearch {
 public:
  CellSearch(const Network<double>& network, const Contractor& contractor,
             const CellOptions& options, const Execution& execution)
      : network_(network),
        contractor_(contractor),
        options_(options),
        user_stop_(execution.stop_requested),
        execution_{execution.threads, [this] { return stop_now(); }, execution.team,
                   execution.delegate},
        certifier_(network),
        // No box shrinks below the rounding of the scores.
        smallest_(std::max(kSmallest, 64 * kUnitRoundoff * network.beta() *
                                          network.extent().radius * network.extent().radius)) {
    for (int t = 0; t < std::max(1, execution.threads); ++t)
      certificate_work_.push_back(certifier_.workspace());
    work_.resize(certificate_work_.size());
    for (std::size_t worker = 0; worker < work_.size(); ++worker)
      work_[worker].stop = [this, worker] { return stop_within_box(worker); };
  }

  CellList run() {
    waiting_.push_back({contractor_.whole(), 0});
    try {
      while (!waiting_.empty()) {
        if (const auto limit = limit_reached()) {
          give_up(*limit);
          break;
        }
        if (worth_delegating())
          delegate_round();
        else
          run_round();
        if (options_.progress)
          options_.progress(list_.boxes, list_.boxes + static_cast<std::int64_t>(waiting_.size()));
      }
    } catch (const Interrupted&) {
      give_up(out_of_time() ? UndecidedReason::time_limit : UndecidedReason::interrupted);
    }
    for (const auto& work : work_) list_.newton_steps += work.newton_steps;
    sort_by_place(network_.dim(), list_);
    // Newton finds a degenerate point to no more than the cube root of rounding.
    merge_regions(network_.dim(), 1e-3 * network_.extent().radius, list_.undecided);
    resolve_duplicates(network_.dim(), list_);
    truncate(network_.dim(), options_.max_count, list_);
    list_.seconds = elapsed();
    return std::move(list_);
  }

  // Works on the nodes of a portion until max_boxes or the time is used up; what is left of them is
  // a part of the answer.
  std::string run_portion(Reader& portion) {
    read_nodes(portion);
    try {
      while (!waiting_.empty() && list_.boxes < options_.max_boxes && !stop_now()) run_round();
    } catch (const Interrupted&) {  // the nodes of the round are still waiting
    }
    Writer answer;
    answer.put(list_.boxes);
    for (const auto& work : work_) list_.newton_steps += work.newton_steps;
    answer.put(list_.newton_steps);
    answer.put(list_.depth);
    answer.put(list_.states);
    answer.put(list_.certificates);
    answer.put(list_.undecided.size());
    for (const UndecidedRegion& region : list_.undecided) write_region(region, answer);
    std::vector<const Node*> nodes;
    for (const Node& node : waiting_) nodes.push_back(&node);
    write_nodes(nodes, answer);
    return answer.take();
  }

 private:
  using Clock = std::chrono::steady_clock;
  // Boxes worked on between two looks at the list: fixed, so that results do not depend on threads.
  static constexpr std::ptrdiff_t kRound = 64;
  // From this width on a certificate is tried; at the smallest a box is given up.
  static constexpr double kSmall = 1e-5, kSmallest = 1e-10;
  // From this width on a box is given up if it lies this near a degenerate fixed point, in units
  // of the radius of the patterns: boxes around one have no end.
  static constexpr double kNear = 1e-2, kDegenerateReach = 0.05;
  // So many splits above a box, a point that is nearly degenerate counts even if it is certified:
  // its uniqueness ball is so small that the boxes around it would have no end either.
  static constexpr int kPatience = 40;

  using Box = typename Contractor::Box;

  struct Node {
    Box box;
    int depth;
  };
  // What became of a node: nothing (no fixed point), a certified point, a region that stays
  // undecided, or two halves.
  struct Outcome {
    std::optional<Certificate> certificate;
    std::vector<double> state;
    std::optional<UndecidedRegion> undecided;
    std::vector<Node> halves;
  };

  double elapsed() const { return std::chrono::duration<double>(Clock::now() - began_).count(); }
  bool out_of_time() const { return elapsed() > options_.time_limit; }
  bool stop_now() const {
    if (!stopped_ && (out_of_time() || (user_stop_ && user_stop_()))) stopped_ = true;
    return stopped_;
  }
  // Only the calling thread's worker, the first, may ask the caller.
  bool stop_within_box(std::size_t worker) const {
    return worker == 0 ? stop_now() : stopped_ || out_of_time();
  }

  std::optional<UndecidedReason> limit_reached() const {
    if (list_.size() >= options_.max_count) return UndecidedReason::count_limit;
    if (list_.boxes >= options_.max_boxes) return UndecidedReason::box_limit;
    if (out_of_time()) return UndecidedReason::time_limit;
    if (stop_now()) return UndecidedReason::interrupted;
    return std::nullopt;
  }

  // The last boxes of the list, and their halves in their place, in order.
  void run_round() {
    const auto count = static_cast<std::ptrdiff_t>(
        std::min({static_cast<std::int64_t>(waiting_.size()), std::int64_t{kRound},
                  options_.max_boxes - list_.boxes}));
    const auto first = waiting_.end() - count;
    std::vector<Outcome> outcomes(static_cast<std::size_t>(count));
    parallel_for(count, execution_, [&](std::ptrdiff_t i, int worker) {
      outcomes[static_cast<std::size_t>(i)] = examine(first[i], static_cast<std::size_t>(worker));
    });
    for (std::ptrdiff_t i = 0; i < count; ++i) list_.depth = std::max(list_.depth, first[i].depth);
    list_.boxes += count;
    waiting_.erase(first, waiting_.end());
    for (Outcome& outcome : outcomes) record(outcome);
  }

  // Boxes left for each portion of a round, or none if a round here is all there is to do.
  std::int64_t boxes_of_a_portion() const {
    // What a portion should take, and the least that is worth the way.
    constexpr double kSeconds = 0.5;
    constexpr std::int64_t kFewest = 64, kMost = 4096;
    const double spent = elapsed() / static_cast<double>(std::max<std::int64_t>(list_.boxes, 1));
    const auto wanted = static_cast<std::int64_t>(
        std::clamp(kSeconds / std::max(spent, 1e-9), double{kFewest}, double{kMost}));
    const std::int64_t share = (options_.max_boxes - list_.boxes) / kMostPortions;
    return share < kFewest ? 0 : std::min(wanted, share);
  }

  bool worth_delegating() const {
    return execution_.delegate && static_cast<std::ptrdiff_t>(waiting_.size()) >= kMostPortions &&
           boxes_of_a_portion() > 0;
  }

  // All nodes that wait, dealt out like cards, each with what is below it as far as that goes.
  void delegate_round() {
    const std::int64_t boxes = boxes_of_a_portion();
    std::vector<std::vector<const Node*>> hands(static_cast<std::size_t>(kMostPortions));
    for (std::size_t i = 0; i < waiting_.size(); ++i)
      hands[i % hands.size()].push_back(&waiting_[i]);
    std::vector<std::string> portions;
    for (const auto& hand : hands) {
      Writer portion = begin_portion(PortionKind::cells);
      portion.put(options_.form);
      portion.put(options_.symmetry);
      portion.put(options_.single_precision);
      portion.put(boxes);
      portion.put(options_.time_limit - elapsed());
      write_nodes(hand, portion);
      portions.push_back(portion.take());
    }
    // All nodes are still waiting if this throws.
    const std::vector<std::string> answers =
        ask_delegate(network_, execution_, std::move(portions));
    std::vector<Node> before;
    before.swap(waiting_);
    bool all = true;
    for (std::size_t h = 0; h < hands.size(); ++h) {
      if (!answers[h].empty()) {
        Reader answer(answers[h]);
        absorb(answer);
        continue;
      }
      all = false;
      for (std::size_t i = h; i < before.size(); i += hands.size())
        waiting_.push_back(std::move(before[i]));
    }
    if (!all) throw Interrupted();
  }

  void absorb(Reader& answer) {
    list_.boxes += answer.get<std::int64_t>();
    list_.newton_steps += answer.get<std::int64_t>();
    list_.depth = std::max(list_.depth, answer.get<int>());
    const auto states = answer.list<double>();
    const auto certificates = answer.list<Certificate>();
    list_.states.insert(list_.states.end(), states.begin(), states.end());
    list_.certificates.insert(list_.certificates.end(), certificates.begin(), certificates.end());
    for (auto left = answer.get<std::size_t>(); left > 0; --left)
      list_.undecided.push_back(read_region(answer));
    read_nodes(answer);
  }

  void write_nodes(const std::vector<const Node*>& nodes, Writer& writer) const {
    writer.put(nodes.size());
    for (const Node* node : nodes) {
      contractor_.write(node->box, writer);
      writer.put(node->depth);
    }
  }

  void read_nodes(Reader& reader) {
    for (auto left = reader.get<std::size_t>(); left > 0; --left) {
      Box box = contractor_.read(reader);
      waiting_.push_back({std::move(box), reader.get<int>()});
    }
  }

  void record(Outcome& outcome) {
    for (Node& half : outcome.halves) waiting_.push_back(std::move(half));
    if (outcome.undecided) list_.undecided.push_back(std::move(*outcome.undecided));
    if (!outcome.certificate) return;
    list_.states.insert(list_.states.end(), outcome.state.begin(), outcome.state.end());
    list_.certificates.push_back(*outcome.certificate);
  }

  void give_up(UndecidedReason reason) {
    list_.interrupted = reason == UndecidedReason::interrupted;
    for (const Node& node : waiting_) list_.undecided.push_back(middle_region(node.box, reason));
    waiting_.clear();
  }

  // Leaves the node as it was, so that a search cut short still knows it.
  Outcome examine(const Node& node, std::size_t worker) {
    if (!arithmetic_is_sound())
      throw std::runtime_error(
          "this thread does not round to nearest with gradual underflow: no proof is possible");
    Outcome outcome;
    Box box = node.box;
    if (!contractor_.contract(box, work_[worker])) return outcome;
    const double width = contractor_.width(box);
    if (width <= kSmall && certify(box, worker, outcome)) return outcome;
    if (width <= kNear) outcome.undecided = near_degenerate(box, node.depth > kPatience, worker);
    if (outcome.undecided || (width > smallest_ && split(box, node.depth, worker, outcome)))
      return outcome;
    outcome.undecided = near_degenerate(box, true, worker);
    if (!outcome.undecided) outcome.undecided = middle_region(box, UndecidedReason::precision);
    return outcome;
  }

  std::vector<double> middle(const Box& box) const {
    std::vector<double> state = contractor_.middle(box);
    if (options_.single_precision)
      for (double& value : state) value = static_cast<double>(static_cast<float>(value));
    return state;
  }

  bool certify(const Box& box, std::size_t worker, Outcome& outcome) const {
    std::vector<double> state = middle(box);
    const Certificate certificate = certifier_.certify(state.data(), *certificate_work_[worker]);
    if (!certificate.certified() ||
        !(contractor_.reach(box, state) < certificate.uniqueness_radius))
      return false;
    outcome.certificate = certificate;
    outcome.state = std::move(state);
    return true;
  }

  std::optional<UndecidedRegion> near_degenerate(const Box& box, bool even_certified,
                                                 std::size_t worker) const {
    std::vector<double> state = middle(box);
    if (!leads_to_degenerate(network_, certifier_, state, even_certified,
                             *certificate_work_[worker]))
      return std::nullopt;
    const double reach = contractor_.reach(box, state);
    if (!(reach <= kDegenerateReach * network_.extent().radius)) return std::nullopt;
    return UndecidedRegion{std::move(state), reach, UndecidedReason::degenerate};
  }

  UndecidedRegion middle_region(const Box& box, UndecidedReason reason) const {
    std::vector<double> state = middle(box);
    const double reach = contractor_.reach(box, state);
    return {std::move(state), reach, reason};
  }

  bool split(const Box& box, int depth, std::size_t worker, Outcome& outcome) const {
    auto halves = contractor_.halves(box, work_[worker]);
    if (!halves) return false;
    outcome.halves.push_back({std::move(halves->first), depth + 1});
    outcome.halves.push_back({std::move(halves->second), depth + 1});
    return true;
  }

  const Network<double>& network_;
  const Contractor& contractor_;
  const CellOptions& options_;
  const std::function<bool()> user_stop_;
  const Execution execution_;
  const Clock::time_point began_ = Clock::now();
  Certifier certifier_;
  double smallest_;
  mutable std::atomic<bool> stopped_{false};
  std::vector<decltype(certifier_.workspace())> certificate_work_;
  std::vector<typename Contractor::Workspace> work_;
  std::vector<Node> waiting_;
  CellList list_;
};

}  // namespace hopfix
