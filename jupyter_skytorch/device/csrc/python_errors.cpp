// Python exceptions out of C++: signals, remote errors, the end of a session.
#include <torch/csrc/Exceptions.h>

#include "sink.h"

namespace skytorch {

namespace {

PyObject* factory = nullptr;

[[noreturn]] void raise_made(PyObject* arguments) {
  PyObject* exception = arguments ? PyObject_CallObject(factory, arguments) : nullptr;
  Py_XDECREF(arguments);
  if (exception) {
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception)), exception);
    Py_DECREF(exception);
  }
  throw_python_error();
}

}  // namespace

void set_exception_factory(PyObject* made_by) {
  Py_INCREF(made_by);
  Py_XDECREF(factory);
  factory = made_by;
}

void throw_python_error() {
  python_error error;
  error.persist();
  throw error;
}

void check_signals() {
  WithGil with;
  if (PyErr_CheckSignals()) throw_python_error();
}

void raise_remote(const RemoteError& error, const std::string& session) {
  WithGil with;
  raise_made(Py_BuildValue("(issLLs)", static_cast<int>(error.kind), error.message.c_str(), error.op.c_str(),
                           static_cast<long long>(error.line), static_cast<long long>(error.cell), session.c_str()));
}

void raise_session(const std::string& kind, const std::string& message) {
  WithGil with;
  raise_made(Py_BuildValue("(ss)", kind.c_str(), message.c_str()));
}

void translate_exception() { torch::translate_exception_to_python(std::current_exception()); }

bool is_not_implemented() {
  try {
    throw;
  } catch (const c10::NotImplementedError&) {
    return true;
  } catch (python_error& error) {
    WithGil with;
    error.restore();
    bool matches = PyErr_ExceptionMatches(PyExc_NotImplementedError);
    if (matches) PyErr_Clear();
    else error.persist();
    return matches;
  } catch (const pybind11::error_already_set& error) {
    WithGil with;
    return error.matches(PyExc_NotImplementedError);
  } catch (...) {
    return false;
  }
}

}  // namespace skytorch
