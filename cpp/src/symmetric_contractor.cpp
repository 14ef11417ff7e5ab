#include "symmetric_contractor.hpp"

#include <algorithm>
#include <cmath>

#include "hopfix/interval.hpp"

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;

// Bounds of one weight.
struct Bounds {
  double lo = 0, hi = 1, log_lo = -kInfinity, log_hi = 0;

  static Bounds of(const WeightBox& box, ptrdiff_t i) {
    return {box.lo()[i], box.hi()[i], box.log_lo()[i], box.log_hi()[i]};
  }
  void meet(const Bounds& other) {
    lo = std::max(lo, other.lo);
    hi = std::min(hi, other.hi);
    log_lo = std::max(log_lo, other.log_lo);
    log_hi = std::min(log_hi, other.log_hi);
  }
  // Of the sum of so many equal weights.
  Bounds times(double count) const {
    return {rounded::multiply_down(count, lo), rounded::multiply_up(count, hi),
            rounded::add_down(log_lo, log_down(count)), rounded::add_up(log_hi, log_up(count))};
  }
  // Afterwards both kinds agree as WeightContractor expects.
  void put(WeightBox& box, ptrdiff_t i) {
    lo = std::max(lo, exp_down(log_lo));
    hi = std::min({hi, exp_up(log_hi), 1.0});
    box.lo()[i] = lo;
    box.hi()[i] = hi;
    box.log_lo()[i] = std::max(log_lo, log_down(lo));
    box.log_hi()[i] = std::min(log_hi, log_up(hi));
  }
};

}  // namespace

// By the first member. Open classes count pattern by pattern.
PatternGroups SymmetricContractor::groups(const std::vector<ptrdiff_t>& above) const {
  const ptrdiff_t n = network_.size();
  std::vector<ptrdiff_t> leader(static_cast<size_t>(n));
  for (ptrdiff_t i = 0; i < n; ++i) leader[static_cast<size_t>(i)] = i;
  for (size_t c = 0; c < classes_.size(); ++c) {
    const auto& members = classes_[c].members;
    if (above[c] == 0) continue;
    for (size_t a = 0; a < members.size(); ++a)
      leader[static_cast<size_t>(members[a])] =
          members[static_cast<ptrdiff_t>(a) < above[c] ? 0 : static_cast<size_t>(above[c])];
  }
  PatternGroups result;
  std::vector<size_t> place(static_cast<size_t>(n));
  for (ptrdiff_t i = 0; i < n; ++i) {
    const auto first = static_cast<size_t>(leader[static_cast<size_t>(i)]);
    if (leader[static_cast<size_t>(i)] == i) {
      place[first] = result.size();
      result.emplace_back();
    }
    result[place[first]].push_back(i);
  }
  return result;
}

SymmetricContractor::Box SymmetricContractor::whole() const {
  std::vector<ptrdiff_t> above;
  for (const ExchangeableClass& c : classes_) above.push_back(c.identical ? c.size() : 0);
  PatternGroups all = groups(above);
  const auto count = static_cast<ptrdiff_t>(all.size());
  WeightForm form(network_, gram_, all);
  return {std::move(above), 0, 0,
          std::make_shared<const GroupedForm>(GroupedForm{std::move(all), std::move(form)}),
          WeightBox(count)};
}

bool SymmetricContractor::contract(Box& box, Workspace& work) const {
  if (box.first < box.last) return true;  // its weights have been contracted
  do {
    if (!WeightContractor(network_, box.form->form).contract(box.weights, work)) return false;
  } while (close_equal(box));
  return true;
}

size_t SymmetricContractor::first_open(const Box& box) const {
  return static_cast<size_t>(std::find(box.above.begin(), box.above.end(), 0) - box.above.begin());
}

// The k from 1 to size - 1 that the box leaves to an open class; first > last if none. k weights
// are above 1/kappa, and their sum is at most 1.
std::pair<ptrdiff_t, ptrdiff_t> SymmetricContractor::unequal(const Box& box, size_t c) const {
  const ExchangeableClass& open = classes_[c];
  const Interval threshold = open.threshold();
  ptrdiff_t surely = 0, possibly = 0;
  for (size_t g = 0; g < box.form->groups.size(); ++g) {
    const ptrdiff_t i = box.form->groups[g].front();
    if (!std::binary_search(open.members.begin(), open.members.end(), i)) continue;
    surely += box.weights.lo()[g] > threshold.hi;
    possibly += box.weights.hi()[g] >= threshold.lo;
  }
  possibly = std::min(possibly, open.size() - 1);
  while (possibly > 0 && rounded::multiply_down(static_cast<double>(possibly), threshold.lo) > 1)
    --possibly;
  return {std::max(surely, ptrdiff_t{1}), possibly};
}

// Closes the open classes that have only equal weights left; whether there were any.
bool SymmetricContractor::close_equal(Box& box) const {
  bool any = false;
  for (size_t c = 0; c < classes_.size(); ++c) {
    if (box.above[c] != 0) continue;
    const auto [first, last] = unequal(box, c);
    if (first <= last) continue;
    close(box, c, classes_[c].size());
    any = true;
  }
  return any;
}

void SymmetricContractor::close(Box& box, size_t c, ptrdiff_t above) const {
  const std::shared_ptr<const GroupedForm> before = box.form;
  std::vector<ptrdiff_t> place(static_cast<size_t>(network_.size()));  // of a pattern's group
  for (size_t g = 0; g < before->groups.size(); ++g)
    for (const ptrdiff_t i : before->groups[g])
      place[static_cast<size_t>(i)] = static_cast<ptrdiff_t>(g);

  box.first = box.last = 0;
  box.above[c] = above;
  PatternGroups now = groups(box.above);
  WeightBox weights(static_cast<ptrdiff_t>(now.size()));
  const auto& members = classes_[c].members;
  for (size_t g = 0; g < now.size(); ++g) {
    const auto& group = now[g];
    const auto to = static_cast<ptrdiff_t>(g);
    Bounds bounds = Bounds::of(box.weights, place[static_cast<size_t>(group.front())]);
    if (std::binary_search(members.begin(), members.end(), group.front())) {
      for (const ptrdiff_t i : group)
        bounds.meet(Bounds::of(box.weights, place[static_cast<size_t>(i)]));
      if (above < classes_[c].size()) {
        if (group.front() == members.front())
          bounds.lo = std::max(bounds.lo, classes_[c].threshold().lo);
        else
          bounds.hi = std::min(bounds.hi, classes_[c].threshold().hi);
      }
      bounds = bounds.times(static_cast<double>(group.size()));
    }
    bounds.put(weights, to);
  }
  WeightForm form(network_, gram_, now);
  box.form = std::make_shared<const GroupedForm>(GroupedForm{std::move(now), std::move(form)});
  box.weights = std::move(weights);
}

SymmetricContractor::Box SymmetricContractor::part(const Box& box, size_t c, ptrdiff_t first,
                                                   ptrdiff_t last) const {
  Box result = box;
  result.first = first;
  result.last = last;
  if (first == last) close(result, c, first);
  return result;
}

std::optional<std::pair<SymmetricContractor::Box, SymmetricContractor::Box>>
SymmetricContractor::halves(const Box& box, const Workspace& work) const {
  const size_t c = first_open(box);
  if (c == classes_.size()) {
    auto parts = WeightContractor(network_, box.form->form).halves(box.weights, work);
    if (!parts) return std::nullopt;
    std::pair<Box, Box> result{box, box};
    result.first.weights = std::move(parts->first);
    result.second.weights = std::move(parts->second);
    return result;
  }
  if (box.first < box.last) {
    const ptrdiff_t middle = (box.first + box.last) / 2;
    return std::pair{part(box, c, box.first, middle), part(box, c, middle + 1, box.last)};
  }
  const auto [first, last] = unequal(box, c);
  const ptrdiff_t all = classes_[c].size();
  return std::pair{part(box, c, all, all), part(box, c, first, last)};
}

// Pattern by pattern.
WeightBox SymmetricContractor::of_all_patterns(const Box& box) const {
  WeightBox result(network_.size());
  for (size_t g = 0; g < box.form->groups.size(); ++g) {
    const auto from = static_cast<ptrdiff_t>(g);
    const auto count = static_cast<double>(box.form->groups[g].size());
    for (const ptrdiff_t i : box.form->groups[g]) {
      result.lo()[i] = rounded::divide_down(box.weights.lo()[from], count);
      result.hi()[i] = rounded::divide_up(box.weights.hi()[from], count);
    }
  }
  return result;
}

std::vector<double> SymmetricContractor::middle(const Box& box) const {
  return middle_state(network_, of_all_patterns(box));
}

double SymmetricContractor::reach(const Box& box, const std::vector<double>& state) const {
  return reach_from(network_, of_all_patterns(box), state);
}

void SymmetricContractor::write(const Box& box, Writer& writer) const {
  writer.put(box.above);
  writer.put(box.first);
  writer.put(box.last);
  writer.put(box.weights.bounds());
}

SymmetricContractor::Box SymmetricContractor::read(Reader& reader) const {
  auto above = reader.list<ptrdiff_t>();
  const auto first = reader.get<ptrdiff_t>(), last = reader.get<ptrdiff_t>();
  PatternGroups now = groups(above);
  WeightForm form(network_, gram_, now);
  return {std::move(above), first, last,
          std::make_shared<const GroupedForm>(GroupedForm{std::move(now), std::move(form)}),
          WeightBox(reader.list<double>())};
}

}  // namespace hopfix
