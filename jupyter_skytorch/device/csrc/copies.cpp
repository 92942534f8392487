#include "copies.h"

#include "guarded.h"
#include "storage.h"

// Of libtorch_python; its header would take three times as long to compile as all that is here.
PyObject* THPVariable_Wrap(const at::TensorBase& tensor);

namespace skytorch {

namespace {

PyObject* carrier = nullptr;

at::Tensor unwrap(PyObject* tensor) {
  PyObject* address = PyObject_GetAttrString(tensor, "_cdata");
  auto* impl = address ? static_cast<c10::TensorImpl*>(PyLong_AsVoidPtr(address)) : nullptr;
  Py_XDECREF(address);
  if (!impl) throw_python_error();
  return at::Tensor(c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>::reclaim_copy(impl));
}

}  // namespace

PyObject* set_carrier(PyObject*, PyObject* function) {
  Py_INCREF(function);
  Py_XSETREF(carrier, function);
  Py_RETURN_NONE;
}

at::Tensor carried(const at::Tensor& source, c10::DeviceIndex index) {
  if (!carrier || !source.numel()) return {};
  WithGil with;
  PyObject* tensor = THPVariable_Wrap(source);
  PyObject* landed = tensor ? PyObject_CallFunction(carrier, "Ni", tensor, static_cast<int>(index)) : nullptr;
  if (!landed) throw_python_error();
  at::Tensor result = landed == Py_None ? at::Tensor() : unwrap(landed);
  Py_DECREF(landed);
  return result;
}

bool becomes(const at::Tensor& landed, const at::Tensor& target) {
  Handle &there = handle_of(landed), &here = handle_of(target);
  bool whole = !here.announced && here.slot == there.slot && target.scalar_type() == landed.scalar_type() && target.is_contiguous() &&
               !target.storage_offset() && !target.is_conj() && !target.is_neg() && target.numel() == landed.numel() &&
               target.storage().nbytes() == landed.storage().nbytes();
  if (!whole) return false;
  std::swap(here.id, there.id);
  std::swap(here.announced, there.announced);
  here.set_home(*landed.unsafeGetTensorImpl());
  return true;
}

}  // namespace skytorch
