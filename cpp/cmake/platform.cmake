# What depends on the compiler and on the processor compiled for.
if(NOT CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang" OR
   CMAKE_CXX_COMPILER_FRONTEND_VARIANT STREQUAL "MSVC")
  message(FATAL_ERROR "hopfix needs GCC 12 or Clang with the options of GCC (on Windows clang++, "
                      "not cl or clang-cl): its kernels use the vector extensions of these "
                      "compilers")
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12)
  message(FATAL_ERROR "hopfix needs GCC 12 (for __builtin_shufflevector), not "
                      "${CMAKE_CXX_COMPILER_VERSION}")
endif()

# Asked of the compiler, since CMAKE_SYSTEM_PROCESSOR names the machine that builds. Not so for
# several processors at once (universal2), which get the portable kernels.
if(NOT HOPFIX_GENERIC)
  include(CheckCXXSourceCompiles)
  check_cxx_source_compiles("
    #ifndef __x86_64__
    #error another processor
    #endif
    int main() {}" HOPFIX_X86_64)
endif()
