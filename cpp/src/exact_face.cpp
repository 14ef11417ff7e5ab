#include "exact_face.hpp"

#include <algorithm>
#include <cmath>

namespace hopfix {

namespace {

using std::ptrdiff_t;
using std::size_t;
using Residue = std::uint64_t;  // below a prime below 2^31: products fit

constexpr size_t kMostPrimes = 256;
constexpr double kPrimeBits = 30.9;  // primes are above 2^30.9: some 10^7 of them are

size_t at(ptrdiff_t i) { return static_cast<size_t>(i); }

Residue power(Residue base, Residue exponent, Residue p) {
  Residue result = 1;
  for (base %= p; exponent > 0; exponent >>= 1U, base = base * base % p)
    if ((exponent & 1U) != 0) result = result * base % p;
  return result;
}

Residue inverse(Residue a, Residue p) { return power(a, p - 2, p); }

// Miller and Rabin's test with bases 2, 3, 5 and 7 is exact below 3.2e9 (Jaeschke 1993).
bool is_prime(Residue p) {
  unsigned twos = 0;
  Residue odd = p - 1;
  for (; (odd & 1U) == 0; odd >>= 1U) ++twos;
  for (const Residue base : {2U, 3U, 5U, 7U}) {
    Residue x = power(base, odd, p);
    if (x == 1 || x == p - 1) continue;
    bool composite = true;
    for (unsigned k = 1; composite && k < twos; ++k) {
      x = x * x % p;
      composite = x != p - 1;
    }
    if (composite) return false;
  }
  return true;
}

// The largest primes below 2^31, descending, found once.
const std::vector<Residue>& all_primes() {
  static const std::vector<Residue> primes = [] {
    std::vector<Residue> found;
    for (Residue p = (Residue{1} << 31U) - 1; found.size() < 2 * kMostPrimes; p -= 2)
      if (is_prime(p)) found.push_back(p);
    return found;
  }();
  return primes;
}

// value / 2^unit modulo p, an integer.
Residue residue_of(double value, int unit, Residue p) {
  if (value == 0) return 0;
  int exponent = 0;
  const double fraction = std::frexp(std::fabs(value), &exponent);
  const auto mantissa = static_cast<Residue>(std::ldexp(fraction, 53));
  int shift = exponent - 53 - unit;
  Residue integer = mantissa;
  for (; shift < 0; ++shift) integer >>= 1U;  // the bits shifted out are zero
  const Residue r = integer % p * power(2, static_cast<Residue>(shift), p) % p;
  return value < 0 && r != 0 ? p - r : r;
}

// The exponent of the last bit of a double.
int last_bit(double value) {
  int exponent = 0;
  auto mantissa = static_cast<Residue>(std::ldexp(std::frexp(std::fabs(value), &exponent), 53));
  exponent -= 53;
  for (; (mantissa & 1U) == 0; mantissa >>= 1U) ++exponent;
  return exponent;
}

// An integer below half the product of the primes in magnitude, by its residues.
class Integers {
 public:
  explicit Integers(const std::vector<Residue>& primes) : primes_(primes) {
    for (size_t i = 0; i < primes.size(); ++i)
      for (size_t j = 0; j < i; ++j) inverses_.push_back(inverse(primes[j] % primes[i], primes[i]));
  }

  struct Value {
    double mantissa = 0;  // with the sign; 0 for zero
    int exponent = 0;
  };

  Value value(std::vector<Residue> residues) const {
    std::vector<Residue> digits = to_digits(residues);
    bool negative = false;
    for (size_t i = digits.size(); i-- > 0;) {
      const Residue half = (primes_[i] - 1) / 2;
      if (digits[i] == half) continue;
      negative = digits[i] > half;
      break;
    }
    if (negative) {
      for (size_t i = 0; i < residues.size(); ++i)
        residues[i] = residues[i] == 0 ? 0 : primes_[i] - residues[i];
      digits = to_digits(residues);
    }
    Value out;
    for (size_t i = digits.size(); i-- > 0;) {
      double next = std::ldexp(static_cast<double>(digits[i]), -out.exponent);
      next += out.mantissa * static_cast<double>(primes_[i]);
      int grown = 0;
      out.mantissa = std::frexp(next, &grown);
      if (next != 0) out.exponent += grown;
    }
    if (negative) out.mantissa = -out.mantissa;
    return out;
  }

 private:
  std::vector<Residue> to_digits(const std::vector<Residue>& residues) const {
    std::vector<Residue> digits(residues.size());
    for (size_t i = 0; i < residues.size(); ++i) {
      const Residue p = primes_[i];
      Residue rest = residues[i];
      for (size_t j = 0; j < i; ++j)
        rest = (rest + p - digits[j] % p) % p * inverses_[i * (i - 1) / 2 + j] % p;
      digits[i] = rest;
    }
    return digits;
  }

  const std::vector<Residue>& primes_;
  std::vector<Residue> inverses_;  // of the j-th prime modulo the i-th, j < i
};

// a / b 2^unit, not 0 unless a is.
double quotient(const Integers::Value& a, const Integers::Value& b, int unit = 0) {
  const double value = std::ldexp(a.mantissa / b.mantissa, a.exponent - b.exponent + unit);
  return value != 0 || a.mantissa == 0 ? value : std::copysign(0x1p-1074, a.mantissa);
}

}  // namespace

ExactFaces::ExactFaces(const PatternGram& gram) : gram_(gram) {
  int lowest = INT32_MAX, highest = INT32_MIN;
  const auto include = [&](double value, int divisor) {
    if (value == 0) return;
    const int last = last_bit(value), top = std::ilogb(value) + 1;
    // Halves are rounded so that offsets / 2^(2 unit) stay integers, and bounds bounds.
    lowest = std::min(lowest, divisor == 1 ? last : (last >= 0 ? last / 2 : (last - 1) / 2));
    highest = std::max(highest, divisor == 1 ? top : (top > 0 ? (top + 1) / 2 : top / 2));
  };
  for (const double value : gram.patterns) include(value, 1);
  for (const double value : gram.offsets) include(value, 2);
  if (lowest == INT32_MAX) return;
  unit_ = lowest;
  bits_ = highest - lowest;
}

// Edges have at most bits + 1 bits a coordinate, their products dim times the square of that, and
// right-hand sides twice as much and an offset more. What follows is Hadamard's bound of all the
// determinants and the scores made of them, with some bits to spare.
size_t ExactFaces::primes_for(size_t members) const {
  const auto m = static_cast<double>(members);
  const double dim = std::log2(static_cast<double>(gram_.dim));
  const double entry = 2 * (bits_ + 1) + dim + 1;
  const double total = m * (entry + std::log2(m)) + 2 * entry + 8;
  return static_cast<size_t>(std::ceil(total / kPrimeBits)) + 1;
}

const ExactFaces::Reduced& ExactFaces::reduced(size_t prime) {
  if (reduced_.size() <= prime) reduced_.resize(prime + 1);
  Reduced& out = reduced_[prime];
  if (!out.patterns.empty()) return out;
  const auto reduce = [&](double value, int unit) {
    return static_cast<std::uint32_t>(residue_of(value, unit, all_primes()[prime]));
  };
  for (const double value : gram_.patterns) out.patterns.push_back(reduce(value, unit_));
  for (const double value : gram_.offsets) out.offsets.push_back(reduce(value, 2 * unit_));
  return out;
}

// The system of the edges' Gram matrix, made triangular; false if singular modulo the prime.
bool ExactFaces::eliminate(const std::vector<ptrdiff_t>& members, size_t prime) {
  const Reduced& x = reduced(prime);
  const Residue p = all_primes()[prime];
  const size_t m = members.size() - 1, dim = at(gram_.dim);
  const auto coordinate = [&](size_t i, size_t c) -> Residue {
    return x.patterns[at(members[i]) * dim + c];
  };
  const auto edge = [&](size_t i, size_t c) {
    return (coordinate(i + 1, c) + p - coordinate(0, c)) % p;
  };
  matrix_.assign(m * m, 0);
  right_.assign(m, 0);
  for (size_t i = 0; i < m; ++i) {
    Residue right = x.offsets[at(members[0])] + p - x.offsets[at(members[i + 1])];
    for (size_t c = 0; c < dim; ++c) right = (right + (p - edge(i, c)) * coordinate(0, c)) % p;
    right_[i] = right % p;
    for (size_t j = 0; j <= i; ++j) {
      Residue sum = 0;
      for (size_t c = 0; c < dim; ++c) sum = (sum + edge(i, c) * edge(j, c)) % p;
      matrix_[i * m + j] = matrix_[j * m + i] = sum;
    }
  }
  determinant_ = 1;
  for (size_t k = 0; k < m; ++k) {
    size_t pivot = k;
    while (pivot < m && matrix_[pivot * m + k] == 0) ++pivot;
    if (pivot == m) return false;
    if (pivot != k) {
      std::swap_ranges(&matrix_[pivot * m], &matrix_[pivot * m] + m, &matrix_[k * m]);
      std::swap(right_[pivot], right_[k]);
      determinant_ = p - determinant_;
    }
    determinant_ = determinant_ * matrix_[k * m + k] % p;
    const Residue scale = inverse(matrix_[k * m + k], p);
    for (size_t i = k + 1; i < m; ++i) {
      const Residue factor = p - matrix_[i * m + k] * scale % p;
      for (size_t j = k; j < m; ++j)
        matrix_[i * m + j] = (matrix_[i * m + j] + factor * matrix_[k * m + j]) % p;
      right_[i] = (right_[i] + factor * right_[k]) % p;
    }
  }
  return true;
}

ExactFace::Kind ExactFaces::dependence(const std::vector<ptrdiff_t>& members) {
  if (at(gram_.dim) < members.size() - 1) return ExactFace::Kind::dependent;
  const size_t needed = primes_for(members.size());
  if (needed > kMostPrimes) return ExactFace::Kind::too_large;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (size_t i = 0; i < needed; ++i)
    if (eliminate(members, i)) return ExactFace::Kind::independent;
  return ExactFace::Kind::dependent;
}

ExactFace ExactFaces::solve(const std::vector<ptrdiff_t>& members) {
  const size_t m = members.size() - 1, dim = at(gram_.dim), n = at(gram_.n);
  const size_t needed = primes_for(members.size());
  ExactFace face;
  if (dim < m) {
    face.kind = ExactFace::Kind::dependent;
    return face;
  }
  if (needed > kMostPrimes) return face;
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Residue> primes, scores;
  std::vector<std::vector<Residue>> numerators(m + 1), gaps(n);
  std::vector<Residue> determinants;
  for (size_t next = 0; primes.size() < needed; ++next) {
    // As many primes divide a determinant other than zero at most.
    if (next - primes.size() >= needed) {
      face.kind = ExactFace::Kind::dependent;
      return face;
    }
    if (!eliminate(members, next)) continue;
    const Residue p = all_primes()[next];
    const Reduced& x = reduced(next);
    primes.push_back(p);
    determinants.push_back(determinant_);
    std::vector<Residue> lambda(m);
    for (size_t k = m; k-- > 0;) {
      Residue sum = right_[k];
      for (size_t j = k + 1; j < m; ++j) sum = (sum + (p - matrix_[k * m + j]) * lambda[j]) % p;
      lambda[k] = sum * inverse(matrix_[k * m + k], p) % p;
    }
    Residue first = 1;
    for (size_t k = 0; k < m; ++k) {
      first = (first + p - lambda[k]) % p;
      numerators[k + 1].push_back(lambda[k] * determinant_ % p);
    }
    numerators[0].push_back(first * determinant_ % p);
    std::vector<Residue> point(dim);
    const std::uint32_t* origin = &x.patterns[at(members[0]) * dim];
    for (size_t c = 0; c < dim; ++c) {
      point[c] = first * origin[c] % p;
      for (size_t k = 0; k < m; ++k)
        point[c] = (point[c] + lambda[k] * x.patterns[at(members[k + 1]) * dim + c]) % p;
    }
    Residue score = x.offsets[at(members[0])];
    for (size_t c = 0; c < dim; ++c) score = (score + origin[c] * point[c]) % p;
    scores.push_back(score * determinant_ % p);
    for (size_t i = 0; i < n; ++i) {
      Residue gap = (x.offsets[i] + p - x.offsets[at(members[0])]) % p;
      for (size_t c = 0; c < dim; ++c)
        gap = (gap + (x.patterns[i * dim + c] + p - origin[c]) % p * point[c]) % p;
      gaps[i].push_back(gap * determinant_ % p);
    }
  }
  const Integers integers(primes);
  const Integers::Value divisor = integers.value(determinants);
  for (const auto& numerator : numerators)
    face.weights.push_back(quotient(integers.value(numerator), divisor));
  for (const auto& gap : gaps)
    face.excess.push_back(quotient(integers.value(gap), divisor, 2 * unit_));
  face.score = quotient(integers.value(scores), divisor, 2 * unit_);
  for (const ptrdiff_t member : members) face.excess[at(member)] = 0;
  face.kind = ExactFace::Kind::independent;
  return face;
}

}  // namespace hopfix
