// Retrievals as columns: states (count, dim), steps, converged, residual (count,).
#pragma once

#include "arrays.hpp"
#include "hopfix/retrieval.hpp"

namespace hopfix::bindings {

template <class T>
py::tuple columns(Retrieval<T>&& result, py::ssize_t dim) {
  const auto count = static_cast<py::ssize_t>(result.steps.size());
  return py::make_tuple(to_array(std::move(result.states), {count, dim}),
                        to_array(std::move(result.steps), {count}),
                        to_array(std::move(result.converged), {count}),
                        to_array(std::move(result.residual), {count}));
}

}  // namespace hopfix::bindings
