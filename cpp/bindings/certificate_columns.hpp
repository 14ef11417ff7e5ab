// Certificates as columns, see certificates_from in python/hopfix/_results.py.
#pragma once

#include <map>
#include <vector>

#include "arrays.hpp"
#include "hopfix/certificate.hpp"

namespace hopfix::bindings {

template <class Value, class Get>
py::array_t<Value> column(const std::vector<Certificate>& certificates, const Get& get) {
  py::array_t<Value> out(static_cast<py::ssize_t>(certificates.size()));
  Value* to = out.mutable_data();
  release_for(certificates.size(), [&] {
    for (const Certificate& certificate : certificates) *to++ = get(certificate);
  });
  return out;
}

// Why each is not certified; equal texts are one object.
inline py::list reasons(const std::vector<Certificate>& certificates) {
  std::map<CertificateFailure, py::str> texts;
  py::list out;
  for (std::size_t i = 0; i < certificates.size(); ++i) {
    const CertificateFailure failure = certificates[i].failure;
    auto text = texts.find(failure);
    if (text == texts.end()) text = texts.emplace(failure, describe(failure)).first;
    out.append(text->second);
    yield_gil(i);
  }
  return out;
}

// One array or list per quantity.
inline py::dict columns(const std::vector<Certificate>& certificates) {
  using C = const Certificate&;
  py::dict out;
  out["certified"] = column<bool>(certificates, [](C c) { return c.certified(); });
  out["radius"] = column<double>(certificates, [](C c) { return c.radius; });
  out["uniqueness_radius"] = column<double>(certificates, [](C c) { return c.uniqueness_radius; });
  out["morse_index"] =
      column<std::int64_t>(certificates, [](C c) { return std::int64_t{c.morse_index}; });
  out["spectral_radius"] = column<double>(certificates, [](C c) { return c.spectral_radius; });
  out["spectral_low"] = column<double>(certificates, [](C c) { return c.spectral_low; });
  out["spectral_high"] = column<double>(certificates, [](C c) { return c.spectral_high; });
  out["min_gap"] = column<double>(certificates, [](C c) { return c.min_gap; });
  out["reasons"] = reasons(certificates);
  return out;
}

}  // namespace hopfix::bindings
