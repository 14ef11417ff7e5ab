// The least a unit test needs: CHECK prints what failed and where; finish() is main's result.
#pragma once

#include <cstdio>

namespace hopfix::test {

inline int failures = 0;

inline void check(bool passed, const char* what, const char* file, int line) {
  if (passed) return;
  std::printf("%s:%d: CHECK failed: %s\n", file, line, what);
  ++failures;
}

inline int finish() { return failures == 0 ? 0 : 1; }

}  // namespace hopfix::test

#define CHECK(condition) hopfix::test::check((condition), #condition, __FILE__, __LINE__)
