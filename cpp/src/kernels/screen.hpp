// The largest logits of groups of 16-bit rows, in two shapes as for floating point
// (wide_queries.hpp).
//
// The sums of pairs of products that the instructions form are exact, and so are all others:
// partial sums are below 2^31 by the Cauchy-Schwarz inequality.
#pragma once

#include "screen_table.hpp"
#include "simd.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

typedef std::int32_t Ints __attribute__((vector_size(HOPFIX_VECTOR_BYTES)));
inline constexpr std::ptrdiff_t kInts = HOPFIX_VECTOR_BYTES / 4;

inline Ints load_ints(const std::int16_t* p) {
  Ints v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// sum + the sums of neighbouring products of the 16-bit numbers in a and b.
inline Ints multiply_add(Ints sum, Ints a, Ints b) {
#if defined(__AVX512BW__)
  return sum + reinterpret_cast<Ints>(
                   _mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return sum + reinterpret_cast<Ints>(
                   _mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(HOPFIX_X86_64)
  return sum + reinterpret_cast<Ints>(
                   _mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
  std::int16_t x[2 * kInts], y[2 * kInts];
  std::memcpy(x, &a, sizeof a);
  std::memcpy(y, &b, sizeof b);
  for (std::ptrdiff_t l = 0; l < kInts; ++l)
    sum[l] += x[2 * l] * y[2 * l] + x[2 * l + 1] * y[2 * l + 1];
  return sum;
#endif
}

// V vectors of queries; numbers 2p and 2p + 1 of query b are neighbours, pair p * lanes + b.
template <int V>
struct WideScreen {
  static constexpr std::ptrdiff_t lanes = V * kInts;

  static void pack(const std::int16_t* rows, std::ptrdiff_t count, std::ptrdiff_t stride,
                   std::int16_t* tile) {
    for (std::ptrdiff_t k = 0; k < stride; k += 2)
      for (std::ptrdiff_t b = 0; b < lanes; ++b) {
        std::int32_t pair = 0;
        if (b < count) std::memcpy(&pair, rows + b * stride + k, sizeof pair);
        std::memcpy(tile + k * lanes + 2 * b, &pair, sizeof pair);
      }
  }

  static void group_maxima(const QuantizedBlock& block, const std::int16_t* tile,
                           const float* scale, float* maxima) {
    std::ptrdiff_t i = 0;
    for (; i + kScreenRows <= block.count; i += kScreenRows, maxima += lanes) {
      start(maxima);
      for (std::ptrdiff_t r = 0; r < kScreenRows; r += kRows)
        rows_maxima<kRows>(block, i + r, tile, scale, maxima);
    }
    if (i < block.count) start(maxima);
    for (; i < block.count; ++i) rows_maxima<1>(block, i, tile, scale, maxima);
  }

 private:
  // As many rows as the registers hold.
#if defined(__AVX512F__)
  static constexpr int kRows = 12;
#else
  static constexpr int kRows = 4;
#endif
  static_assert(kScreenRows % kRows == 0);

  static void start(float* maxima) {
    for (std::ptrdiff_t b = 0; b < lanes; ++b) maxima[b] = -__builtin_inff();
  }

  template <int R>
  static void rows_maxima(const QuantizedBlock& block, std::ptrdiff_t first,
                          const std::int16_t* tile, const float* scale, float* maxima) {
    const std::int16_t* rows = block.data + first * block.stride;
    Ints sum[R][V] = {};
    for (std::ptrdiff_t k = 0; k < block.dim; k += 2) {
      Ints query[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) query[v] = load_ints(tile + k * lanes + 2 * v * kInts);
#pragma GCC unroll 12
      for (int r = 0; r < R; ++r) {
        std::int32_t pair;
        std::memcpy(&pair, rows + r * block.stride + k, sizeof pair);
        const Ints row = pair - Ints{};
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) sum[r][v] = multiply_add(sum[r][v], row, query[v]);
      }
    }
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      const Vec<float> factor = load(scale + v * kInts);
      Vec<float> top = load(maxima + v * kInts);
#pragma GCC unroll 12
      for (int r = 0; r < R; ++r) {
        Vec<float> logit = __builtin_convertvector(sum[r][v], Vec<float>) * factor;
        if (block.log_weights != nullptr) logit += broadcast(block.log_weights[first + r]);
        top = max(logit, top);
      }
      store(maxima + v * kInts, top);
    }
  }
};

// Q queries one after the other: rows are read along their length, at the speed of memory.
template <int Q>
struct FewScreen {
  static constexpr std::ptrdiff_t lanes = Q;

  static void pack(const std::int16_t* rows, std::ptrdiff_t count, std::ptrdiff_t stride,
                   std::int16_t* tile) {
    std::memset(tile, 0, static_cast<std::size_t>(Q * stride) * sizeof *tile);
    std::memcpy(tile, rows, static_cast<std::size_t>(count * stride) * sizeof *tile);
  }

  static void group_maxima(const QuantizedBlock& block, const std::int16_t* tile,
                           const float* scale, float* maxima) {
    for (std::ptrdiff_t i = 0; i < block.count; ++i) {
      Ints sum[Q] = {};
      for (std::ptrdiff_t k = 0; k < block.stride; k += 2 * kInts) {
        const Ints row = load_ints(block.data + i * block.stride + k);
#pragma GCC unroll 4
        for (int q = 0; q < Q; ++q)
          sum[q] = multiply_add(sum[q], row, load_ints(tile + q * block.stride + k));
      }
      const float log_weight = block.log_weights == nullptr ? 0 : block.log_weights[i];
      for (int q = 0; q < Q; ++q) {
        float& top = maxima[i / kScreenRows * Q + q];
        const float logit = static_cast<float>(horizontal_sum(sum[q])) * scale[q] + log_weight;
        if (i % kScreenRows == 0 || logit > top) top = logit;
      }
    }
  }

 private:
  static std::int32_t horizontal_sum(Ints v) {
    std::int32_t part[kInts], sum = 0;
    std::memcpy(part, &v, sizeof v);
    for (const std::int32_t x : part) sum += x;
    return sum;
  }
};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
