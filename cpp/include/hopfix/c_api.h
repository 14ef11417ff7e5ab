/* The C API of hopfix: modern Hopfield networks of float and of double, for C99 and whatever can
 * call it.
 *
 *   z_i = beta x_i . xi + b_i     p = softmax(z)     f(xi) = sum_i p_i x_i
 *
 * Arrays are row-major and the caller's: patterns n x dim, states count x dim. Results may not
 * overlap arguments. They are those of the C++ and the Python API to the bit, for every number of
 * threads, and for a state alone or in any batch.
 *
 * Errors: a function that returns hopfix_status never throws, whatever it is given; null pointers,
 * NaN and wrong sizes are HOPFIX_INVALID_ARGUMENT. After anything but HOPFIX_OK,
 * hopfix_last_error() tells this thread which argument was wrong and what it needs, and arrays of
 * results have no meaning (for HOPFIX_INTERRUPTED see hopfix_fixed_points_f64).
 *
 * Threads: a network and a list do not change; any number of threads may use them at once. The
 * environment variable HOPFIX_ISA chooses the instruction-set level, as in Python.
 *
 * Linking: the library is static and written in C++, so that programs in C are linked by the C++
 * compiler; the CMake target hopfix::hopfix sees to it where the project has both languages.
 *
 * hopfix/hopfix.hpp is the C++ API, of which this is the smaller part. */
#ifndef HOPFIX_C_API_H
#define HOPFIX_C_API_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hopfix_status {
  HOPFIX_OK = 0,
  HOPFIX_INVALID_ARGUMENT = 1,
  HOPFIX_OUT_OF_MEMORY = 2,
  HOPFIX_OVERFLOW = 3,    /* finite arguments, but beta |x| |xi| leaves the range of the type */
  HOPFIX_INTERRUPTED = 4, /* the caller's stop returned nonzero */
  HOPFIX_FAILED = 5       /* e.g. a thread that does not round to nearest asks for certificates */
} hopfix_status;

/* The message of this thread's last call that failed; "" before. Valid until its next failure. */
const char* hopfix_last_error(void);

/* The version of the library, e.g. "0.1.0". */
const char* hopfix_version(void);

/* How to run. Null or zeros: on the CPUs of the process's affinity mask, to the end. */
typedef struct hopfix_execution {
  int threads;                /* the calling one included; 0: one for every CPU */
  int (*stop)(void* context); /* asked by the calling thread, every 20 ms or so; may be null */
  void* context;
} hopfix_execution;

typedef struct hopfix_network_f32 hopfix_network_f32;
typedef struct hopfix_network_f64 hopfix_network_f64;

/* A network in *network, which hopfix_destroy frees. Copies its arguments: patterns (n x dim), beta
 * > 0, log_weights (n) b or null for zeros, all finite. Where there is an error *network is null.
 * O(n dim). */
hopfix_status hopfix_create_f32(const float* patterns, int64_t n, int64_t dim, double beta,
                                const float* log_weights, hopfix_network_f32** network);
hopfix_status hopfix_create_f64(const double* patterns, int64_t n, int64_t dim, double beta,
                                const double* log_weights, hopfix_network_f64** network);

/* Null is allowed. */
void hopfix_destroy_f32(hopfix_network_f32* network);
void hopfix_destroy_f64(hopfix_network_f64* network);

/* out (count x dim) = f(states). O(n dim) a state; logits to (dim + 2) u beta |x_i| |xi|, averages
 * to about (96 + n / 96) u max|x|, u the unit roundoff of the type. */
hopfix_status hopfix_update_f32(const hopfix_network_f32* network, const float* states,
                                int64_t count, float* out, const hopfix_execution* execution);
hopfix_status hopfix_update_f64(const hopfix_network_f64* network, const double* states,
                                int64_t count, double* out, const hopfix_execution* execution);

/* out (count x n) = p. O(n dim) a state. */
hopfix_status hopfix_weights_f32(const hopfix_network_f32* network, const float* states,
                                 int64_t count, float* out, const hopfix_execution* execution);
hopfix_status hopfix_weights_f64(const hopfix_network_f64* network, const double* states,
                                 int64_t count, double* out, const hopfix_execution* execution);

/* out (count) = |xi|^2 / 2 - log(sum_i exp(z_i)) / beta. O(n dim) a state. */
hopfix_status hopfix_energy_f32(const hopfix_network_f32* network, const float* states,
                                int64_t count, float* out, const hopfix_execution* execution);
hopfix_status hopfix_energy_f64(const hopfix_network_f64* network, const double* states,
                                int64_t count, double* out, const hopfix_execution* execution);

/* out (count x dim x dim) = J(states) = beta Cov_p(x), exactly symmetric. O(n dim^2 / 2) a state.
 */
hopfix_status hopfix_jacobian_f32(const hopfix_network_f32* network, const float* states,
                                  int64_t count, float* out, const hopfix_execution* execution);
hopfix_status hopfix_jacobian_f64(const hopfix_network_f64* network, const double* states,
                                  int64_t count, double* out, const hopfix_execution* execution);

/* What Python takes where tol and max_steps are not given. */
#define HOPFIX_TOL_F32 1e-6
#define HOPFIX_TOL_F64 1e-12
#define HOPFIX_MAX_STEPS 1000

/* Iterates every query by itself until |f(xi) - xi| <= tol max(1, |xi|), or for max_steps updates.
 * out (count x dim): the states reached; steps, converged (0 or 1) and residual = |f(xi) - xi|
 * (count each) may be null. tol >= 0, max_steps >= 0. At most O(n dim) a step. */
hopfix_status hopfix_retrieve_f32(const hopfix_network_f32* network, const float* states,
                                  int64_t count, int64_t max_steps, double tol, float* out,
                                  int64_t* steps, uint8_t* converged, float* residual,
                                  const hopfix_execution* execution);
hopfix_status hopfix_retrieve_f64(const hopfix_network_f64* network, const double* states,
                                  int64_t count, int64_t max_steps, double tol, double* out,
                                  int64_t* steps, uint8_t* converged, double* residual,
                                  const hopfix_execution* execution);

typedef enum hopfix_method {
  HOPFIX_CELLS = 0, /* exhaustive: finds all and proves that there are no others (cells.hpp) */
  HOPFIX_STARTS = 1 /* Newton from many starts: never proves (fixed_points.hpp) */
} hopfix_method;

/* Null or zeros: the exhaustive search without limits. */
typedef struct hopfix_search_options {
  int method;        /* a hopfix_method */
  int64_t max_count; /* stop at so many points; 0: no limit */
  int64_t max_boxes; /* of HOPFIX_CELLS; 0: no limit */
  double time_limit; /* seconds; 0: no limit */
  uint64_t seed;     /* of HOPFIX_STARTS */
} hopfix_search_options;

typedef enum hopfix_completeness {
  HOPFIX_UNKNOWN = 0,
  HOPFIX_CONSISTENT = 1, /* degree sum and Morse inequalities hold, as for some incomplete lists */
  HOPFIX_PROVED = 2      /* rigorous arithmetic has excluded every other fixed point */
} hopfix_completeness;

/* A fixed point's certificate (certificate.hpp), about the exact map of the stored numbers. */
typedef struct hopfix_certificate {
  int certified;            /* 1: proved, with all rounding bounded */
  int morse_index;          /* eigenvalues of J above 1; an estimate unless certified */
  double radius;            /* a fixed point lies within this distance; NaN unless certified */
  double uniqueness_radius; /* at most one lies strictly within; NaN unless certified */
  double spectral_radius;   /* largest eigenvalue of J, to rounding */
} hopfix_certificate;

typedef struct hopfix_point_list hopfix_point_list;

/* Fixed points of every Morse index, found and certified in double precision (of a float network
 * the states are rounded to float before they are certified). *list is freed by
 * hopfix_destroy_list; null where there is an error, but for HOPFIX_INTERRUPTED, which leaves what
 * was found until then. HOPFIX_CELLS takes at most 128 patterns, or patterns that span at most 8
 * dimensions: HOPFIX_INVALID_ARGUMENT otherwise. Its time grows exponentially with the problem:
 * pass a limit or a stop. */
hopfix_status hopfix_fixed_points_f32(const hopfix_network_f32* network,
                                      const hopfix_search_options* options,
                                      const hopfix_execution* execution, hopfix_point_list** list);
hopfix_status hopfix_fixed_points_f64(const hopfix_network_f64* network,
                                      const hopfix_search_options* options,
                                      const hopfix_execution* execution, hopfix_point_list** list);

/* Null is allowed. */
void hopfix_destroy_list(hopfix_point_list* list);

/* How many points there are, their dimension, and how much is known about others; each may be null.
 */
hopfix_status hopfix_list_summary(const hopfix_point_list* list, int64_t* count, int64_t* dim,
                                  hopfix_completeness* completeness);

/* states (count x dim), certificates (count); either may be null. In the order found. */
hopfix_status hopfix_list_points(const hopfix_point_list* list, double* states,
                                 hopfix_certificate* certificates);

#ifdef __cplusplus
}
#endif

#endif /* HOPFIX_C_API_H */
