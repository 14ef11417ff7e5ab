// Portions of a search, worked on by other processes or machines.
//
// A search whose Execution has a delegate hands its independent work to it, as strings of bytes,
// each good for some tenths of a second to a few seconds; whoever holds the same network works on
// each, anywhere and in any order, with work_on_portion. The answer is that of the search done here
// alone (to the bit between machines of one instruction-set level): proofs are carried out where
// the portion is, with all rounding, and points found twice are told apart as ever.
//
// The bytes are those of one build of hopfix on one kind of machine. They carry a seal: damage, a
// portion of a search in another network and an answer to another portion are refused. It is no
// signature: whoever can forge it is trusted.
#pragma once

#include <string>

#include "hopfix/network.hpp"
#include "hopfix/parallel.hpp"

namespace hopfix {

// The answer for Delegate; empty where execution.stop_requested, or the time that the portion was
// given, ended the work before there was one. Throws std::invalid_argument for what is no portion.
std::string work_on_portion(const Network<double>& network, const std::string& portion,
                            const Execution& execution);

}  // namespace hopfix
