// The point of a face and its score gaps in double-double arithmetic, for signs that double
// precision leaves open.
#pragma once

#include "face_node.hpp"
#include "hopfix/double_double.hpp"

namespace hopfix {

struct RefinedFace {
  std::vector<double> weights;  // rounded
  std::vector<double> excess;   // s_k - c for all patterns, 0 for members
  double weight_error = 0, score_error = 0;
};

// `node` must hold affinely independent patterns. The errors are those of FaceNode with the unit
// roundoff of double-double arithmetic, whose inner products of dim terms are exact to
// 16 (dim + 1) u^2 of the scale: coordinates are differences of doubles, held exactly.
// O(|J|^2 (dim + |J|) + N dim).
inline RefinedFace refine(const PatternGram& gram, const FaceNode& node) {
  using std::size_t;
  const auto dim = static_cast<size_t>(gram.dim);
  const std::vector<std::ptrdiff_t>& members = node.members();
  const double* origin = gram.pattern(members[0]);
  const size_t m = members.size() - 1;
  const auto edge = [&](std::ptrdiff_t k, size_t c) {
    return two_sum(gram.pattern(k)[c], -origin[c]);
  };
  const auto offset = [&](std::ptrdiff_t k) {
    return two_sum(gram.offset(k), -gram.offset(members[0]));
  };

  std::vector<DoubleDouble> matrix(m * m), lambda(m);
  for (size_t i = 0; i < m; ++i) {
    lambda[i] = -offset(members[i + 1]);
    for (size_t c = 0; c < dim; ++c) lambda[i] = lambda[i] - edge(members[i + 1], c) * origin[c];
    for (size_t j = 0; j <= i; ++j) {
      DoubleDouble sum;
      for (size_t c = 0; c < dim; ++c)
        sum = sum + edge(members[i + 1], c) * edge(members[j + 1], c);
      matrix[i * m + j] = matrix[j * m + i] = sum;
    }
  }
  // Elimination without pivoting: the matrix is positive definite.
  for (size_t k = 0; k < m; ++k)
    for (size_t i = k + 1; i < m; ++i) {
      const DoubleDouble factor = matrix[i * m + k] / matrix[k * m + k];
      for (size_t j = k; j < m; ++j)
        matrix[i * m + j] = matrix[i * m + j] - factor * matrix[k * m + j];
      lambda[i] = lambda[i] - factor * lambda[k];
    }
  for (size_t k = m; k-- > 0;) {
    for (size_t j = k + 1; j < m; ++j) lambda[k] = lambda[k] - matrix[k * m + j] * lambda[j];
    lambda[k] = lambda[k] / matrix[k * m + k];
  }

  RefinedFace face;
  DoubleDouble first = 1.0;
  double absolute = 0;
  for (const DoubleDouble& value : lambda) {
    first = first - value;
    absolute += std::abs(value.hi);
  }
  absolute += std::abs(first.hi);
  face.weights.push_back(first.hi);
  for (const DoubleDouble& value : lambda) face.weights.push_back(value.hi);

  std::vector<DoubleDouble> point(dim);
  for (size_t c = 0; c < dim; ++c) {
    point[c] = origin[c];
    for (size_t j = 0; j < m; ++j) point[c] = point[c] + edge(members[j + 1], c) * lambda[j];
  }
  face.excess.assign(static_cast<size_t>(gram.n), 0.0);
  for (std::ptrdiff_t k = 0; k < gram.n; ++k) {
    if (std::find(members.begin(), members.end(), k) != members.end()) continue;
    DoubleDouble sum = offset(k);
    for (size_t c = 0; c < dim; ++c) sum = sum + edge(k, c) * point[c];
    face.excess[static_cast<size_t>(k)] = sum.hi;
  }
  const double ratio = 16 * (static_cast<double>(dim) + 1) * kUnitRoundoff;
  face.weight_error = ratio * node.weight_error(absolute);
  face.score_error = ratio * node.score_error(absolute);
  return face;
}

}  // namespace hopfix
