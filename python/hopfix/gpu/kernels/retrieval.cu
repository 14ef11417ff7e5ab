// The update f(xi) = sum_i p_i v_i, p = softmax(beta x_i . xi + b_i), on a CUDA device, fused: no
// queries x patterns array exists. Compiled at run time by NVRTC, includes nothing.
//
// Triples (m, s, w) stand for sums over a set of patterns: m the largest logit z_i, s = sum
// exp(z_i - m), w = sum exp(z_i - m) v_i. Of no pattern: (-inf, 0, 0). The update is w / s,
// log sum exp z is m + log s. Method: running maximum and sum (Milakov & Gimelshein 2018), the
// fusion of FlashAttention (Dao et al. 2022), without tensor cores: all arithmetic is float or
// double fused multiply-adds and exp.
//
// Arrays are contiguous rows: patterns (N, d), log_weights (N) or null, values (N, v), states
// (., d). Any sizes >= 1, any alignment; rows that start at multiples of 16 bytes are read in
// vectors.
//
// Floors for B queries: 2 N B (d + v) flops, N B exp, and (N + B) (d + v) numbers of memory
// traffic. Blocks of 64 queries read the patterns through the L2 cache: per 64 x 64 tile
// 64 (2 d + v) numbers for 2 * 64 * 64 (d + v) flops, 21 flops a byte in float with d = v. From
// shared memory every thread reads 8 numbers, as two vectors, for 16 multiply-adds. Fewer than 64
// queries cost what 64 cost; values beyond 256 columns are summed by further blocks, each of which
// computes the logits again.
//
// Deterministic: every sum has an order fixed by d, N and the number of parts that the patterns
// are divided in (gridDim.y). A query's result depends neither on the other queries nor on its
// place among them.

using Index = long long;

constexpr int kThreads = 256;  // 16 x 16: row `line`, column `lane`
constexpr int kLanes = 16;
constexpr int kTile = 64;  // queries of a block, patterns of a tile, columns of a chunk of values
constexpr unsigned kWarp = 0xffffffffu;

// Columns of patterns and states staged at once: 128 bytes of a row.
template <class T>
constexpr int kDepth = 128 / static_cast<int>(sizeof(T));

__device__ inline float infinity() { return __int_as_float(0x7f800000); }

// m where it is finite, else 0: exp(z - reference(m)) is 0 for z = m = -inf.
template <class T>
__device__ T reference(T m) {
  return m == -infinity() ? T(0) : m;
}

// Four neighbours in a row, moved in vectors of 16 bytes.
template <class T>
struct alignas(16) Quad {
  T at[4];
};

// A row of 64 numbers in shared memory.
template <class T>
using TileRow = Quad<T>[kLanes];

// Quad `group` of a row. The quads of a row are permuted in a way that changes every fourth row:
// then neither a warp that transposes (its lanes write 8 rows 4 apart) nor one that reads along a
// row meets a bank twice (float; two ways in double).
template <class T>
__device__ Quad<T>& quad(TileRow<T>* rows, int row, int group) {
  return rows[row][group ^ (row / 4 % 8)];
}

// `stage` holds first a block of columns of the queries, transposed, and under it the same of the
// patterns; then rows of values. `weights`: row i holds exp(z_i - m) of the 64 queries.
template <class T>
struct Tiles {
  TileRow<T> stage[2 * kDepth<T>];
  TileRow<T> weights[kTile];
};

template <class T>
__device__ bool aligned_rows(const T* data, int columns) {
  return (reinterpret_cast<unsigned long long>(data) | columns * sizeof(T)) % 16 == 0;
}

// Columns `column` to `column` + 3 of a row of `columns`, zero where it has ended.
template <class T>
__device__ Quad<T> load_quad(const T* row, int column, int columns, bool aligned) {
  if (aligned && column + 4 <= columns) return *reinterpret_cast<const Quad<T>*>(row + column);
  Quad<T> result = {};
#pragma unroll
  for (int j = 0; j < 4; ++j)
    if (column + j < columns) result.at[j] = row[column + j];
  return result;
}

template <class T>
__device__ void store_quad(T* row, int column, int columns, bool aligned, const Quad<T>& source) {
  if (aligned && column + 4 <= columns) {
    *reinterpret_cast<Quad<T>*>(row + column) = source;
    return;
  }
#pragma unroll
  for (int j = 0; j < 4; ++j)
    if (column + j < columns) row[column + j] = source.at[j];
}

// sum[r] += a_r b
template <class T>
__device__ void add_outer(const Quad<T>& a, const Quad<T>& b, Quad<T> (&sum)[4]) {
#pragma unroll
  for (int r = 0; r < 4; ++r)
#pragma unroll
    for (int j = 0; j < 4; ++j) sum[r].at[j] += a.at[r] * b.at[j];
}

template <class T>
struct Problem {
  const T* patterns;
  const T* values;
  const T* log_weights;    // or null: 0
  const T* states;         // rows of d
  const Index* rows;       // query q is row rows[q] of states; or null: row q
  const T* start_maximum;  // (queries), (queries), (queries, v): the triple to go on from;
  const T* start_sum;      //   or null: that of no pattern
  const T* start_weighted;
  Index count, queries;  // N, number of queries
  int dim, value_dim;    // d, v
  T beta;
  T* maximum;   // (parts, queries)
  T* sum;       // (parts, queries)
  T* weighted;  // (parts, queries, v)
};

// The triples of 64 queries over one part of the patterns, for 64 kChunks columns of the values.
// A thread owns queries 4 line to 4 line + 3 throughout: with these it owns patterns 4 lane to
// 4 lane + 3 of every tile, then columns 4 lane to 4 lane + 3 of every chunk.
template <class T, int kChunks>
struct TileSums {
  static constexpr int kShare = kTile * kDepth<T> / 4 / kThreads;  // quads of 64 staged rows
  static constexpr int kPieceRows = 2 * kDepth<T>;                 // rows of values staged at once
  static constexpr int kPieces = kTile / kPieceRows;

  const Problem<T>& problem;
  Tiles<T>& tiles;
  const int thread, line, lane, first_column;
  const Index first_query;
  const bool aligned_patterns, aligned_values, aligned_states;
  T maximum[4], sum[4];  // `sum` over this thread's patterns only
  Quad<T> weighted[kChunks][4];

  __device__ TileSums(const Problem<T>& p, Tiles<T>& shared)
      : problem(p),
        tiles(shared),
        thread(static_cast<int>(threadIdx.x)),
        line(thread / kLanes),
        lane(thread % kLanes),
        first_column(static_cast<int>(blockIdx.z) * kTile * kChunks),
        first_query(static_cast<Index>(blockIdx.x) * kTile),
        aligned_patterns(aligned_rows(p.patterns, p.dim)),
        aligned_values(aligned_rows(p.values, p.value_dim)),
        aligned_states(aligned_rows(p.states, p.dim)) {}

  __device__ int column(int chunk) const { return first_column + chunk * kTile + 4 * lane; }

  __device__ void start() {
    const bool resume = problem.start_maximum != nullptr && blockIdx.y == 0;
    const bool aligned = aligned_rows(problem.start_weighted, problem.value_dim);
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const Index q = first_query + 4 * line + r;
      const bool given = resume && q < problem.queries;
      maximum[r] = given ? problem.start_maximum[q] : -infinity();
      sum[r] = given && lane == 0 ? problem.start_sum[q] : T(0);
#pragma unroll
      for (int c = 0; c < kChunks; ++c)
        weighted[c][r] = given ? load_quad(problem.start_weighted + q * problem.value_dim,
                                           column(c), problem.value_dim, aligned)
                               : Quad<T>{};
    }
  }

  // This thread's share of columns `from` on of the block's queries, and of the tile's patterns.
  __device__ void fetch(Index first_pattern, int from, Quad<T> (&next)[2 * kShare]) const {
#pragma unroll
    for (int i = 0; i < kShare; ++i) {
      const int e = thread + i * kThreads, k = from + e % (kDepth<T> / 4) * 4;
      const Index q = first_query + e / (kDepth<T> / 4), x = first_pattern + e / (kDepth<T> / 4);
      next[i] = next[kShare + i] = Quad<T>{};
      if (q < problem.queries) {
        const Index row = problem.rows == nullptr ? q : problem.rows[q];
        next[i] = load_quad(problem.states + row * problem.dim, k, problem.dim, aligned_states);
      }
      if (x < problem.count)
        next[kShare + i] =
            load_quad(problem.patterns + x * problem.dim, k, problem.dim, aligned_patterns);
    }
  }

  __device__ void stage_transposed(const Quad<T> (&next)[2 * kShare]) {
#pragma unroll
    for (int i = 0; i < kShare; ++i) {
      const int e = thread + i * kThreads, k = e % (kDepth<T> / 4) * 4, row = e / (kDepth<T> / 4);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        quad(tiles.stage, k + j, row / 4).at[row % 4] = next[i].at[j];
        quad(tiles.stage, kDepth<T> + k + j, row / 4).at[row % 4] = next[kShare + i].at[j];
      }
    }
  }

  // z[r].at[j]: products of query r and pattern j; 0 beyond the last query or pattern. The next
  // block of columns is on its way while this one is multiplied.
  __device__ void products(Index first_pattern, Quad<T> (&z)[4]) {
    Quad<T> next[2 * kShare];
    fetch(first_pattern, 0, next);
    for (int from = 0; from < problem.dim; from += kDepth<T>) {
      stage_transposed(next);
      __syncthreads();
      if (from + kDepth<T> < problem.dim) fetch(first_pattern, from + kDepth<T>, next);
#pragma unroll 8
      for (int k = 0; k < kDepth<T>; ++k)
        add_outer(quad(tiles.stage, k, line), quad(tiles.stage, kDepth<T> + k, lane), z);
      __syncthreads();
    }
  }

  // Products to logits; -inf behind the last pattern.
  __device__ void logits(Index first_pattern, Quad<T> (&z)[4]) const {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const Index i = first_pattern + 4 * lane + j;
      const bool exists = i < problem.count;
      const T b = exists && problem.log_weights != nullptr ? problem.log_weights[i] : T(0);
#pragma unroll
      for (int r = 0; r < 4; ++r)
        z[r].at[j] = exists ? problem.beta * z[r].at[j] + b : T(-infinity());
    }
  }

  // Logits to weights exp(z - m) with the maximum raised to cover them; what was summed so far is
  // rescaled to the new maximum.
  __device__ void exponentiate(Quad<T> (&z)[4]) {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      T top = fmax(fmax(z[r].at[0], z[r].at[1]), fmax(z[r].at[2], z[r].at[3]));
#pragma unroll
      for (int other = kLanes / 2; other > 0; other /= 2)
        top = fmax(top, __shfl_xor_sync(kWarp, top, other, kLanes));
      top = fmax(top, maximum[r]);
      const T scale = exp(maximum[r] - reference(top));
      maximum[r] = top;
#pragma unroll
      for (int j = 0; j < 4; ++j) z[r].at[j] = exp(z[r].at[j] - reference(top));
      sum[r] = sum[r] * scale + ((z[r].at[0] + z[r].at[1]) + (z[r].at[2] + z[r].at[3]));
#pragma unroll
      for (int c = 0; c < kChunks; ++c)
#pragma unroll
        for (int j = 0; j < 4; ++j) weighted[c][r].at[j] *= scale;
    }
  }

  __device__ void share_weights(const Quad<T> (&p)[4]) {
#pragma unroll
    for (int j = 0; j < 4; ++j)
      quad(tiles.weights, 4 * lane + j, line) = {{p[0].at[j], p[1].at[j], p[2].at[j], p[3].at[j]}};
  }

  // Piece `step`: kPieceRows rows of values, of one chunk of columns.
  __device__ void fetch_values(Index first_pattern, int step, Quad<T> (&next)[2 * kShare]) const {
    const Index first = first_pattern + step % kPieces * kPieceRows;
#pragma unroll
    for (int i = 0; i < 2 * kShare; ++i) {
      const Index row = first + thread / kLanes + i * (kThreads / kLanes);
      next[i] = row < problem.count
                    ? load_quad(problem.values + row * problem.value_dim, column(step / kPieces),
                                problem.value_dim, aligned_values)
                    : Quad<T>{};
    }
  }

  __device__ void add_values(Index first_pattern) {
    Quad<T> next[2 * kShare];
    fetch_values(first_pattern, 0, next);
#pragma unroll
    for (int step = 0; step < kChunks * kPieces; ++step) {
      const int chunk = step / kPieces, first = step % kPieces * kPieceRows;
      if (first_column + chunk * kTile >= problem.value_dim) break;
#pragma unroll
      for (int i = 0; i < 2 * kShare; ++i)
        quad(tiles.stage, line + i * (kThreads / kLanes), lane) = next[i];
      __syncthreads();
      if (step + 1 < kChunks * kPieces) fetch_values(first_pattern, step + 1, next);
#pragma unroll 8
      for (int i = 0; i < kPieceRows; ++i)
        add_outer(quad(tiles.weights, first + i, line), quad(tiles.stage, i, lane),
                  weighted[chunk]);
      __syncthreads();
    }
  }

  __device__ void finish() {
    const bool aligned = aligned_rows(problem.weighted, problem.value_dim);
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      T total = sum[r];
#pragma unroll
      for (int other = kLanes / 2; other > 0; other /= 2)
        total += __shfl_xor_sync(kWarp, total, other, kLanes);
      const Index q = first_query + 4 * line + r;
      if (q >= problem.queries) continue;
      const Index slot = static_cast<Index>(blockIdx.y) * problem.queries + q;
      if (lane == 0 && blockIdx.z == 0) {
        problem.maximum[slot] = maximum[r];
        problem.sum[slot] = total;
      }
#pragma unroll
      for (int c = 0; c < kChunks; ++c)
        store_quad(problem.weighted + slot * problem.value_dim, column(c), problem.value_dim,
                   aligned, weighted[c][r]);
    }
  }

  // Part blockIdx.y of gridDim.y, in whole tiles.
  __device__ void run() {
    const Index count = (problem.count + kTile - 1) / kTile, parts = gridDim.y, part = blockIdx.y;
    start();
    for (Index tile = count * part / parts; tile < count * (part + 1) / parts; ++tile) {
      Quad<T> z[4] = {};
      products(tile * kTile, z);
      logits(tile * kTile, z);
      exponentiate(z);
      share_weights(z);
      add_values(tile * kTile);
    }
    finish();
  }
};

// Triples of parts to one triple, added up in the order of the parts; with `divide` w / s in place
// of w, 0 where no pattern has a weight. One block per query.
template <class T>
__device__ void merge(const T* maximum, const T* sum, const T* weighted, int parts, Index queries,
                      int value_dim, int divide, T* out_maximum, T* out_sum, T* out) {
  const Index q = blockIdx.x;
  T top = -infinity(), total = 0;
  for (int part = 0; part < parts; ++part) top = fmax(top, maximum[part * queries + q]);
  for (int part = 0; part < parts; ++part)
    total += sum[part * queries + q] * exp(maximum[part * queries + q] - reference(top));
  const T divisor = divide && total != 0 ? total : T(1);
  for (int c = static_cast<int>(threadIdx.x); c < value_dim; c += kThreads) {
    T mixed = 0;
    for (int part = 0; part < parts; ++part) {
      const Index slot = part * queries + q;
      mixed += weighted[slot * value_dim + c] * exp(maximum[slot] - reference(top));
    }
    out[q * value_dim + c] = mixed / divisor;
  }
  if (threadIdx.x == 0) {
    out_maximum[q] = top;
    out_sum[q] = total;
  }
}

// The sum of x over the block, in every thread; partial: one number per warp.
__device__ inline double block_sum(double x, double (&partial)[kThreads / 32]) {
#pragma unroll
  for (int other = 16; other > 0; other /= 2) x += __shfl_xor_sync(kWarp, x, other, 32);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = x;
  __syncthreads();
  double total = 0;
#pragma unroll
  for (int w = 0; w < kThreads / 32; ++w) total += partial[w];
  __syncthreads();
  return total;
}

// One step of retrieval for the queries that still go on, rows[0], rows[1], …: with f(xi) in
// `updates`, the query stops if |f(xi) - xi| <= tol max(1, |xi|) (2-norms, in double) or after
// max_steps updates, and its state stays; else its state becomes f(xi). One block per query.
template <class T>
__device__ void step(const T* updates, const Index* rows, int dim, double tol, Index max_steps,
                     T* states, Index* steps, T* residual, bool* converged, bool* going,
                     double (&partial)[kThreads / 32]) {
  const Index row = rows[blockIdx.x];
  const T* update = updates + static_cast<Index>(blockIdx.x) * dim;
  T* state = states + row * dim;
  const Index taken = steps[row];
  double moved = 0, size = 0;
  for (int c = static_cast<int>(threadIdx.x); c < dim; c += kThreads) {
    const double x = state[c], difference = update[c] - x;
    moved += difference * difference;
    size += x * x;
  }
  moved = sqrt(block_sum(moved, partial));
  size = sqrt(block_sum(size, partial));
  const bool close = moved < infinity() && moved <= tol * fmax(1.0, size);
  const bool on = !close && taken < max_steps;
  if (on)
    for (int c = static_cast<int>(threadIdx.x); c < dim; c += kThreads) state[c] = update[c];
  if (threadIdx.x == 0) {
    steps[row] = taken + on;
    residual[row] = static_cast<T>(moved);
    converged[row] = close;
    going[blockIdx.x] = on;
  }
}

#define HOPFIX_TILE_SUMS(NAME, T, CHUNKS, BLOCKS)                                                  \
  extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS)                                   \
      NAME(const T* patterns, const T* values, const T* log_weights, const T* states,              \
           const Index* rows, const T* start_maximum, const T* start_sum, const T* start_weighted, \
           Index count, Index queries, int dim, int value_dim, T beta, T* maximum, T* sum,         \
           T* weighted) {                                                                          \
    __shared__ Tiles<T> tiles;                                                                     \
    const Problem<T> problem = {                                                                   \
        patterns, values,  log_weights, states,    rows, start_maximum, start_sum, start_weighted, \
        count,    queries, dim,         value_dim, beta, maximum,       sum,       weighted};      \
    TileSums<T, CHUNKS>(problem, tiles).run();                                                     \
  }

#define HOPFIX_MERGE(NAME, T)                                                                 \
  extern "C" __global__ void __launch_bounds__(kThreads)                                      \
      NAME(const T* maximum, const T* sum, const T* weighted, int parts, Index queries,       \
           int value_dim, int divide, T* out_maximum, T* out_sum, T* out) {                   \
    merge<T>(maximum, sum, weighted, parts, queries, value_dim, divide, out_maximum, out_sum, \
             out);                                                                            \
  }

#define HOPFIX_STEP(NAME, T)                                                                     \
  extern "C" __global__ void __launch_bounds__(kThreads)                                         \
      NAME(const T* updates, const Index* rows, int dim, double tol, Index max_steps, T* states, \
           Index* steps, T* residual, bool* converged, bool* going) {                            \
    __shared__ double partial[kThreads / 32];                                                    \
    step<T>(updates, rows, dim, tol, max_steps, states, steps, residual, converged, going,       \
            partial);                                                                            \
  }

// Blocks per multiprocessor: two in float, which leaves 128 registers a thread (the wider kernel
// spills some, under 256 bytes a thread); one in double, up to 255.
HOPFIX_TILE_SUMS(hopfix_tile_sums_float32_64, float, 1, 2)
HOPFIX_TILE_SUMS(hopfix_tile_sums_float32_256, float, 4, 2)
HOPFIX_TILE_SUMS(hopfix_tile_sums_float64_64, double, 1, 1)
HOPFIX_TILE_SUMS(hopfix_tile_sums_float64_256, double, 4, 1)
HOPFIX_MERGE(hopfix_merge_float32, float)
HOPFIX_MERGE(hopfix_merge_float64, double)
HOPFIX_STEP(hopfix_step_float32, float)
HOPFIX_STEP(hopfix_step_float64, double)
