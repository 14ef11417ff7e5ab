// The retrieval kernels and the table of one instruction-set level.
#include "exp.hpp"
#include "level.hpp"
#include "screen.hpp"
#include "tangent.hpp"
#include "tanh.hpp"

#define HOPFIX_STRING_(x) #x
#define HOPFIX_STRING(x) HOPFIX_STRING_(x)

namespace hopfix::kernels::HOPFIX_LEVEL {

namespace {

template <class T>
void exp_array(const T* x, T* y, std::ptrdiff_t count) {
  std::ptrdiff_t i = 0;
  for (; i + kLanes<T> <= count; i += kLanes<T>) store(y + i, exp<T>(load(x + i)));
  if (i == count) return;
  T tail[kLanes<T>] = {};
  const std::size_t bytes = static_cast<std::size_t>(count - i) * sizeof(T);
  std::memcpy(tail, x + i, bytes);
  store(tail, exp<T>(load(tail)));
  std::memcpy(y + i, tail, bytes);
}

template <class T>
void tanh_array(const T* x, T* y, std::ptrdiff_t count) {
  constexpr int lanes = kLanes<T>;
  std::ptrdiff_t i = 0;
  for (; i + lanes <= count; i += lanes) store(y + i, tanh(load(x + i)));
  if (i == count) return;
  T tail[lanes] = {};
  const std::size_t bytes = static_cast<std::size_t>(count - i) * sizeof(T);
  std::memcpy(tail, x + i, bytes);
  store(tail, tanh(load(tail)));
  std::memcpy(y + i, tail, bytes);
}

template <class Shape>
constexpr TileKernels<typename Shape::Scalar> tile() {
  using Tile = SoftmaxTile<Shape>;
  using Tangent = TangentTile<Shape>;
  return {Tile::lanes, Tile::width,   Shape::pack,      Shape::unpack,    Tile::accumulate,
          Tile::merge, Tile::weights, Tangent::tangent, Tangent::scratch, Tangent::merge};
}

template <class Shape>
constexpr ScreenKernels screen() {
  return {Shape::lanes, Shape::pack, Shape::group_maxima};
}

}  // namespace

const TileKernels<float> tile32[kTileShapes] = {tile<Few<float, 1>>(), tile<Few<float, 4>>(),
                                                tile<Wide<float, 1>>(), tile<Wide<float, 2>>()};
const TileKernels<double> tile64[kTileShapes] = {tile<Few<double, 1>>(), tile<Few<double, 4>>(),
                                                 tile<Wide<double, 1>>(), tile<Wide<double, 2>>()};
const ScreenKernels screens[kTileShapes] = {screen<FewScreen<1>>(), screen<FewScreen<4>>(),
                                            screen<WideScreen<1>>(), screen<WideScreen<2>>()};
const Table table = {HOPFIX_STRING(HOPFIX_LEVEL),
                     tile32,
                     tile64,
                     screens,
                     &dense,
                     &derivatives,
                     &separation,
                     &similarity,
                     attention,
                     &panels,
                     &binary,
                     &association,
                     exp_array<float>,
                     exp_array<double>,
                     tanh_array<float>,
                     tanh_array<double>};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
