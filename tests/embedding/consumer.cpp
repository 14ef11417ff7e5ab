// consumer_cpp f32|f64 PROBLEM DIRECTORY: computes everything from C++ and writes one file a
// result.
//
// PROBLEM: n, dim, count as int64, beta as double; then patterns, log_weights and states.
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "hopfix/hopfix.hpp"

namespace {

const hopfix::Execution kTwoThreads{2, {}};

template <class Value>
std::vector<Value> read(std::ifstream& file, std::int64_t count) {
  std::vector<Value> values(static_cast<std::size_t>(count));
  if (!file.read(reinterpret_cast<char*>(values.data()),
                 static_cast<std::streamsize>(values.size() * sizeof(Value))))
    throw std::runtime_error("the problem is too short");
  return values;
}

template <class Value>
void write(const std::string& path, const std::vector<Value>& values) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(values.data()),
             static_cast<std::streamsize>(values.size() * sizeof(Value)));
  if (!file) throw std::runtime_error("cannot write " + path);
}

void write_points(const std::string& prefix, const std::vector<double>& states,
                  const std::vector<hopfix::Certificate>& certificates, bool proved) {
  std::vector<double> rows;
  for (const hopfix::Certificate& c : certificates)
    rows.insert(rows.end(), {c.certified() ? 1.0 : 0.0, static_cast<double>(c.morse_index),
                             c.radius, c.uniqueness_radius, c.spectral_radius});
  write(prefix + "_states", states);
  write(prefix + "_certificates", rows);
  write(prefix + "_proved", std::vector<std::int64_t>{proved});
}

template <class T>
void write_fixed_points(const hopfix::Network<T>& network, const std::string& out) {
  const std::vector<double> patterns(network.patterns().begin(), network.patterns().end());
  const std::vector<double> b(network.log_weights().begin(), network.log_weights().end());
  const auto wide = hopfix::checked_network(patterns.data(), network.size(), network.dim(),
                                            network.beta(), b.empty() ? nullptr : b.data());
  hopfix::CellOptions cells;
  cells.single_precision = sizeof(T) == sizeof(float);
  const hopfix::CellList all = hopfix::fixed_points_by_cells(wide, cells, kTwoThreads);
  write_points(out + "cells", all.states, all.certificates, all.undecided.empty());
  hopfix::SearchOptions starts;
  starts.seed = 3;
  starts.single_precision = cells.single_precision;
  const hopfix::FixedPointList some = hopfix::fixed_points_by_starts(wide, starts, kTwoThreads);
  write_points(out + "starts", some.states, some.certificates, false);
  const hopfix::Certifier certifier(wide);
  write_points(out + "again", all.states,
               certifier.certify(all.states.data(), all.size(), kTwoThreads), false);
}

template <class T>
void run(const std::string& problem, const std::string& out) {
  std::ifstream file(problem, std::ios::binary);
  const auto sizes = read<std::int64_t>(file, 3);
  const std::int64_t n = sizes[0], dim = sizes[1], count = sizes[2];
  const double beta = read<double>(file, 1)[0];
  const auto patterns = read<T>(file, n * dim), log_weights = read<T>(file, n),
             states = read<T>(file, count * dim);

  const auto network = hopfix::checked_network(patterns.data(), n, dim, beta, log_weights.data());
  hopfix::check_states("states", states.data(), count, dim);
  const auto apply = [&](auto method, const char* name, std::int64_t width) {
    std::vector<T> result(static_cast<std::size_t>(count * width));
    (network.*method)(states.data(), count, result.data(), kTwoThreads);
    write(out + name, result);
  };
  using Network = hopfix::Network<T>;
  apply(&Network::update, "update", dim);
  apply(&Network::weights, "weights", n);
  apply(&Network::energy, "energy", 1);
  apply(&Network::jacobian, "jacobian", dim * dim);
  apply(&Network::spectral_radius, "spectral_radius", 1);

  const double tol = sizeof(T) == sizeof(float) ? 1e-6 : 1e-12;
  const auto found = hopfix::retrieve(network, states.data(), count, 1000, tol, kTwoThreads);
  write(out + "states", found.states);
  write(out + "steps", found.steps);
  write(out + "converged", found.converged);
  write(out + "residual", found.residual);
  if (n < 20) write_fixed_points(network, out);
}

}  // namespace

int main(int count, char** arguments) try {
  if (count != 4) throw std::invalid_argument("need f32|f64 PROBLEM DIRECTORY");
  const std::string out = std::string(arguments[3]) + "/";
  if (arguments[1] == std::string("f32"))
    run<float>(arguments[2], out);
  else
    run<double>(arguments[2], out);
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
