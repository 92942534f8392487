// A record that Python wrote, whose reply may be long in coming: what it tells meanwhile is handed on as it arrives, and
// the storages that it leaves in its parcel are taken over.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <deque>
#include <string>

namespace skytorch {

// What a function has written and nobody has been shown yet.
struct Outputs {
  struct Piece {
    uint8_t stream;
    std::string text;
  };
  std::deque<Piece> pieces;
  size_t bytes = 0;
};

PyObject* make_request_type();  // a new reference
// In Python: storage_number(device, storage), adopt(device, parcel, slots): see request.cpp.
PyObject* storage_number(PyObject*, PyObject* args);
PyObject* adopt_parcel(PyObject*, PyObject* args);

}  // namespace skytorch
