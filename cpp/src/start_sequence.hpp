// Which start comes at which place of the sequence of a search from many starts.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

namespace hopfix {

// Starts are weights on the patterns.
class StartSequence {
 public:
  StartSequence(std::ptrdiff_t n, std::ptrdiff_t rank, std::uint64_t seed)
      : n_(n),
        rank_(rank),
        seed_(seed),
        pairs_(n <= 64 ? n * (n - 1) / 2 : 0),
        faces_(n <= 12 ? (std::ptrdiff_t{1} << n) - 1 : 0) {}

  // The length of the part without chance.
  std::ptrdiff_t systematic() const { return 1 + n_ + pairs_ + faces_; }

  // Stored patterns are first followed by plain retrieval.
  bool is_pattern(std::ptrdiff_t index) const { return index >= 1 && index <= n_; }

  // Whether the start is first moved to the equilibrium of its face: all pairs and faces, and
  // every other random face.
  bool is_face(std::ptrdiff_t index) const {
    return index > n_ && (index < systematic() || index % 2 == 0);
  }

  void weights(std::ptrdiff_t index, std::vector<double>& p) const {
    p.assign(static_cast<std::size_t>(n_), 0.0);
    if (index == 0) return blend(p, 1.0);
    if ((index -= 1) < n_) return mix(p, {index});
    if ((index -= n_) < pairs_) return pair(index, p);
    if ((index -= pairs_) < faces_) return face(index + 1, p);
    random_face(index - faces_, p);
  }

 private:
  void mix(std::vector<double>& p, const std::vector<std::ptrdiff_t>& support) const {
    for (const std::ptrdiff_t i : support)
      p[static_cast<std::size_t>(i)] = 1.0 / static_cast<double>(support.size());
  }

  // Towards the mean of all patterns by the share `s`.
  void blend(std::vector<double>& p, double s) const {
    for (double& w : p) w = (1 - s) * w + s / static_cast<double>(n_);
  }

  void pair(std::ptrdiff_t index, std::vector<double>& p) const {
    std::ptrdiff_t i = 1;
    while (i * (i + 1) / 2 <= index) ++i;
    mix(p, {i, index - i * (i - 1) / 2});
  }

  void face(std::ptrdiff_t bits, std::vector<double>& p) const {
    std::vector<std::ptrdiff_t> support;
    for (std::ptrdiff_t i = 0; i < n_; ++i)
      if (bits >> i & 1) support.push_back(i);
    mix(p, support);
  }

  void random_face(std::ptrdiff_t index, std::vector<double>& p) const {
    std::seed_seq sequence{static_cast<std::uint32_t>(seed_),
                           static_cast<std::uint32_t>(seed_ >> 32),
                           static_cast<std::uint32_t>(index),
                           static_cast<std::uint32_t>(static_cast<std::uint64_t>(index) >> 32)};
    std::mt19937_64 random(sequence);
    const auto uniform = [&] { return static_cast<double>(random() >> 11) * 0x1p-53; };
    const std::ptrdiff_t largest = std::min(n_, rank_ + 1);
    const auto size = static_cast<std::size_t>(
        1 + static_cast<std::ptrdiff_t>(uniform() * static_cast<double>(largest)));
    std::vector<std::ptrdiff_t> order(static_cast<std::size_t>(n_));
    std::iota(order.begin(), order.end(), std::ptrdiff_t{0});
    for (std::size_t i = 0; i < size; ++i)
      std::swap(
          order[i],
          order[i + static_cast<std::size_t>(uniform() * static_cast<double>(order.size() - i))]);
    // A Dirichlet mixture: -log(uniform) is exponential; its power makes it more or less even.
    const double evenness = uniform() < 0.5 ? 1.0 : 0.25;
    double sum = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const double w = std::pow(-std::log1p(-uniform()) + 1e-300, evenness);
      p[static_cast<std::size_t>(order[i])] = w;
      sum += w;
    }
    for (double& w : p) w /= sum;
    if (!is_face(index + systematic()) && uniform() < 0.5) blend(p, uniform() * uniform());
  }

  std::ptrdiff_t n_, rank_;
  std::uint64_t seed_;
  std::ptrdiff_t pairs_, faces_;
};

}  // namespace hopfix
