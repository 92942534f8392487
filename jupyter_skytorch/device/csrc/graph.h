// Graphs that the server has and runs by their numbers: what torch.compile has made of a program.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

namespace skytorch {

// The type `Graph`; null with a Python error set. And op_number(name) -> what graphs call an op by.
PyObject* make_graph_type();
PyObject* op_number(PyObject*, PyObject* name);

}  // namespace skytorch
