#include "branch_portions.hpp"

#include <algorithm>

namespace hopfix {

namespace {

void write(const CurvePoint& point, Writer& writer) {
  writer.put(point.z);
  writer.put(point.tangent);
  writer.put(point.spectrum.values);
  writer.put(point.spectrum.vectors);
  writer.put(point.sigma);
}

CurvePoint read_curve_point(Reader& reader) {
  CurvePoint point;
  point.z = reader.list<double>();
  point.tangent = reader.list<double>();
  point.spectrum.values = reader.list<double>();
  point.spectrum.vectors = reader.list<double>();
  point.sigma = reader.get<double>();
  return point;
}

void write(const LocatedEvent& event, Writer& writer) {
  write(event.place, writer);
  writer.put(event.kind);
  writer.put(event.multiplicity);
  writer.put(event.null_vector);
}

LocatedEvent read_event(Reader& reader) {
  LocatedEvent event;
  event.place = read_curve_point(reader);
  event.kind = reader.get<EventKind>();
  event.multiplicity = reader.get<std::ptrdiff_t>();
  event.null_vector = reader.list<double>();
  return event;
}

void write(const TracePoint& point, Writer& writer) {
  writer.put(point.z);
  writer.put(point.tangent);
  writer.put(point.arclength);
  writer.put(point.energy);
  writer.put(point.morse_index);
  writer.put(point.event);
}

TracePoint read_trace_point(Reader& reader) {
  TracePoint point;
  point.z = reader.list<double>();
  point.tangent = reader.list<double>();
  point.arclength = reader.get<double>();
  point.energy = reader.get<double>();
  point.morse_index = reader.get<std::ptrdiff_t>();
  point.event = reader.get<std::ptrdiff_t>();
  return point;
}

std::string answer_of(const Trace& trace) {
  Writer writer;
  writer.put(trace.points.size());
  for (const TracePoint& point : trace.points) write(point, writer);
  writer.put(trace.events.size());
  for (const LocatedEvent& event : trace.events) write(event, writer);
  writer.put(trace.end);
  return writer.take();
}

}  // namespace

TraceLimits trace_limits(const ContinuationMap& map, double beta, const FollowOptions& options) {
  return {map.to_s(beta), map.to_s(options.beta_to), options.max_steps};
}

int slice_length(const ContinuationMap& map) {
  const auto n = static_cast<double>(map.size()), r = static_cast<double>(map.rank());
  const double step = 5 * n * r * r + 40 * r * r * r + 1e4;
  return static_cast<int>(std::clamp(2e8 / step, 1.0, 64.0));
}

std::string branch_portion(const FollowOptions& options, const BranchStart& start) {
  Writer writer = begin_portion(PortionKind::branches);
  writer.put(options.beta_to);
  writer.put(options.terms.log_weights);
  writer.put(options.terms.offsets);
  writer.put(options.max_steps);
  writer.put(options.time_limit);
  write(start.point, writer);
  writer.put(start.bend.has_value());
  if (start.bend) writer.put(*start.bend);
  return writer.take();
}

Trace read_trace(Reader& answer) {
  Trace trace;
  for (auto left = answer.get<std::size_t>(); left > 0; --left)
    trace.points.push_back(read_trace_point(answer));
  for (auto left = answer.get<std::size_t>(); left > 0; --left)
    trace.events.push_back(read_event(answer));
  trace.end = answer.get<BranchEnd>();
  return trace;
}

std::string work_on_branches(const Network<double>& network, Reader& portion,
                             const Execution& execution) {
  FollowOptions options;
  options.beta_to = portion.get<double>();
  options.terms.log_weights = portion.list<double>();
  options.terms.offsets = portion.list<double>();
  options.max_steps = portion.get<std::int64_t>();
  const Execution limited = within(portion.get<double>(), execution);
  BranchStart start{read_curve_point(portion), std::nullopt};
  if (portion.get<bool>()) start.bend = portion.list<double>();
  const ContinuationMap map(network, options.terms);
  BranchTracer tracer(map, trace_limits(map, network.beta(), options), start);
  const int slice = slice_length(map);
  while (!tracer.done()) {
    if (limited.stop_requested()) throw Interrupted();
    tracer.advance(slice);
  }
  return answer_of(tracer.take());
}

}  // namespace hopfix
