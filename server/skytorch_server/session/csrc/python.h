// Python called from the executor's thread.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <ATen/core/Tensor.h>

#include <stdexcept>
#include <string>

// Of libtorch_python; its header would take as long to compile as all that includes this.
PyObject* THPVariable_Wrap(const at::TensorBase& tensor);

namespace skytorch::python {

struct Gil {
  PyGILState_STATE state = PyGILState_Ensure();
  Gil() = default;
  Gil(const Gil&) = delete;
  ~Gil() { PyGILState_Release(state); }
};

// Owns a reference.
struct Object {
  PyObject* object;
  explicit Object(PyObject* object) : object(object) {}
  Object(const Object&) = delete;
  ~Object() { Py_XDECREF(object); }
};

// The pending Python error as an exception of C++.
[[noreturn]] inline void raise() {
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  Object types(type), values(value), traces(trace), text(value ? PyObject_Str(value) : nullptr);
  const char* message = text.object ? PyUnicode_AsUTF8(text.object) : nullptr;
  std::string told = message ? message : "an error in Python";
  PyErr_Clear();
  throw std::runtime_error(told);
}

inline PyObject* checked(PyObject* object) {
  if (!object) raise();
  return object;
}

inline PyObject* wrap(const at::Tensor& tensor) { return THPVariable_Wrap(tensor); }

inline at::Tensor unwrap(PyObject* object) {
  Object address(checked(PyObject_GetAttrString(object, "_cdata")));
  auto* impl = static_cast<c10::TensorImpl*>(PyLong_AsVoidPtr(address.object));
  if (PyErr_Occurred()) raise();
  return at::Tensor(c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>::reclaim_copy(impl));
}

}  // namespace skytorch::python
