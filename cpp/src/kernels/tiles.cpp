// The retrieval kernels and the table of one instruction-set level.
#include "exp.hpp"
#include "level.hpp"
#include "softmax_tile.hpp"

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

}  // namespace

const TileKernels<float> tile32[kTileShapes] = {
    SoftmaxTile<Few<float, 1>>::kernels(), SoftmaxTile<Few<float, 4>>::kernels(),
    SoftmaxTile<Wide<float, 1>>::kernels(), SoftmaxTile<Wide<float, 2>>::kernels()};
const TileKernels<double> tile64[kTileShapes] = {
    SoftmaxTile<Few<double, 1>>::kernels(), SoftmaxTile<Few<double, 4>>::kernels(),
    SoftmaxTile<Wide<double, 1>>::kernels(), SoftmaxTile<Wide<double, 2>>::kernels()};
const Table table = {HOPFIX_STRING(HOPFIX_LEVEL),
                     tile32,
                     tile64,
                     &gram32,
                     &gram64,
                     &dense,
                     &derivatives,
                     exp_array<float>,
                     exp_array<double>};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
