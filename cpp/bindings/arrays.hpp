// NumPy arrays in and out of the bindings. The Python layer has already made its arguments
// contiguous arrays of the network's dtype; what is checked here is what only a pass over the
// data can tell.
#pragma once

#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "hopfix/checks.hpp"
#include "hopfix/parallel.hpp"

namespace hopfix::bindings {

namespace py = pybind11;

// Copied where they are not aligned: buffers that another process sent begin anywhere.
template <class T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast |
                                 py::detail::npy_api::NPY_ARRAY_ALIGNED_>;

// Numbers from which on a pass over them is worth the switches that releasing the GIL costs: some
// 10 us.
constexpr std::size_t kWorthReleasing = 1 << 14;

// Runs work(), which touches no Python object, without the GIL if it goes over many numbers.
template <class Work>
void release_for(std::size_t numbers, const Work& work) {
  if (numbers < kWorthReleasing) return work();
  const py::gil_scoped_release release;
  work();
}

// Lets other Python threads run, after every fourth element of loops that make objects by the
// thousand.
inline void yield_gil(std::size_t i) {
  if (i % 4 != 3) return;
  const py::gil_scoped_release release;
}

// Frees what consists of many parts without the GIL.
template <class T>
void release_and_free(T& parts) {
  const py::gil_scoped_release release;
  parts = T();
}

template <class T>
Array<T> to_array(const std::vector<T>& values, std::vector<py::ssize_t> shape) {
  Array<T> array(std::move(shape));
  T* const to = array.mutable_data();
  release_for(values.size(), [&] { std::copy(values.begin(), values.end(), to); });
  return array;
}

// An array that holds the vector itself if it is long: neither copied nor freed with the GIL held.
template <class T>
Array<T> to_array(std::vector<T>&& values, std::vector<py::ssize_t> shape) {
  if (values.size() < kWorthReleasing) return to_array(std::as_const(values), std::move(shape));
  auto kept = std::make_unique<std::vector<T>>(std::move(values));
  const py::capsule owner(kept.get(), [](void* data) {
    const py::gil_scoped_release release;
    delete static_cast<std::vector<T>*>(data);
  });
  T* const data = kept.release()->data();
  return Array<T>(std::move(shape), data, owner);
}

template <class T>
std::vector<T> to_vector(const Array<T>& array) {
  const T *const from = array.data(), *const end = from + array.size();
  std::vector<T> values;
  release_for(static_cast<std::size_t>(array.size()), [&] { values.assign(from, end); });
  return values;
}

// Execution with Ctrl-C: the calling thread takes the GIL at most every 20 ms to ask Python for
// pending signals. The exception that a signal raised stays set for whoever catches Interrupted.
inline Execution interruptible(int threads) {
  Execution execution;
  execution.threads = threads;
  execution.stop_requested = [asked = std::chrono::steady_clock::now()]() mutable {
    const auto now = std::chrono::steady_clock::now();
    if (now - asked < std::chrono::milliseconds(20)) return false;
    asked = now;
    const py::gil_scoped_acquire acquire;
    return PyErr_Occurred() != nullptr || PyErr_CheckSignals() != 0;
  };
  return execution;
}

// Runs work() without the GIL; a pending Python exception (Ctrl-C) is raised in its stead.
template <class Work>
void run_released(int threads, const Work& work, const Delegate& delegate = nullptr) {
  bool interrupted = false;
  {
    const py::gil_scoped_release release;
    try {
      Execution execution = interruptible(threads);
      execution.delegate = delegate;
      work(execution);
    } catch (const Interrupted&) {
      interrupted = true;
    }
  }
  if (interrupted) throw py::error_already_set();
}

// The exception of a signal or of `progress`, taken from Python's hands, whether or not a limit was
// reached at the same time; None if none.
inline py::object take_pending_exception() {
  if (PyErr_Occurred() == nullptr) return py::none();
  return py::error_already_set().value();
}

// Calls back into Python, with the GIL. Ctrl-C that lands in there is still Ctrl-C: it stays set
// for whoever catches Interrupted, so that what was found is kept.
template <class Call>
auto call_python(const Call& call) {
  const py::gil_scoped_acquire acquire;
  if (PyErr_Occurred() != nullptr) throw Interrupted();
  try {
    return call();
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_KeyboardInterrupt)) throw;
    error.restore();
    throw Interrupted();
  }
}

// Calls `progress`, unless it is None.
inline std::function<void(std::int64_t, std::int64_t)> progress_callback(
    const py::object& progress) {
  if (progress.is_none()) return nullptr;
  return [&progress](std::int64_t done, std::int64_t total) {
    call_python([&] { progress(done, total); });
  };
}

// Hands portions to `delegate`, unless it is None: a function of a list of bytes that returns the
// answers, b"" for those given up, and the exception that made it give up, or None.
inline Delegate delegate_callback(const py::object& delegate) {
  if (delegate.is_none()) return nullptr;
  return [&delegate](const std::vector<std::string>& portions) {
    return call_python([&] {
      py::list given;
      for (const std::string& portion : portions) given.append(py::bytes(portion));
      auto [answers, exception] =
          delegate(given).cast<std::pair<std::vector<std::string>, py::object>>();
      if (!exception.is_none())
        PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.ptr())), exception.ptr());
      return std::move(answers);
    });
  };
}

}  // namespace hopfix::bindings
