// Fields Sum_i m_i x_i of signs x_i by the tables of src/kernels/binary_table.hpp, for any m_i.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/binary_table.hpp"

namespace hopfix {

class OverlapTables {
 public:
  explicit OverlapTables(const kernels::BinaryKernels& kernels) : kernels_(&kernels) {}

  // Of n numbers with zeros behind them up to a whole index word; the sum of their absolute values
  // is below 2^31.
  void make(const std::int32_t* numbers, std::ptrdiff_t n) {
    const std::ptrdiff_t per_word = kernels_->group * kernels_->groups;
    words_ = (n + per_word - 1) / per_word;
    magnitudes_.resize(static_cast<std::size_t>(words_));
    total_ = kernels_->magnitudes(numbers, words_, magnitudes_.data());
    count_ = 0;
    if (*std::max_element(magnitudes_.begin(), magnitudes_.end()) <= kMostSum)
      add_digit(numbers);
    else
      split(numbers, static_cast<std::size_t>(words_ * per_word));
  }

  // fields[k] += the field of component k, for those of the chunk whose index words these are.
  void add_fields(const std::uint16_t* planes, std::int32_t* fields) const {
    std::uint32_t base = 0 - total_;
    int shift = 1;
    for (std::size_t d = 0; d < count_; ++d, shift += kDigitBits) {
      std::ptrdiff_t from = 0;
      for (const std::ptrdiff_t end : digits_[d].ends) {
        kernels_->add_fields(planes + from * kernels::kFieldLanes,
                             digits_[d].tables.data() + from * table_numbers(), end - from, shift,
                             base, fields);
        base = 0;
        from = end;
      }
    }
  }

 private:
  // The numbers are one digit, where what an index word can add to a sum is within 16 bits, or
  // several in base 4096. `ends`: the index words up to which a sum of 16 bits can go on.
  struct Digit {
    std::vector<std::int16_t> tables;
    std::vector<std::ptrdiff_t> ends;
  };
  static constexpr int kDigitBits = 12;
  static constexpr std::int32_t kMostSum = std::numeric_limits<std::int16_t>::max();

  std::ptrdiff_t table_numbers() const { return kernels_->groups * kernels_->table_size; }

  void split(const std::int32_t* numbers, std::size_t count) {
    rest_.assign(numbers, numbers + count);
    digit_.resize(count);
    while (std::any_of(rest_.begin(), rest_.end(), [](std::int32_t x) { return x != 0; })) {
      std::transform(rest_.begin(), rest_.end(), digit_.begin(), [](std::int32_t& x) {
        // From -2048 to 2047, of which an index word holds sixteen at most.
        constexpr std::int32_t base = 1 << kDigitBits;
        const std::int32_t digit = ((x + base / 2) & (base - 1)) - base / 2;
        x = (x - digit) / base;
        return digit;
      });
      kernels_->magnitudes(digit_.data(), words_, magnitudes_.data());
      add_digit(digit_.data());
    }
  }

  // Numbers whose magnitudes are known.
  void add_digit(const std::int32_t* numbers) {
    if (count_ == digits_.size()) digits_.emplace_back();
    Digit& digit = digits_[count_++];
    digit.ends.clear();
    std::int32_t sum = 0;
    for (std::ptrdiff_t w = 0; w < words_; ++w) {
      const std::int32_t here = magnitudes_[static_cast<std::size_t>(w)];
      if (sum + here > kMostSum) {
        digit.ends.push_back(w);
        sum = 0;
      }
      sum += here;
    }
    digit.ends.push_back(words_);
    digit.tables.resize(static_cast<std::size_t>(words_ * table_numbers()));
    kernels_->make_tables(numbers, words_ * kernels_->groups, digit.tables.data());
  }

  const kernels::BinaryKernels* kernels_;
  std::ptrdiff_t words_ = 0;
  std::uint32_t total_ = 0;
  std::size_t count_ = 0;  // of digits in use
  std::vector<Digit> digits_;
  std::vector<std::int32_t> magnitudes_, rest_, digit_;
};

}  // namespace hopfix
