// The weights and score gaps of a face as exact rational numbers, for signs that double-double
// arithmetic leaves open.
//
// Scaled by powers of two, patterns and offsets are integers, and by Cramer's rule weights and gaps
// are quotients of determinants of integers. These are computed modulo enough primes below 2^31
// that their product exceeds twice Hadamard's bound, so that the residues determine them: signs are
// read off the mixed-radix digits (Garner 1959). A determinant that vanishes modulo so many primes
// is zero. No rounding is involved but in the weights and gaps returned.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "face_node.hpp"

namespace hopfix {

struct ExactFace {
  enum class Kind {
    independent,
    dependent,  // affinely: not a face
    too_large,  // more primes than allowed: nothing else is known
  };
  Kind kind = Kind::too_large;
  std::vector<double> weights;  // of the members, rounded; signs exact
  std::vector<double> excess;   // s_k - c for all patterns, likewise; 0 for members
  double score = 0;             // c, likewise
};

// One for all threads: calls wait for one another.
class ExactFaces {
 public:
  explicit ExactFaces(const PatternGram& gram);

  // How many primes a set takes: the time of what follows grows with the square of it.
  std::size_t primes_for(std::size_t members) const;
  // Whether patterns are affinely dependent.
  ExactFace::Kind dependence(const std::vector<std::ptrdiff_t>& members);
  // O((|I|^3 + |I|^2 dim + N dim + N P) P) operations with P primes.
  ExactFace solve(const std::vector<std::ptrdiff_t>& members);

 private:
  using Residue = std::uint64_t;

  // Patterns and offsets modulo a prime, kept once made.
  struct Reduced {
    std::vector<std::uint32_t> patterns, offsets;
  };
  const Reduced& reduced(std::size_t prime);
  bool eliminate(const std::vector<std::ptrdiff_t>& members, std::size_t prime);

  const PatternGram& gram_;
  int unit_ = 0;     // patterns are integers times 2^unit, offsets times 2^(2 unit)
  double bits_ = 0;  // of the largest integer among coordinates; offsets have twice as many
  std::mutex mutex_;
  std::vector<Reduced> reduced_;
  std::vector<Residue> matrix_, right_;  // of the system, then upper triangular
  Residue determinant_ = 0;
};

}  // namespace hopfix
