// Random features: _core.random_features and _core.transposed_product.
#include "arrays.hpp"
#include "bindings.hpp"
#include "hopfix/random_features.hpp"

namespace hopfix::bindings {

namespace {

template <class T>
Array<T> features_of(const Array<T>& matrix, bool rectified, double offset, const Array<T>& rows,
                     int threads) {
  Array<T> out({rows.shape(0), matrix.shape(0)});
  const FeatureMap<T> map{rectified ? FeatureKind::rectified : FeatureKind::exponential,
                          matrix.data(), matrix.shape(0), matrix.shape(1), static_cast<T>(offset)};
  T* numbers = out.mutable_data();
  run_released(threads, [&](const Execution& execution) {
    random_features(map, rows.data(), rows.shape(0), numbers, execution);
  });
  return out;
}

// a^T b.
template <class T>
Array<T> product_of(const Array<T>& a, const Array<T>& b, int threads) {
  Array<T> out({a.shape(1), b.shape(1)});
  T* numbers = out.mutable_data();
  run_released(threads, [&](const Execution& execution) {
    transposed_product(a.data(), b.data(), a.shape(0), a.shape(1), b.shape(1), numbers, execution);
  });
  return out;
}

template <class T>
void bind(py::module_& m, const char* features, const char* product) {
  m.def(features, &features_of<T>, py::arg("matrix"), py::arg("rectified"), py::arg("offset"),
        py::arg("rows"), py::arg("threads"));
  m.def(product, &product_of<T>, py::arg("a"), py::arg("b"), py::arg("threads"));
}

}  // namespace

void bind_features(py::module_& m) {
  bind<float>(m, "random_features32", "transposed_product32");
  bind<double>(m, "random_features64", "transposed_product64");
}

}  // namespace hopfix::bindings
