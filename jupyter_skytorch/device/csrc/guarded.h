// C++ called from Python: exceptions become Python's.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

namespace skytorch {

// In python_errors.cpp: sets the Python error of the exception being handled.
void translate_exception();

template <typename Function>
PyObject* guarded(Function function) {
  try {
    return function();
  } catch (...) {
    translate_exception();
    return nullptr;
  }
}

}  // namespace skytorch
