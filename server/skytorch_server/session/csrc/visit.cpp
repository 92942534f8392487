// Named objects as Python sees them, to be written to disk and read from it.
#include "executor.h"
#include "python.h"

namespace skytorch {

namespace {

using python::checked;
using python::Gil;
using python::Object;
using python::raise;
using python::unwrap;

PyObject* described(const std::string& name, const Named& object) {
  Object tensors(checked(PyList_New(0)));
  for (const auto& entry : object.storages) {
    // What a failed op should have written has no values.
    Object tensor(entry->poisoned_by ? Py_NewRef(Py_None) : checked(python::wrap(entry->home.detach())));
    if (PyList_Append(tensors.object, tensor.object)) raise();
  }
  Py_INCREF(tensors.object);
  return checked(Py_BuildValue("(s#y#N)", name.data(), static_cast<Py_ssize_t>(name.size()), object.pickle.data(),
                               static_cast<Py_ssize_t>(object.pickle.size()), tensors.object));
}

std::string text_of(PyObject* tuple, Py_ssize_t place) {
  PyObject* item = PyTuple_GetItem(checked(tuple), place);
  Py_ssize_t size;
  const char* data = item && PyUnicode_Check(item) ? PyUnicode_AsUTF8AndSize(item, &size) : nullptr;
  if (data) return {data, static_cast<size_t>(size)};
  char* bytes;
  if (!item || PyBytes_AsStringAndSize(item, &bytes, &size)) raise();
  return {bytes, static_cast<size_t>(size)};
}

}  // namespace

void Executor::visit(PyObject* visitor) {
  Py_INCREF(visitor);
  Submission submission{visitor, 0, {}};
  submission.visit = true;
  enqueue(std::move(submission));
}

void Executor::call(PyObject* visitor) {
  Gil gil;
  try {
    Object all(checked(PyList_New(0)));
    for (const auto& [name, object] : interpreter_.objects().all()) {
      Object item(described(name, object));
      if (PyList_Append(all.object, item.object)) raise();
    }
    Object more(checked(PyObject_CallOneArg(visitor, all.object)));
    std::unordered_map<const c10::StorageImpl*, SharedEntry> made;  // several objects may have parts of one
    for (Py_ssize_t i = 0; i < PyList_Size(more.object); ++i) {
      PyObject* item = PyList_GetItem(more.object, i);
      Named object{text_of(item, 1), {}};
      PyObject* tensors = PyTuple_GetItem(item, 2);
      for (Py_ssize_t j = 0; j < PyList_Size(tensors); ++j) {
        at::Tensor home = unwrap(PyList_GetItem(tensors, j));
        SharedEntry& entry = made[home.storage().unsafeGetStorageImpl()];
        if (!entry) entry = interpreter_.objects().make(std::move(home));
        object.storages.push_back(entry);
      }
      interpreter_.objects().put(text_of(item, 0), std::move(object));
    }
  } catch (...) {
    PyErr_Clear();  // the visitor has told itself what it could not do
  }
  interpreter_.count();
}

}  // namespace skytorch
