// Tensors from one Compute to another, which the servers do between them.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <ATen/core/Tensor.h>

namespace skytorch {

// The function (tensor, index) -> tensor on the device of that index, or None where the servers can't.
PyObject* set_carrier(PyObject*, PyObject* function);

// A contiguous tensor's like on another Compute's device; an undefined one where the servers can't bring it there.
at::Tensor carried(const at::Tensor& source, c10::DeviceIndex index);
// Makes the storage that `landed` was given by the server the target's own, where that is all of what the target is.
bool becomes(const at::Tensor& landed, const at::Tensor& target);

}  // namespace skytorch
