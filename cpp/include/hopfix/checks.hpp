// What the computations take for granted, checked: the core itself trusts its arguments.
//
// All throw std::invalid_argument with a message that names the argument, what came and what is
// needed. One pass over the data.
#pragma once

#include <cstddef>

#include "hopfix/network.hpp"

namespace hopfix {

// The index of the first NaN or infinity, or -1; also tells whether a result has overflowed.
template <class T>
std::ptrdiff_t first_not_finite(const T* x, std::ptrdiff_t count);

// `states` (count x dim): not null, at least one, finite. `name` is for the message.
template <class T>
void check_states(const char* name, const T* states, std::ptrdiff_t count, std::ptrdiff_t dim);

// The network of these arguments (Network's constructor has them), which are checked: patterns not
// null, n and dim at least 1, beta > 0, all finite; log_weights may be null.
template <class T>
Network<T> checked_network(const T* patterns, std::ptrdiff_t n, std::ptrdiff_t dim, double beta,
                           const T* log_weights = nullptr);

}  // namespace hopfix
