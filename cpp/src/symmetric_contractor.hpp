// Boxes of weights up to the exchange of patterns, for CellSearch.
//
// Every fixed point can be brought by exchanges into a fundamental domain: in every class of
// exchangeable patterns (exchangeable.hpp) the first k weights are u, the others v, u > 1/kappa >
// v, or all are equal. There, equal weights count as one (weight_form.hpp), and few unknowns are
// left. A class is `open` until its k is chosen: a box then asks nothing of the order of its
// weights, so that it holds, with a fixed point, all the images under exchanges in the open
// classes. A box is halved by choosing k for an open class, by weights when none is open.
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "archive.hpp"
#include "exchangeable.hpp"
#include "weight_contractor.hpp"

namespace hopfix {

class SymmetricContractor {
 public:
  struct GroupedForm {
    PatternGroups groups;  // of equal weights
    WeightForm form;
  };
  struct Box {
    // Per class k, which is its size where all its weights are equal; 0 while it is open.
    std::vector<std::ptrdiff_t> above;
    // Where first < last, k of the first open class is among them.
    std::ptrdiff_t first = 0, last = 0;
    std::shared_ptr<const GroupedForm> form;
    WeightBox weights;
  };
  using Workspace = WeightContractor::Workspace;

  // Keeps references.
  SymmetricContractor(const Network<double>& network, const ScaledGram& gram,
                      const std::vector<ExchangeableClass>& classes)
      : network_(network), gram_(gram), classes_(classes) {}

  Box whole() const;
  bool contract(Box& box, Workspace& work) const;
  std::optional<std::pair<Box, Box>> halves(const Box& box, const Workspace& work) const;
  double width(const Box& box) const { return box.weights.width(); }
  std::vector<double> middle(const Box& box) const;
  double reach(const Box& box, const std::vector<double>& state) const;
  void write(const Box& box, Writer& writer) const;
  Box read(Reader& reader) const;

 private:
  std::size_t first_open(const Box& box) const;
  std::pair<std::ptrdiff_t, std::ptrdiff_t> unequal(const Box& box, std::size_t c) const;
  bool close_equal(Box& box) const;
  void close(Box& box, std::size_t c, std::ptrdiff_t above) const;
  Box part(const Box& box, std::size_t c, std::ptrdiff_t first, std::ptrdiff_t last) const;
  PatternGroups groups(const std::vector<std::ptrdiff_t>& above) const;
  WeightBox of_all_patterns(const Box& box) const;

  const Network<double>& network_;
  const ScaledGram& gram_;
  const std::vector<ExchangeableClass>& classes_;
};

}  // namespace hopfix
