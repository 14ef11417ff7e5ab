// Critical faces and CIPS margins.
#include "arrays.hpp"
#include "bindings.hpp"
#include "hopfix/cips.hpp"
#include "hopfix/critical_faces.hpp"
#include "hopfix/sufficient_beta.hpp"

namespace hopfix::bindings {

namespace {

// A list of lists of numbers.
template <class T>
py::list ragged(const std::vector<std::vector<T>>& rows) {
  py::list out;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    out.append(py::cast(rows[i]));
    yield_gil(i);
  }
  return out;
}

template <class T>
Array<T> flat(std::vector<T>& values) {
  const auto count = static_cast<py::ssize_t>(values.size());
  return to_array(std::move(values), {count});
}

// Lists of integers and floats as they are; the Python layer makes the objects.
py::tuple find_critical_faces(const Array<double>& patterns,
                              const std::optional<Array<double>>& offsets, std::int64_t max_size,
                              std::int64_t max_count, double time_limit, const py::object& progress,
                              int threads) {
  CriticalFaceOptions options;
  options.max_size = max_size;
  options.max_count = max_count;
  options.time_limit = time_limit;
  options.progress = progress_callback(progress);
  CriticalFaceList list;
  run_released(threads, [&](const Execution& execution) {
    list = critical_faces(patterns.data(), offsets ? offsets->data() : nullptr, patterns.shape(0),
                          patterns.shape(1), options, execution);
  });
  py::dict out;
  out["first"] = flat(list.first);
  out["indices"] = flat(list.indices);
  out["weights"] = flat(list.weights);
  out["gaps"] = flat(list.gaps);
  out["tied"] = ragged(list.tied);
  out["tied_weights"] = ragged(list.tied_weights);
  out["origin_radius"] = list.origin_radius;
  out["complete"] = list.complete;
  return py::make_tuple(out, take_pending_exception());
}

py::tuple find_cips_margins(const Array<double>& patterns, const Array<std::int64_t>& faces,
                            int threads) {
  CipsMargins margins;
  run_released(threads, [&](const Execution& execution) {
    margins = cips_margins(patterns.data(), patterns.shape(0), patterns.shape(1), faces.data(),
                           faces.shape(0), faces.shape(1), execution);
  });
  return py::make_tuple(flat(margins.lower), flat(margins.upper));
}

// One dict per face; the witness in arrays of the shapes that the header gives.
py::list find_sufficient_betas(const Array<double>& patterns, const Array<std::int64_t>& faces,
                               bool isolated, bool lemma, double shrink, int threads) {
  const SufficientBetaOptions options{isolated, lemma ? BetaMethod::kLemma : BetaMethod::kExact,
                                      shrink};
  std::vector<SufficientBeta> answers;
  run_released(threads, [&](const Execution& execution) {
    answers = sufficient_betas(patterns.data(), patterns.shape(0), patterns.shape(1), faces.data(),
                               faces.shape(0), faces.shape(1), options, execution);
  });
  const py::ssize_t k = faces.shape(1), outside = isolated ? 0 : patterns.shape(0) - k;
  py::list out;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    SufficientBeta& answer = answers[i];
    py::dict fields;
    fields["beta"] = answer.beta;
    fields["shrink"] = answer.shrink;
    fields["thickness"] = answer.thickness;
    fields["reason"] = answer.reason;
    if (std::isfinite(answer.beta)) {
      FaceWitness& witness = answer.witness;
      const py::ssize_t facets = k > 1 ? k : 0;
      fields["facet_weights"] = to_array(std::move(witness.facet_weights), {facets, k});
      fields["margin_strategies"] = to_array(std::move(witness.margin_strategies), {outside, k});
      fields["facet_strategies"] =
          to_array(std::move(witness.facet_strategies), {facets, outside, k});
    }
    out.append(fields);
    yield_gil(i);
  }
  release_and_free(answers);
  return out;
}

// The Python layer has checked the shapes of the witness.
bool check_sufficient_beta(const Array<double>& patterns, const Array<std::int64_t>& face,
                           bool isolated, double beta, double shrink, double thickness,
                           const Array<double>& facet_weights,
                           const Array<double>& margin_strategies,
                           const Array<double>& facet_strategies) {
  const SufficientBeta claim{
      beta,
      shrink,
      thickness,
      "",
      {to_vector(facet_weights), to_vector(margin_strategies), to_vector(facet_strategies)}};
  bool proved = false;
  run_released(1, [&](const Execution&) {
    proved = proves_sufficient_beta(patterns.data(), patterns.shape(0), patterns.shape(1),
                                    face.data(), face.shape(0), isolated, claim);
  });
  return proved;
}

}  // namespace

void bind_faces(py::module_& m) {
  m.def("critical_faces", &find_critical_faces);
  m.def("cips_margins", &find_cips_margins);
  m.def("sufficient_betas", &find_sufficient_betas);
  m.def("check_sufficient_beta", &check_sufficient_beta);
}

}  // namespace hopfix::bindings
