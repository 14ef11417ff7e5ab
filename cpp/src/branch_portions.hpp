// One branch in one direction, followed here or as a portion of work somewhere else.
#pragma once

#include <string>

#include "branch_tracer.hpp"
#include "portion_kinds.hpp"

namespace hopfix {

// Where a follower with these options goes from the network's beta.
TraceLimits trace_limits(const ContinuationMap& map, double beta, const FollowOptions& options);

// Steps between two looks at the clock: about a tenth of a second of them.
int slice_length(const ContinuationMap& map);

std::string branch_portion(const FollowOptions& options, const BranchStart& start);
Trace read_trace(Reader& answer);

}  // namespace hopfix
