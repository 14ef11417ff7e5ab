// Candidates for the numbers nu of support_search.hpp, which bound supports.
#pragma once

#include "face_node.hpp"

namespace hopfix {

// The quadratic programme min |xi|^2 / 2 - c over V_J by the dual active-set method: pattern sets
// S = J and W, weights free on J and <= 0 on W; the most violated score joins W, and members of W
// whose weight reaches 0 leave.
class SupportMultipliers {
 public:
  explicit SupportMultipliers(const PatternGram& gram)
      : gram_(gram), node_(gram), scores_(static_cast<std::size_t>(gram.n)) {}

  // Whether one of the weights met on the way, free on the first start.size() members and, to
  // rounding, <= 0 on the others, proves something: proves(members, weights).
  template <class Proves>
  bool meets(const FaceNode& start, const Proves& proves) {
    const std::size_t fixed = start.members().size();
    node_ = start;
    node_.weights(p_);
    for (int step = 0; step < 100; ++step) {
      if (proves(node_.members(), p_)) return true;
      if (at_origin()) return false;
      const std::ptrdiff_t k = most_violated();
      if (k < 0) return false;
      ray_ = false;
      if (!admit(k, fixed)) return ray_ && ray_meets(k, proves);
    }
    return false;
  }

 private:
  // Along a direction in which the bound grows for ever.
  template <class Proves>
  bool ray_meets(std::ptrdiff_t k, const Proves& proves) {
    std::vector<std::ptrdiff_t> members = node_.members();
    members.push_back(k);
    const std::vector<double> start = p_;
    for (double step = 4 * gram_.scale / violation_; step < 1e9; step *= 8) {
      p_ = start;
      for (std::size_t i = 0; i < p_.size(); ++i) p_[i] += step * mu_[i];
      p_.push_back(-step);
      if (proves(members, p_)) return true;
    }
    return false;
  }

  double absolute_sum() const {
    double sum = 0;
    for (const double weight : p_) sum += std::abs(weight);
    return sum;
  }

  // p . (G p)
  double square() const {
    double sum = 0;
    for (std::size_t i = 0; i < p_.size(); ++i)
      for (std::size_t j = 0; j < p_.size(); ++j)
        sum += p_[i] * p_[j] * gram_(node_.members()[i], node_.members()[j]);
    return sum;
  }

  bool at_origin() const {
    if (!gram_.no_offsets) return false;
    const double sum = absolute_sum();
    return square() <= 1e-14 * gram_.scale * sum * sum;
  }

  std::ptrdiff_t most_violated() {
    add_scores(gram_, node_.members(), p_, 0, gram_.n, scores_.data());
    const double c = scores_[static_cast<std::size_t>(node_.members()[0])];
    for (const std::ptrdiff_t i : node_.members()) scores_[static_cast<std::size_t>(i)] = -HUGE_VAL;
    const auto most = std::max_element(scores_.begin(), scores_.end());
    violation_ = *most - c;
    return violation_ > node_.score_error(absolute_sum()) ? most - scores_.begin() : -1;
  }

  // Lets k join; false if the search is over, with outcome_ its result.
  bool admit(std::ptrdiff_t k, std::size_t fixed) {
    double own = 0, left = violation_;
    while (true) {
      const double distance = node_.project(k, mu_);
      const bool dependent = !(distance > kDependent * gram_.scale);
      std::size_t blocking = 0;
      double step = dependent ? HUGE_VAL : left / distance;
      for (std::size_t l = fixed; l < p_.size(); ++l)
        if (mu_[l] > 0 && -p_[l] / mu_[l] < step) {
          step = -p_[l] / mu_[l];
          blocking = l;
        }
      if (step == HUGE_VAL) {
        ray_ = true;
        return false;
      }
      for (std::size_t i = 0; i < p_.size(); ++i) p_[i] += step * mu_[i];
      own -= step;
      if (blocking == 0) {
        if (!node_.push(k)) {
          return false;
        }
        p_.push_back(own);
        return true;
      }
      left -= step * distance;
      remove(blocking);
    }
  }

  void remove(std::size_t which) {
    std::vector<std::ptrdiff_t> members = node_.members();
    members.erase(members.begin() + static_cast<std::ptrdiff_t>(which));
    p_.erase(p_.begin() + static_cast<std::ptrdiff_t>(which));
    node_.start(members[0]);
    for (std::size_t i = 1; i < members.size(); ++i) node_.push(members[i]);
  }

  const PatternGram& gram_;
  FaceNode node_;
  std::vector<double> p_, mu_, scores_;
  double violation_ = 0;
  bool ray_ = false;  // whether it ended along a direction without bound
};

}  // namespace hopfix
