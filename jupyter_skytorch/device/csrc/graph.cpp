#include "graph.h"

#include <ATen/core/Tensor.h>

#include <unordered_map>

#include "encoder.h"
#include "factories.h"
#include "guarded.h"
#include "numbers.h"
#include "operators.h"

// Of libtorch_python; its header would take three times as long to compile as all that is here.
PyObject* THPVariable_Wrap(const at::TensorBase& tensor);

namespace skytorch {

namespace graph {

using c10::IValue;

// How Python describes a graph's results; see lowering.py.
enum class Origin : int { kNone = 0, kArgument = 1, kNumber = 2, kFresh = 3, kFreshView = 4, kArgumentView = 5 };

struct TensorLayout {
  c10::ScalarType dtype;
  std::vector<int64_t> sizes, strides;
  int64_t offset;  // of a view: from where its base begins
};

// What a run announces, for given values of the graph's symbols.
struct Plan {
  std::vector<IValue> numbers;
  std::vector<TensorLayout> fresh, views;
  std::vector<PyObject*> returned;  // numbers that the program gets
};

struct Graph {
  Sink* sink;
  c10::DeviceIndex device;
  uint64_t number = 0;
  std::vector<int64_t> inputs, written;
  std::vector<at::Tensor> constants;  // inputs that never change
  std::vector<std::pair<int64_t, int64_t>> symbols;  // an argument and its dimension, -1: the argument itself
  std::vector<std::pair<Origin, int64_t>> outputs;
  PyObject* resolve = nullptr;
  std::unordered_map<std::string, Plan> plans;

  ~Graph();
};

constexpr size_t kMaxPlans = 256;

// Graphs' numbers, by session.
std::mutex numbers_mutex;
std::unordered_map<Sink*, Numbers>& numbers() {
  static auto* all = new std::unordered_map<Sink*, Numbers>;
  return *all;
}

void forget(Plan& plan) {
  for (PyObject* value : plan.returned) Py_DECREF(value);
}

Graph::~Graph() {
  for (auto& [key, plan] : plans) forget(plan);
  Py_XDECREF(resolve);
  if (!number || in_forked_child()) return;
  try {
    if (!sink->stopped()) {
      Sink::Entry entry(*sink, wire::Record::kFreeGraph);
      entry.out().varint(number);
      entry.commit();
    }
  } catch (...) {  // the session's end frees everything
  }
  std::lock_guard lock(numbers_mutex);
  numbers()[sink].give_back(number);
}

struct GraphObject {
  PyObject_HEAD
  Graph* graph;
};

void check_python() {
  if (PyErr_Occurred()) throw_python_error();
}

int64_t integer(PyObject* object) {
  int64_t value = PyLong_AsLongLong(object);
  if (value == -1) check_python();
  return value;
}

// Calls `use` for each item of a tuple.
template <typename Use>
void each(PyObject* tuple, Use use) {
  TORCH_CHECK_TYPE(PyTuple_Check(tuple), "a graph is described by tuples");
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); ++i) use(PyTuple_GET_ITEM(tuple, i));
}

std::vector<int64_t> integers(PyObject* tuple) {
  std::vector<int64_t> values;
  each(tuple, [&](PyObject* item) { values.push_back(integer(item)); });
  return values;
}

std::pair<int64_t, int64_t> pair(PyObject* tuple) {
  auto values = integers(tuple);
  TORCH_CHECK_VALUE(values.size() == 2, "a pair was expected");
  return {values[0], values[1]};
}

at::Tensor unpack(PyObject* object) {
  PyObject* address = PyObject_GetAttrString(object, "_cdata");
  if (!address) throw_python_error();
  auto* impl = static_cast<c10::TensorImpl*>(PyLong_AsVoidPtr(address));
  Py_DECREF(address);
  check_python();
  return at::Tensor(c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>::reclaim_copy(impl));
}

TensorLayout layout(PyObject* tuple) {
  int dtype;
  long long offset;
  PyObject *sizes, *strides;
  if (!PyArg_ParseTuple(tuple, "iOOL", &dtype, &sizes, &strides, &offset)) throw_python_error();
  TensorLayout result{static_cast<c10::ScalarType>(dtype), integers(sizes), integers(strides), offset};
  TORCH_CHECK_VALUE(result.sizes.size() == result.strides.size(), "as many sizes as strides are needed");
  return result;
}

IValue number(PyObject* object) {
  if (PyBool_Check(object)) return object == Py_True;
  if (PyFloat_Check(object)) return PyFloat_AS_DOUBLE(object);
  return integer(object);
}

const Plan& plan_of(Graph& graph, const std::vector<int64_t>& symbols) {
  std::string key(reinterpret_cast<const char*>(symbols.data()), symbols.size() * sizeof(int64_t));
  auto found = graph.plans.find(key);
  if (found != graph.plans.end()) return found->second;
  if (graph.plans.size() >= kMaxPlans) {
    for (auto& [_, plan] : graph.plans) forget(plan);
    graph.plans.clear();
  }
  PyObject* values = PyTuple_New(static_cast<Py_ssize_t>(symbols.size()));
  if (!values) throw_python_error();
  for (size_t i = 0; i < symbols.size(); ++i) PyTuple_SET_ITEM(values, static_cast<Py_ssize_t>(i), PyLong_FromLongLong(symbols[i]));
  PyObject* told = PyObject_CallOneArg(graph.resolve, values);
  Py_DECREF(values);
  if (!told) throw_python_error();
  Plan plan;
  try {
    PyObject *numbers, *fresh, *views, *returned;
    if (!PyArg_ParseTuple(told, "OOOO", &numbers, &fresh, &views, &returned)) throw_python_error();
    each(numbers, [&](PyObject* item) { plan.numbers.push_back(number(item)); });
    each(fresh, [&](PyObject* item) { plan.fresh.push_back(layout(item)); });
    each(views, [&](PyObject* item) { plan.views.push_back(layout(item)); });
    each(returned, [&](PyObject* item) { plan.returned.push_back(Py_NewRef(item)); });
  } catch (...) {
    Py_DECREF(told);
    forget(plan);
    throw;
  }
  Py_DECREF(told);
  return graph.plans.emplace(std::move(key), std::move(plan)).first->second;
}

// As PyTorch's own views: of the base's storage, and of one version with it.
at::Tensor view(const at::Tensor& base, const TensorLayout& layout) {
  const auto& impl = *base.unsafeGetTensorImpl();
  auto made = at::detail::make_tensor<c10::TensorImpl>(c10::TensorImpl::VIEW, c10::Storage(base.storage()), impl.key_set(),
                                                       c10::scalarTypeToTypeMeta(layout.dtype));
  auto& own = *made.unsafeGetTensorImpl();
  own.set_sizes_and_strides(layout.sizes, layout.strides, base.storage_offset() + layout.offset);
  if (!base.is_inference() && !made.is_inference()) own.set_version_counter(impl.version_counter());
  return made;
}

void send(Graph& graph, const Plan& plan, const std::vector<at::Tensor>& inputs, const std::vector<at::Tensor>& fresh) {
  Encoder encoder(*graph.sink);
  encoder.entry().begin(wire::Record::kRunGraph);
  encoder.out().varint(graph.number);
  encoder.out().varint(inputs.size() + plan.numbers.size());
  for (const auto& input : inputs) encoder.tensor(input);
  for (const auto& value : plan.numbers) encoder.value(value);
  encoder.out().varint(fresh.size());
  for (const auto& tensor : fresh) encoder.output(tensor);
  encoder.commit();
}

PyObject* run(PyObject* self, PyObject* list) {
  Graph& graph = *reinterpret_cast<GraphObject*>(self)->graph;
  return guarded([&]() -> PyObject* {
    TORCH_CHECK_TYPE(PyList_Check(list), "a graph is run with a list");
    auto argument = [&](int64_t place) {
      TORCH_CHECK_VALUE(place >= 0 && place < PyList_GET_SIZE(list), "a graph is run with all of its arguments");
      return PyList_GET_ITEM(list, place);
    };
    std::vector<at::Tensor> inputs;
    inputs.reserve(graph.inputs.size() + graph.constants.size());
    for (int64_t place : graph.inputs) {
      PyObject* object = argument(place);
      inputs.push_back(object == Py_None ? at::Tensor() : unpack(object));
    }
    inputs.insert(inputs.end(), graph.constants.begin(), graph.constants.end());
    std::vector<int64_t> symbols;
    for (auto [place, dim] : graph.symbols) symbols.push_back(dim < 0 ? integer(argument(place)) : unpack(argument(place)).size(dim));
    const Plan& plan = plan_of(graph, symbols);
    graph.sink->admit();
    std::vector<at::Tensor> fresh;
    fresh.reserve(plan.fresh.size());
    for (const auto& made : plan.fresh) fresh.push_back(make_tensor(made.sizes, made.strides, made.dtype, graph.device));
    send(graph, plan, inputs, fresh);
    graph.sink->count_op();
    for (int64_t place : graph.written) {
      auto tensor = unpack(argument(place));
      if (!tensor.is_inference()) tensor.unsafeGetTensorImpl()->bump_version();
    }
    PyObject* results = PyList_New(static_cast<Py_ssize_t>(graph.outputs.size()));
    if (!results) throw_python_error();
    size_t next_view = 0, next_number = 0;
    for (size_t i = 0; i < graph.outputs.size(); ++i) {
      auto [origin, place] = graph.outputs[i];
      auto at = static_cast<size_t>(place);
      PyObject* result;
      switch (origin) {
        case Origin::kArgument: result = Py_NewRef(argument(place)); break;
        case Origin::kNumber: result = Py_NewRef(plan.returned.at(next_number++)); break;
        case Origin::kFresh: result = THPVariable_Wrap(fresh.at(at)); break;
        case Origin::kFreshView: result = THPVariable_Wrap(view(fresh.at(at), plan.views.at(next_view++))); break;
        case Origin::kArgumentView: result = THPVariable_Wrap(view(unpack(argument(place)), plan.views.at(next_view++))); break;
        default: result = Py_NewRef(Py_None);
      }
      PyList_SET_ITEM(results, static_cast<Py_ssize_t>(i), result);
    }
    if (PyErr_Occurred()) Py_CLEAR(results);
    return results;
  });
}

c10::OperatorHandle find_op(const std::string& name) {
  size_t dot = name.find('.');
  auto handle = c10::Dispatcher::singleton().findSchema({name.substr(0, dot), dot == std::string::npos ? "" : name.substr(dot + 1)});
  TORCH_CHECK_VALUE(handle, "torch here has no op ", name);
  return *handle;
}

void define(Graph& graph, PyObject* ops, std::string_view definition) {
  std::vector<OpInfo*> infos;
  each(ops, [&](PyObject* item) {
    const char* name = PyUnicode_AsUTF8(item);
    if (!name) throw_python_error();
    infos.push_back(&op_info(find_op(name)));
  });
  graph.sink->admit();
  uint64_t number;
  {
    std::lock_guard lock(numbers_mutex);
    number = numbers()[graph.sink].take();
  }
  Sink::Entry entry(*graph.sink);
  for (OpInfo* info : infos) entry.define_op(info->index, info->name, info->schema_hash);
  entry.begin(wire::Record::kDefineGraph);
  entry.out().varint(number);
  entry.out().text(definition);
  entry.commit();
  graph.number = number;
}

PyObject* create(PyTypeObject* type, PyObject* args, PyObject*) {
  int device;
  PyObject *ops, *inputs, *constants, *written, *symbols, *outputs, *resolve;
  const char* definition;
  Py_ssize_t size;
  if (!PyArg_ParseTuple(args, "iOy#OOOOOO", &device, &ops, &definition, &size, &inputs, &constants, &written, &symbols, &outputs, &resolve))
    return nullptr;
  return guarded([&]() -> PyObject* {
    auto index = static_cast<c10::DeviceIndex>(device);
    std::unique_ptr<Graph> graph(new Graph{remote_device(index).sink, index});
    graph->inputs = integers(inputs);
    graph->written = integers(written);
    each(constants, [&](PyObject* item) { graph->constants.push_back(unpack(item)); });
    each(symbols, [&](PyObject* item) { graph->symbols.push_back(pair(item)); });
    each(outputs, [&](PyObject* item) {
      auto [origin, place] = pair(item);
      graph->outputs.emplace_back(static_cast<Origin>(origin), place);
    });
    graph->resolve = Py_NewRef(resolve);
    define(*graph, ops, {definition, static_cast<size_t>(size)});
    auto* self = reinterpret_cast<GraphObject*>(type->tp_alloc(type, 0));
    if (!self) return nullptr;
    self->graph = graph.release();
    return reinterpret_cast<PyObject*>(self);
  });
}

void destroy(PyObject* self) {
  delete reinterpret_cast<GraphObject*>(self)->graph;
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef methods[] = {{"run", run, METH_O, "run(arguments) -> list: one record; what the graph returns."}, {nullptr, nullptr, 0, nullptr}};
PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(create)},
    {Py_tp_dealloc, reinterpret_cast<void*>(destroy)},
    {Py_tp_methods, methods},
    {Py_tp_doc, const_cast<char*>("Graph(device, ops, definition, inputs, constants, written, symbols, outputs, resolve): a graph that the server has.")},
    {0, nullptr}};
PyType_Spec spec = {"jupyter_skytorch.device._native.Graph", sizeof(GraphObject), 0, Py_TPFLAGS_DEFAULT, slots};

}  // namespace graph

PyObject* make_graph_type() { return PyType_FromSpec(&graph::spec); }

PyObject* op_number(PyObject*, PyObject* name) {
  return guarded([&]() -> PyObject* {
    const char* text = PyUnicode_AsUTF8(name);
    if (!text) throw_python_error();
    return PyLong_FromUnsignedLong(op_info(graph::find_op(text)).index);
  });
}

}  // namespace skytorch
