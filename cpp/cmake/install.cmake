# What embedders get, from `cmake --install` and in the wheel: the headers, the static library and
# the CMake package hopfix with its target hopfix::hopfix.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(HOPFIX_INCLUDE_DIR ${CMAKE_INSTALL_INCLUDEDIR})
set(HOPFIX_LIBRARY_DIR ${CMAKE_INSTALL_LIBDIR})
if(SKBUILD)  # the wheel: beside the Python modules
  set(HOPFIX_INCLUDE_DIR hopfix/include)
  set(HOPFIX_LIBRARY_DIR hopfix/lib)
endif()
set(HOPFIX_PACKAGE_DIR ${HOPFIX_LIBRARY_DIR}/cmake/hopfix)

# Not the arithmetic of proofs, which no other header includes: it needs -ffp-contract=off, and a
# program that compiles its inline functions without would replace those in the library by its own.
install(DIRECTORY ${PROJECT_SOURCE_DIR}/cpp/include/hopfix
  DESTINATION ${HOPFIX_INCLUDE_DIR} COMPONENT development
  PATTERN interval.hpp EXCLUDE PATTERN rounding.hpp EXCLUDE PATTERN double_double.hpp EXCLUDE)
install(TARGETS hopfix EXPORT hopfixTargets
  ARCHIVE DESTINATION ${HOPFIX_LIBRARY_DIR} COMPONENT development
  INCLUDES DESTINATION ${HOPFIX_INCLUDE_DIR})
install(EXPORT hopfixTargets NAMESPACE hopfix::
  DESTINATION ${HOPFIX_PACKAGE_DIR} COMPONENT development)

set(version_file ${PROJECT_BINARY_DIR}/generated/hopfixConfigVersion.cmake)
write_basic_package_version_file(${version_file} COMPATIBILITY SameMinorVersion)
install(FILES ${version_file} ${CMAKE_CURRENT_LIST_DIR}/hopfixConfig.cmake
  DESTINATION ${HOPFIX_PACKAGE_DIR} COMPONENT development)
