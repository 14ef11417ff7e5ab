// The association kernels of one instruction-set level.
#include "association.hpp"

#include "level.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

namespace {

template <class Shape>
constexpr auto tile() {
  return AssociationTile<Shape>::kernels();
}

const AssociationKernels<float> associations32[kTileShapes] = {
    tile<Few<float, 1>>(), tile<Few<float, 4>>(), tile<Wide<float, 1>>(), tile<Wide<float, 2>>()};
const AssociationKernels<double> associations64[kTileShapes] = {
    tile<Few<double, 1>>(), tile<Few<double, 4>>(), tile<Wide<double, 1>>(),
    tile<Wide<double, 2>>()};

}  // namespace

const AssociationTable association = {associations32, associations64};

}  // namespace hopfix::kernels::HOPFIX_LEVEL
