// Inner products, barycentric coordinates and distances of patterns from a face, enclosed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hopfix/interval.hpp"

namespace hopfix {

class FaceGeometry {
 public:
  // isolated: as if there were no patterns outside.
  FaceGeometry(const double* patterns, std::ptrdiff_t n, std::ptrdiff_t dim,
               const std::int64_t* face, std::ptrdiff_t size, bool isolated);

  std::ptrdiff_t size() const { return size_; }
  std::ptrdiff_t others() const { return others_; }
  bool finite() const { return finite_; }            // no inner product overflows
  bool independent() const { return independent_; }  // surely affinely independent
  double longest() const { return longest_; }        // at least the largest norm

  // x_m . x_l within the face, and x_m . x_j with the j-th pattern outside.
  Interval inner(std::ptrdiff_t m, std::ptrdiff_t l) const { return inner_[at(m, l)]; }
  Interval outer(std::ptrdiff_t m, std::ptrdiff_t j) const { return inner_[at(m, size_ + j)]; }
  // Sums of these over all l, and over all m.
  Interval inner_sum(std::ptrdiff_t m) const { return sums_[static_cast<std::size_t>(m)]; }
  Interval outer_sum(std::ptrdiff_t j) const { return sums_[static_cast<std::size_t>(size_ + j)]; }

  // At least lambda_i(x_j), and at least the distance of x_j from aff(x_I).
  double coordinate(std::ptrdiff_t i, std::ptrdiff_t j) const {
    return coordinates_[static_cast<std::size_t>(i * others_ + j)];
  }
  double distance(std::ptrdiff_t j) const { return distances_[static_cast<std::size_t>(j)]; }
  double largest_distance() const { return largest_distance_; }
  // All patterns lie in aff(x_I) but for rounding.
  bool flat() const { return largest_distance_ <= 1e-12 * longest_; }

 private:
  std::size_t at(std::ptrdiff_t m, std::ptrdiff_t column) const {
    return static_cast<std::size_t>(m * (size_ + others_) + column);
  }
  void project(const double* patterns, std::ptrdiff_t dim, const std::int64_t* face,
               const std::vector<std::int64_t>& outside);

  std::ptrdiff_t size_, others_ = 0;
  bool finite_ = true, independent_ = true;
  double longest_ = 0, largest_distance_ = 0;
  std::vector<Interval> inner_, sums_;
  std::vector<double> coordinates_, distances_;
};

}  // namespace hopfix
