// Associations of the layers of hopfix.torch. Arrays of shape (batch, heads, rows, dim) with any
// strides but contiguous rows, shared with the caller: nothing is copied. `team` is the address of
// a hopfix::Team, or 0.
#include <optional>

#include "arrays.hpp"
#include "bindings.hpp"
#include "hopfix/association.hpp"
#include "hopfix/row_norm.hpp"

namespace hopfix::bindings {

namespace {

template <class T>
using Strided = py::array_t<T, 0>;

template <class T>
HeadRows<T> head_rows(T* data, const py::array& array) {
  const auto stride = [&array](int axis) {
    return array.strides(axis) / static_cast<py::ssize_t>(sizeof(T));
  };
  return {data, stride(0), stride(1), stride(2)};
}

template <class T>
HeadRows<const T> read_rows(const Strided<T>& array) {
  return head_rows<const T>(array.data(), array);
}

template <class T>
HeadRows<T> write_rows(Strided<T>& array) {
  return head_rows<T>(array.mutable_data(), array);
}

template <class T>
HeadRows<const T> optional_rows(const std::optional<Strided<T>>& array) {
  return array ? read_rows(*array) : HeadRows<const T>{};
}

template <class T>
T* optional_data(std::optional<Array<T>>& array) {
  return array ? array->mutable_data() : nullptr;
}

// What both passes read: queries, patterns, values, beta, and a bias of patterns and one of pairs
// or None; the rules of the iteration, as many for every head, with maps and shifts or None.
template <class T>
struct Operands {
  Strided<T> queries, patterns, values;
  std::optional<Strided<T>> pattern_bias, bias;
  Array<T> beta;
  Array<std::int64_t> max_steps;
  Array<double> tolerance;
  std::optional<Array<T>> maps, shifts;

  AssociationInput<T> input() const {
    return {{queries.shape(0), queries.shape(1), queries.shape(2), patterns.shape(2),
             queries.shape(3), values.shape(3)},
            read_rows(queries),
            read_rows(patterns),
            read_rows(values),
            optional_rows(pattern_bias),
            optional_rows(bias),
            beta.data(),
            max_steps.size() / queries.shape(1),
            max_steps.data(),
            tolerance.data(),
            maps ? maps->data() : nullptr,
            shifts ? shifts->data() : nullptr};
  }
};

template <class T>
std::int64_t forward(const Operands<T>& operands, Strided<T> out, Array<std::int64_t> steps,
                     std::optional<Array<T>> states, std::optional<Array<T>> log_sums, int threads,
                     std::uintptr_t team) {
  const AssociationInput<T> input = operands.input();
  const HeadRows<T> to = write_rows(out);
  std::int64_t* const taken = steps.mutable_data();
  const AssociationTrace<T> trace{optional_data(states), optional_data(log_sums)};
  std::int64_t unconverged = 0;
  run_released(threads, [&](Execution execution) {
    execution.team = reinterpret_cast<Team>(team);
    unconverged = associate(input, to, taken, trace, execution);
  });
  return unconverged;
}

template <class T>
std::int64_t backward(const Operands<T>& operands, const Strided<T>& out,
                      const Array<std::int64_t>& steps, const Array<T>& states,
                      const Array<T>& log_sums, const Strided<T>& out_cotangents,
                      Strided<T> query_gradient, Strided<T> pattern_gradient,
                      std::optional<Strided<T>> value_gradient, Array<double> beta_gradient,
                      std::optional<Array<T>> state_gradient, int threads, std::uintptr_t team) {
  const AssociationInput<T> input = operands.input();
  const AssociationGradients<T> gradients{
      write_rows(query_gradient), write_rows(pattern_gradient),
      value_gradient ? write_rows(*value_gradient) : HeadRows<T>{}, beta_gradient.mutable_data(),
      optional_data(state_gradient)};
  const AssociationTrace<const T> trace{states.data(), log_sums.data()};
  const HeadRows<const T> from = read_rows(out), cotangents = read_rows(out_cotangents);
  std::int64_t singular = 0;
  run_released(threads, [&](Execution execution) {
    execution.team = reinterpret_cast<Team>(team);
    singular =
        associate_adjoint(input, from, steps.data(), trace, cotangents, gradients, execution);
  });
  return singular;
}

template <class T>
void normalize(const Array<T>& x, double eps, Array<T> y, Array<T> means, Array<T> inverses,
               int threads, std::uintptr_t team) {
  const std::ptrdiff_t rows = x.shape(0), dim = x.shape(1);
  T *const to = y.mutable_data(), *const mean = means.mutable_data(),
           *const inverse = inverses.mutable_data();
  run_released(threads, [&](Execution execution) {
    execution.team = reinterpret_cast<Team>(team);
    normalize_rows(x.data(), rows, dim, eps, to, mean, inverse, execution);
  });
}

template <class T>
void bind_dtype(py::module_& m, const char* operands) {
  py::class_<Operands<T>>(m, operands)
      .def(py::init([](Strided<T> queries, Strided<T> patterns, Strided<T> values,
                       std::optional<Strided<T>> pattern_bias, std::optional<Strided<T>> bias,
                       Array<T> beta, Array<std::int64_t> max_steps, Array<double> tolerance,
                       std::optional<Array<T>> maps, std::optional<Array<T>> shifts) {
        return Operands<T>{queries, patterns,  values,    pattern_bias, bias,
                           beta,    max_steps, tolerance, maps,         shifts};
      }));
  m.def("associate", &forward<T>);
  m.def("associate_adjoint", &backward<T>);
  m.def("normalize_rows", &normalize<T>);
}

}  // namespace

void bind_association(py::module_& m) {
  bind_dtype<float>(m, "AssociationOperands32");
  bind_dtype<double>(m, "AssociationOperands64");
}

}  // namespace hopfix::bindings
