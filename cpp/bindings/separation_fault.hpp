// What the Python layer calls the ways in which a row of scores has no answer; "" for none.
#pragma once

#include "hopfix/separation.hpp"

namespace hopfix::bindings {

inline const char* fault_name(SeparationFault fault) {
  switch (fault) {
    case SeparationFault::not_finite:
      return "not_finite";
    case SeparationFault::all_minus_infinity:
      return "all_minus_infinity";
    case SeparationFault::all_zero:
      return "all_zero";
    case SeparationFault::none:
      break;
  }
  return "";
}

}  // namespace hopfix::bindings
