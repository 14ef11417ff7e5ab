// Numbers as bytes, for portions of work that go to other processes of the same build.
#pragma once

#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace hopfix {

class Writer {
 public:
  template <class T>
  void put(const T& value) {
    static_assert(std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>);
    append(&value, sizeof(T));
  }

  template <class T>
  void put(const std::vector<T>& values) {
    put(values.size());
    if constexpr (std::is_trivially_copyable_v<T>)
      append(values.data(), values.size() * sizeof(T));
    else
      for (const T& value : values) put(value);
  }

  std::string take() { return std::move(bytes_); }

 private:
  void append(const void* data, std::size_t size) {
    if (size > 0) bytes_.append(static_cast<const char*>(data), size);
  }

  std::string bytes_;
};

// Reads what a Writer wrote, in the same order; std::invalid_argument where there is no more.
class Reader {
 public:
  explicit Reader(const std::string& bytes) : bytes_(bytes) {}

  template <class T>
  T get() {
    static_assert(std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>);
    T value;
    copy(&value, 1);
    return value;
  }

  template <class T>
  std::vector<T> list() {
    const auto size = get<std::size_t>();
    if (size > (bytes_.size() - at_) / sizeof(T)) fail();
    std::vector<T> values(size);
    copy(values.data(), size);
    return values;
  }

 private:
  template <class T>
  void copy(T* to, std::size_t count) {
    if (count > (bytes_.size() - at_) / sizeof(T)) fail();
    if (count > 0) std::memcpy(static_cast<void*>(to), bytes_.data() + at_, count * sizeof(T));
    at_ += count * sizeof(T);
  }

  [[noreturn]] static void fail() {
    throw std::invalid_argument(
        "portion: cut short, or of another build: need one version of hopfix everywhere");
  }

  const std::string& bytes_;
  std::size_t at_ = 0;
};

}  // namespace hopfix
