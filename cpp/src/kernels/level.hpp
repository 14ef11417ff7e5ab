// What the translation units of one level define for its table.
#pragma once

#include "table.hpp"

namespace hopfix::kernels::HOPFIX_LEVEL {

extern const TileKernels<float> tile32[kTileShapes];
extern const TileKernels<double> tile64[kTileShapes];
extern const ScreenKernels screens[kTileShapes];
extern const DenseKernels dense;
extern const DerivativeTable derivatives;
extern const SeparationTable separation;
extern const SimilarityTable similarity;
extern const AttentionKernels attention[kAttentionShapes];
extern const PanelTable panels;
extern const BinaryKernels binary;
extern const AssociationTable association;
extern const Table table;

}  // namespace hopfix::kernels::HOPFIX_LEVEL
