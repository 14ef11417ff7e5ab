# find_package(hopfix CONFIG): the target hopfix::hopfix, a static library without dependencies but
# the C++ runtime and threads.
get_property(hopfix_languages GLOBAL PROPERTY ENABLED_LANGUAGES)
if(NOT "CXX" IN_LIST hopfix_languages)
  set(hopfix_FOUND FALSE)
  set(hopfix_NOT_FOUND_MESSAGE
    "hopfix is linked by the C++ compiler: say project(... LANGUAGES C CXX)")
  return()
endif()
include(CMakeFindDependencyMacro)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/hopfixTargets.cmake)
