// The kernels of a CUDA source as functions, and the table of them. The build defines
// KERNEL_SOURCE, the path of the source, and KERNELS(DO), DO(name) for every kernel of it.
#include "cuda_emulation.hpp"

#include KERNEL_SOURCE

namespace emulation {

#define HOPFIX_ENTRY(NAME) {#NAME, Untyped<NAME>::sizes, Untyped<NAME>::run},

extern const Kernel kernels[];
const Kernel kernels[] = {KERNELS(HOPFIX_ENTRY){nullptr, nullptr, nullptr}};

}  // namespace emulation
