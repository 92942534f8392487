#include "compiled.h"

#include <ATen/ops/empty_strided.h>

#include "graphs.h"
#include "python.h"

namespace skytorch {

namespace compiled {

using c10::IValue;
using namespace python;

constexpr const char* kCapsule = "skytorch graph";

// The graph's ops, one by one, on whatever tensors Python gives: how it is traced.
PyObject* trace(PyObject* capsule, PyObject* list) {
  auto* graph = static_cast<Graph*>(PyCapsule_GetPointer(capsule, kCapsule));
  if (!graph || !PyList_Check(list)) return nullptr;
  try {
    std::vector<IValue> stack;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); ++i) stack.emplace_back(unwrap(PyList_GET_ITEM(list, i)));
    const Operator* at = nullptr;
    graph->loop(stack, at);
    Object results(checked(PyList_New(static_cast<Py_ssize_t>(stack.size()))));
    for (size_t i = 0; i < stack.size(); ++i)
      PyList_SET_ITEM(results.object, static_cast<Py_ssize_t>(i), checked(wrap(stack[i].toTensor())));
    return Py_NewRef(results.object);
  } catch (const std::exception& error) {
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_RuntimeError, error.what());
    return nullptr;
  }
}

PyMethodDef trace_method = {"trace", trace, METH_O, "trace(tensors) -> tensors: the graph's ops, one by one."};

}  // namespace compiled

using namespace compiled;
using namespace python;

Compiled::~Compiled() {
  if (!job_) return;
  Gil gil;
  Py_DECREF(job_);
}

bool Compiled::fits(const std::vector<IValue>& stack) const {
  for (size_t i = 0; i < stack.size(); ++i) {
    const at::Tensor& tensor = stack[i].toTensor();
    if (tensor.sizes() != inputs_[i].sizes() || tensor.strides() != inputs_[i].strides() || tensor.dtype() != inputs_[i].dtype() || tensor.is_conj() || tensor.is_neg())
      return false;
  }
  return true;
}

void Compiled::start(const Graph& graph, const std::vector<IValue>& stack) {
  started_ = true;
  Object devices(checked(PyList_New(0))), inputs(checked(PyList_New(0)));
  for (const IValue& value : stack) {
    if (!value.isTensor() || !value.toTensor().defined()) return;
    const at::Tensor& tensor = value.toTensor();
    inputs_.push_back(at::empty_strided(tensor.sizes(), tensor.strides(), tensor.options().device(c10::kMeta)));
    Object input(checked(wrap(inputs_.back()))), device(checked(PyUnicode_FromString(tensor.device().str().c_str())));
    if (PyList_Append(inputs.object, input.object) < 0 || PyList_Append(devices.object, device.object) < 0) raise();
  }
  auto* copy = new Graph(graph);  // whose values are its own: the loop goes on meanwhile
  PyObject* held = PyCapsule_New(copy, kCapsule, [](PyObject* capsule) { delete static_cast<Graph*>(PyCapsule_GetPointer(capsule, kCapsule)); });
  if (!held) delete copy;
  Object capsule(checked(held)), tracer(checked(PyCFunction_New(&trace_method, capsule.object)));
  Object module(checked(PyImport_ImportModule("skytorch_server.session.inductor")));
  job_ = checked(PyObject_CallMethod(module.object, "Job", "OOO", tracer.object, inputs.object, devices.object));
}

bool Compiled::run(const Graph& graph, std::vector<IValue>& stack) {
  if (started_ && !job_) return false;
  Gil gil;
  if (!started_) {
    start(graph, stack);
    return false;
  }
  Object function(checked(PyObject_GetAttrString(job_, "function")));
  if (function.object == Py_None || !fits(stack)) return false;
  Object inputs(checked(PyTuple_New(static_cast<Py_ssize_t>(stack.size()))));
  for (size_t i = 0; i < stack.size(); ++i)
    PyTuple_SET_ITEM(inputs.object, static_cast<Py_ssize_t>(i), checked(wrap(stack[i].toTensor())));
  Object results(checked(PyObject_CallObject(function.object, inputs.object)));
  Object items(checked(PySequence_Tuple(results.object)));
  stack.clear();
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.object); ++i) stack.emplace_back(unwrap(PyTuple_GET_ITEM(items.object, i)));
  return true;
}

}  // namespace skytorch
