// Scores of keys against tiles of queries, and averages of values, of one instruction-set level.
#include "exp.hpp"
#include "level.hpp"
#include "wide_queries.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

namespace {

template <class T>
inline Vec<T> magnitude(Vec<T> x) {
  Bits<T> bits;
  std::memcpy(&bits, &x, sizeof bits);
  bits &= ~Bits<T>{} >> 1;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

template <class T>
inline Vec<T> square_root(Vec<T> x) {
  Vec<T> root;
  for (int l = 0; l < kLanes<T>; ++l) root[l] = static_cast<T>(__builtin_sqrt(x[l]));
  return root;
}
template <>
inline Vec<float> square_root<float>(Vec<float> x) {
  Vec<float> root;
  for (int l = 0; l < kLanes<float>; ++l) root[l] = __builtin_sqrtf(x[l]);
  return root;
}

// A similarity: what one component adds to its sum, and what becomes of the whole sum.
struct Dot {
  template <class V>
  static V add(V x, V q, V sum) {
    return fma(x, q, sum);
  }
  template <class T>
  static Vec<T> finish(Vec<T> sum) {
    return sum;
  }
};

struct NegSquaredL2 {
  template <class V>
  static V add(V x, V q, V sum) {
    const V difference = x - q;
    return fma(difference, difference, sum);
  }
  template <class T>
  static Vec<T> finish(Vec<T> sum) {
    return -sum;
  }
};

struct NegL2 : NegSquaredL2 {
  template <class T>
  static Vec<T> finish(Vec<T> sum) {
    return -square_root<T>(sum);
  }
};

struct NegL1 {
  template <class V>
  static V add(V x, V q, V sum) {
    return sum + magnitude<std::remove_reference_t<decltype(x[0])>>(x - q);
  }
  template <class T>
  static Vec<T> finish(Vec<T> sum) {
    return -sum;
  }
};

// Rows of sums held in registers, beside two vectors of queries, a component and intermediates.
#if defined(__AVX512F__)
constexpr int kScoreRows = 12;
#else
constexpr int kScoreRows = 4;
#endif

// Scores of R keys from `first` on.
template <class T, int V, int R, class Similarity>
inline void score_rows(const ScoreBlock<T>& block, std::ptrdiff_t first, const T* queries,
                       T* scores) {
  constexpr int lanes = V * kLanes<T>;
  const T* keys = block.keys + first * block.stride;
  Vec<T> sum[R][V] = {};
  for (std::ptrdiff_t k = 0; k < block.dim; ++k) {
    Vec<T> q[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) q[v] = load(queries + k * lanes + v * kLanes<T>);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const Vec<T> x = broadcast(keys[r * block.stride + k]);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sum[r][v] = Similarity::add(x, q[v], sum[r][v]);
    }
  }
  const Vec<T> scale = broadcast(block.scale);
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
    const Vec<T> offset = broadcast(block.offsets == nullptr ? T(0) : block.offsets[first + r]);
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v)
      store(scores + (first + r) * lanes + v * kLanes<T>,
            scale * Similarity::template finish<T>(sum[r][v]) + offset);
  }
}

template <class T, int V, class Similarity>
void score(const ScoreBlock<T>& block, const T* queries, T* scores) {
  std::ptrdiff_t i = 0;
  for (; i + kScoreRows <= block.count; i += kScoreRows)
    score_rows<T, V, kScoreRows, Similarity>(block, i, queries, scores);
  for (; i < block.count; ++i) score_rows<T, V, 1, Similarity>(block, i, queries, scores);
}

template <class T, int V>
void mix(const T* values, std::ptrdiff_t stride, std::ptrdiff_t rows, std::ptrdiff_t dim,
         const T* p, T* means) {
  T ones[V * kLanes<T>];
  for (T& one : ones) one = 1;
  Wide<T, V>::mix(values, stride, rows, dim, p, ones, means);
}

// out[i * stride + b] = of(tile[i * lanes + b], i) for b < width.
template <class T, int V, class Function>
inline void each(const T* tile, std::ptrdiff_t rows, T* out, std::ptrdiff_t stride,
                 std::ptrdiff_t width, const Function& of) {
  constexpr int W = kLanes<T>;
  for (std::ptrdiff_t i = 0; i < rows; ++i) {
    if (width == V * W) {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v)
        store(out + i * stride + v * W, of(load(tile + (i * V + v) * W), i));
    } else {
      for (int v = 0; v * W < width; ++v)
        store_some(out + i * stride + v * W, of(load(tile + (i * V + v) * W), i),
                   least(W, width - v * W));
    }
  }
}

template <class T, int V>
void exponentials(const T* tile, std::ptrdiff_t rows, const T* shifts, T factor, T* out,
                  std::ptrdiff_t stride, std::ptrdiff_t width) {
  const Vec<T> by = broadcast(factor);
  each<T, V>(tile, rows, out, stride, width,
             [=](Vec<T> x, std::ptrdiff_t i) { return by * exp_any<T>(x - broadcast(shifts[i])); });
}

template <class T, int V>
void rectified(const T* tile, std::ptrdiff_t rows, T offset, T factor, T* out,
               std::ptrdiff_t stride, std::ptrdiff_t width) {
  const Vec<T> by = broadcast(factor), zero = broadcast(T(0)), more = broadcast(offset);
  each<T, V>(tile, rows, out, stride, width,
             [=](Vec<T> x, std::ptrdiff_t) { return by * (max(zero, x) + more); });
}

template <class T, int V>
void to_rows(const T* tile, std::ptrdiff_t count, std::ptrdiff_t length, std::ptrdiff_t stride,
             T* rows) {
  constexpr std::ptrdiff_t W = kLanes<T>, lanes = V * W;
  for (std::ptrdiff_t b = 0; b < count; b += W)
    for (std::ptrdiff_t i = 0; i < length; i += W) {
      Vec<T> block[W] = {};
      const std::ptrdiff_t width = least(W, length - i), height = least(W, count - b);
      for (std::ptrdiff_t j = 0; j < width; ++j) block[j] = load(tile + (i + j) * lanes + b);
      transpose<T>(block);
      for (std::ptrdiff_t r = 0; r < height; ++r)
        store_some(rows + (b + r) * stride + i, block[r], width);
    }
}

template <class T, int V>
void to_tile(const T* rows, std::ptrdiff_t stride, std::ptrdiff_t count, std::ptrdiff_t length,
             T* tile) {
  constexpr std::ptrdiff_t W = kLanes<T>, lanes = V * W;
  for (std::ptrdiff_t b = 0; b < lanes; b += W)
    for (std::ptrdiff_t i = 0; i < length; i += W) {
      Vec<T> block[W];
      const std::ptrdiff_t height = count > b ? least(W, count - b) : 0;
      const std::ptrdiff_t width = least(W, length - i);
      load_transposed<T>(rows + b * stride + i, stride, height, width, block);
      for (std::ptrdiff_t j = 0; j < width; ++j) store(tile + (i + j) * lanes + b, block[j]);
    }
}

template <class T, int V>
constexpr SimilarityKernels<T> shape() {
  return {V * kLanes<T>,      score<T, V, Dot>, score<T, V, NegSquaredL2>, score<T, V, NegL2>,
          score<T, V, NegL1>, mix<T, V>,        exponentials<T, V>,        rectified<T, V>,
          to_rows<T, V>,      to_tile<T, V>};
}

}  // namespace

const SimilarityTable similarity = {{shape<float, 1>(), shape<float, 2>()},
                                    {shape<double, 1>(), shape<double, 2>()}};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
