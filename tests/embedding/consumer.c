/* consumer_c PROBLEM DIRECTORY: what consumer.cpp does, from C99 and in the type REAL alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hopfix/c_api.h"

#define JOIN_(name, suffix) name##_##suffix
#define JOIN(name, suffix) JOIN_(name, suffix)
#define OF_TYPE(name) JOIN(hopfix_##name, SUFFIX)

static void* reserve(int64_t count, size_t size) {
  void* memory = malloc((size_t)count * size);
  if (memory == NULL) exit(3);
  return memory;
}

static void* read_numbers(FILE* file, int64_t count, size_t size) {
  void* values = reserve(count, size);
  if (fread(values, size, (size_t)count, file) != (size_t)count) exit(4);
  return values;
}

static void write_numbers(const char* directory, const char* name, const void* values,
                          int64_t count, size_t size) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  FILE* file = fopen(path, "wb");
  if (file == NULL || fwrite(values, size, (size_t)count, file) != (size_t)count) exit(5);
  if (fclose(file) != 0) exit(5);
}

static void check(hopfix_status status) {
  if (status == HOPFIX_OK) return;
  fprintf(stderr, "status %d: %s\n", (int)status, hopfix_last_error());
  exit(1);
}

static const hopfix_execution two_threads = {2, NULL, NULL};

static void write_fixed_points(const OF_TYPE(network) * network, hopfix_method method,
                               const char* directory, const char* prefix) {
  char name[64];
  hopfix_search_options options = {0};
  hopfix_point_list* list;
  hopfix_completeness completeness;
  int64_t count, dim, i;
  options.method = method;
  options.seed = 3;
  check(OF_TYPE(fixed_points)(network, &options, &two_threads, &list));
  check(hopfix_list_summary(list, &count, &dim, &completeness));
  double* states = reserve(count * dim, sizeof(double));
  hopfix_certificate* certificates = reserve(count, sizeof *certificates);
  check(hopfix_list_points(list, states, certificates));
  hopfix_destroy_list(list);

  double* rows = reserve(count * 5, sizeof(double));
  for (i = 0; i < count; ++i) {
    const hopfix_certificate* c = certificates + i;
    const double row[5] = {c->certified, c->morse_index, c->radius, c->uniqueness_radius,
                           c->spectral_radius};
    memcpy(rows + 5 * i, row, sizeof row);
  }
  const int64_t proved = completeness == HOPFIX_PROVED;
  snprintf(name, sizeof name, "%s_states", prefix);
  write_numbers(directory, name, states, count * dim, sizeof(double));
  snprintf(name, sizeof name, "%s_certificates", prefix);
  write_numbers(directory, name, rows, count * 5, sizeof(double));
  snprintf(name, sizeof name, "%s_proved", prefix);
  write_numbers(directory, name, &proved, 1, sizeof proved);
  free(states);
  free(certificates);
  free(rows);
}

int main(int argument_count, char** arguments) {
  if (argument_count != 3) return 2;
  const char* out = arguments[2];
  FILE* file = fopen(arguments[1], "rb");
  if (file == NULL) return 2;
  int64_t* sizes = read_numbers(file, 3, sizeof *sizes);
  const int64_t n = sizes[0], dim = sizes[1], count = sizes[2];
  double* beta = read_numbers(file, 1, sizeof *beta);
  REAL* patterns = read_numbers(file, n * dim, sizeof(REAL));
  REAL* log_weights = read_numbers(file, n, sizeof(REAL));
  REAL* states = read_numbers(file, count * dim, sizeof(REAL));
  fclose(file);

  OF_TYPE(network) * network;
  check(OF_TYPE(create)(patterns, n, dim, *beta, log_weights, &network));
  REAL* result = reserve(count * (n > dim * dim ? n : dim * dim), sizeof(REAL));
  check(OF_TYPE(update)(network, states, count, result, &two_threads));
  write_numbers(out, "update", result, count * dim, sizeof(REAL));
  check(OF_TYPE(weights)(network, states, count, result, &two_threads));
  write_numbers(out, "weights", result, count * n, sizeof(REAL));
  check(OF_TYPE(energy)(network, states, count, result, &two_threads));
  write_numbers(out, "energy", result, count, sizeof(REAL));
  check(OF_TYPE(jacobian)(network, states, count, result, &two_threads));
  write_numbers(out, "jacobian", result, count * dim * dim, sizeof(REAL));

  int64_t* steps = reserve(count, sizeof *steps);
  uint8_t* converged = reserve(count, sizeof *converged);
  REAL* residual = reserve(count, sizeof(REAL));
  const double tol = sizeof(REAL) == sizeof(float) ? HOPFIX_TOL_F32 : HOPFIX_TOL_F64;
  check(OF_TYPE(retrieve)(network, states, count, HOPFIX_MAX_STEPS, tol, result, steps, converged,
                          residual, &two_threads));
  write_numbers(out, "states", result, count * dim, sizeof(REAL));
  write_numbers(out, "steps", steps, count, sizeof *steps);
  write_numbers(out, "converged", converged, count, sizeof *converged);
  write_numbers(out, "residual", residual, count, sizeof(REAL));
  if (n < 20) {
    write_fixed_points(network, HOPFIX_CELLS, out, "cells");
    write_fixed_points(network, HOPFIX_STARTS, out, "starts");
  }
  OF_TYPE(destroy)(network);
  free(sizes);
  free(beta);
  free(patterns);
  free(log_weights);
  free(states);
  free(result);
  free(steps);
  free(converged);
  free(residual);
  return 0;
}
