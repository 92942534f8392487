#include "memory_limit.h"

#include <Python.h>
#include <c10/util/Exception.h>

#include <array>
#include <atomic>
#include <cstdio>

#include "host_memory.h"

namespace skytorch {

namespace {

std::atomic<size_t> limit{0};  // 0: none

std::string size_text(size_t bytes) {
  constexpr std::array<const char*, 4> units{"B", "KiB", "MiB", "GiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < units.size(); ++unit) value /= 1024;
  char text[32];
  std::snprintf(text, sizeof text, unit ? "%.2f %s" : "%.0f %s", value, units[unit]);
  return text;
}

}  // namespace

void limit_memory(size_t bytes) {
  limit.store(bytes);
  limit_host_memory(bytes);
}

void limit_cuda_memory(int index) {
  if (!limit.load()) return;
  // The caching allocator's own bound, which is Python's to reach without linking CUDA.
  PyGILState_STATE gil = PyGILState_Ensure();
  PyObject* module = PyImport_ImportModule("skytorch_server.session.cuda_memory");
  PyObject* done = module ? PyObject_CallMethod(module, "limit", "in", index, static_cast<Py_ssize_t>(limit.load())) : nullptr;
  bool failed = !done;
  if (failed) PyErr_WriteUnraisable(module);
  Py_XDECREF(done);
  Py_XDECREF(module);
  PyGILState_Release(gil);
  TORCH_CHECK(!failed, "the memory limit of the session could not be set on cuda:", index, "; the server's log says why");
}

void refuse_allocation(size_t bytes, size_t held) {
  C10_THROW_ERROR(OutOfMemoryError, "tried to allocate " + size_text(bytes) + " where the session's tensors hold " + size_text(held));
}

std::string limit_advice() {
  size_t bytes = limit.load();
  if (!bytes) return {};
  return " (the memory limit of this session is " + size_text(bytes) +
         ": connect with more memory, as far as the server's --session-memory goes, or free tensors)";
}

}  // namespace skytorch
