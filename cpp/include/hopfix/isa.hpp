// Which instruction-set level runs: the best that this build holds and this CPU and operating
// system support, or the one named by the environment variable HOPFIX_ISA.
#pragma once

#include <string>
#include <vector>

namespace hopfix {

namespace kernels {
struct Table;
}

namespace isa {

// Names of the levels in this build, lowest first, e.g. {"v2", "v3", "v4"} or {"generic"}.
std::vector<std::string> built();

// Those of built() that this machine can run.
std::vector<std::string> supported();

// Chooses the level: the highest supported one when `name` is empty, otherwise the named one.
// Throws std::invalid_argument when `name` is not built or not supported. Not thread-safe: call
// it before the first computation.
void select(const std::string& name);

// The selected level's functions; chosen by HOPFIX_ISA (or the best level) on first use.
const kernels::Table& table();

}  // namespace isa
}  // namespace hopfix
