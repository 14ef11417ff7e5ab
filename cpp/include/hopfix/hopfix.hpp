// The C++ API of hopfix, in one header.
//
//   network.hpp           Network<T>: update, weights, energy, jacobian, jvp, vjp, spectral_radius
//   checks.hpp            checked_network, check_states: arguments from outside
//   retrieval.hpp         retrieve: to convergence, every query by itself
//   certificate.hpp       Certifier: proofs that a fixed point is near, and alone
//   cells.hpp             fixed_points_by_cells: all fixed points, with a proof that these are all
//   fixed_points.hpp      fixed_points_by_starts: Newton from many starts
//   face_search.hpp       fixed_points_by_faces: from the critical faces of beta -> infinity, which
//                         critical_faces.hpp lists; face_newton.hpp for one of them
//   newton.hpp implicit.hpp affine_hull.hpp       Newton's method; derivatives of fixed points
//   continuation.hpp degree.hpp softmax_map.hpp   branches over beta; Brouwer degree; theory
//   connections.hpp                               down the sides of saddles
//   cips.hpp sufficient_beta.hpp                  from which beta on a face has a fixed point
//   memory.hpp separation.hpp separation_kernel.hpp   other similarities and separations
//   binary_hopfield.hpp continuous_hopfield.hpp       the classical networks
//   attention_dynamics.hpp attention_network.hpp attention_orbit.hpp   mean fields of attention
//   association.hpp row_norm.hpp                      the inner part of a Hopfield layer
//   parallel.hpp isa.hpp large_pages.hpp              threads, instruction sets, memory
//   portions.hpp          searches whose work is done by other processes or machines
//
// Arrays are row-major and the caller's; T is float or double; headers give shapes, accuracy and
// cost. c_api.h is a part of this for C.
//
// Arguments. Except where a header says that it throws, the core trusts what it is given: sizes of
// at least 1, finite numbers, beta > 0, pointers to as many numbers as the shape says, results that
// do not overlap arguments. checks.hpp finds out what breaks this rule but for the lengths and the
// overlaps. A result too large for T is infinite or NaN; first_not_finite tells.
//
// Exceptions. Nothing but these leaves the library:
//   std::invalid_argument   what a header or checks.hpp refuses; an environment variable HOPFIX_ISA
//                           with no level of this build and machine, at the first computation
//   std::bad_alloc          and std::length_error, for sizes beyond the range of an array
//   std::runtime_error      certificates and searches in a thread that does not round to nearest
//                           with gradual underflow (linked with -ffast-math, for one); an
//                           eigenvalue iteration that does not converge; std::system_error where a
//                           thread cannot be started
//   hopfix::Interrupted     the caller's Execution::stop_requested said so; searches catch it and
//                           return what they have, with `interrupted` set
// and what the caller's own callbacks throw. Objects stay as they were and own their memory:
// nothing leaks, and the same call can be made again. Arrays of results then have no meaning.
//
// Threads. Every function takes an Execution; results are the same, to the bit, for every number of
// threads. Networks do not change (what they compute once, they guard) and may be used by several
// threads at once; solvers and workspaces belong to one thread each. Certifier, NewtonSolver and
// FaceNewton keep a reference to their network.
//
// With CMake:
//   find_package(hopfix CONFIG REQUIRED)   # for a wheel: -Dhopfix_DIR=<hopfix.get_cmake_dir()>
//   target_link_libraries(program PRIVATE hopfix::hopfix)
//
// ```cpp
// #include <cstdio>
// #include <exception>
// #include <vector>
//
// #include "hopfix/hopfix.hpp"
//
// int main() try {
//   const std::vector<double> patterns = {1, 0, 0, 0, 1, 0, 0, 0, 1};  // 3 x 3, one in each row
//   const auto network = hopfix::checked_network(patterns.data(), 3, 3, 10.0);
//   const hopfix::Execution execution{hopfix::available_cpus(), {}};
//
//   const std::vector<double> query = {0.7, 0.3, 0.2};
//   hopfix::check_states("query", query.data(), 1, network.dim());
//   const auto found = hopfix::retrieve(network, query.data(), 1, 1000, 1e-12, execution);
//   std::printf("%.6f %.6f %.6f\n", found.states[0], found.states[1], found.states[2]);
//
//   const hopfix::CellList list = hopfix::fixed_points_by_cells(network, {}, execution);
//   int memories = 0;
//   for (const hopfix::Certificate& c : list.certificates)
//     memories += c.certified() && c.morse_index == 0;
//   std::printf("%d fixed points, %d of them stable; %s\n", static_cast<int>(list.size()),
//   memories,
//               list.undecided.empty() ? "proved: there are no others" : "there may be others");
// } catch (const std::exception& error) {
//   std::fprintf(stderr, "%s\n", error.what());
//   return 1;
// }
// ```
//
// prints
//
// ```text
// 0.999909 0.000045 0.000045
// 7 fixed points, 3 of them stable; proved: there are no others
// ```
#pragma once

#include "hopfix/affine_hull.hpp"
#include "hopfix/association.hpp"
#include "hopfix/attention_dynamics.hpp"
#include "hopfix/attention_network.hpp"
#include "hopfix/attention_orbit.hpp"
#include "hopfix/binary_hopfield.hpp"
#include "hopfix/cells.hpp"
#include "hopfix/certificate.hpp"
#include "hopfix/checks.hpp"
#include "hopfix/cips.hpp"
#include "hopfix/connections.hpp"
#include "hopfix/continuation.hpp"
#include "hopfix/continuous_hopfield.hpp"
#include "hopfix/critical_faces.hpp"
#include "hopfix/degree.hpp"
#include "hopfix/face_newton.hpp"
#include "hopfix/face_search.hpp"
#include "hopfix/fixed_points.hpp"
#include "hopfix/implicit.hpp"
#include "hopfix/isa.hpp"
#include "hopfix/large_pages.hpp"
#include "hopfix/memory.hpp"
#include "hopfix/network.hpp"
#include "hopfix/newton.hpp"
#include "hopfix/parallel.hpp"
#include "hopfix/portions.hpp"
#include "hopfix/random_features.hpp"
#include "hopfix/retrieval.hpp"
#include "hopfix/row_norm.hpp"
#include "hopfix/separation.hpp"
#include "hopfix/separation_kernel.hpp"
#include "hopfix/softmax_map.hpp"
#include "hopfix/sufficient_beta.hpp"
