// What a proof by supports (support_search.hpp) is about: read by all threads.
#pragma once

#include <cstddef>
#include <unordered_map>
#include <vector>

#include "hopfix/certificate.hpp"
#include "hopfix/network.hpp"
#include "pattern_gram.hpp"
#include "support_bound.hpp"
#include "support_region.hpp"

namespace hopfix {

using Members = std::vector<std::ptrdiff_t>;

struct MembersHash {
  std::size_t operator()(const Members& members) const {
    std::size_t hash = members.size();
    for (const std::ptrdiff_t i : members)
      hash = (hash ^ static_cast<std::size_t>(i)) * std::size_t{0x9e3779b97f4a7c15} + 0x7f4a7c15;
    return hash;
  }
};

struct SupportProblem {
  // Keeps references. 24 n^2 bytes. Throws Interrupted.
  SupportProblem(const Network<double>& given, const std::vector<double>& known_states,
                 const std::vector<Certificate>& known_certificates, bool single,
                 const Execution& execution);

  const Network<double>& network;
  const std::vector<double>& states;  // of known points, count x dim
  const std::vector<Certificate>& certificates;
  const SupportForm form;
  const Certifier certifier;
  const PatternGram gram;
  const bool single_precision;
  double share = 0, log_share = 0;  // eta, and an upper bound of log(1 / eta); if form.in_range()
  std::vector<ClearBall> clear;
  std::unordered_map<Members, std::vector<std::size_t>, MembersHash> known;  // points by support

  const double* state(std::size_t i) const {
    return states.data() + static_cast<std::ptrdiff_t>(i) * network.dim();
  }

 private:
  void choose_share();
  void choose_clear_balls();
  void index_known_points();
};

}  // namespace hopfix
