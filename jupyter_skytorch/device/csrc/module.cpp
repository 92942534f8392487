// The Python face of the device core.
#include <c10/util/Exception.h>

#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>

#include "copies.h"
#include "generator.h"
#include "graph.h"
#include "guarded.h"
#include "objects.h"
#include "request.h"
#include "together.h"

namespace skytorch {

void synchronize(c10::DeviceIndex index);
void register_guard();
void register_hooks();
void register_whole(const std::vector<std::string>& names);
void borrow_kernels(const std::vector<std::string>& names, const std::string& from, const std::string& to);
// In lens_python.cpp.
bool make_marks();
PyObject* marks_(PyObject*, PyObject*);
PyObject* set_place(PyObject*, PyObject* args);
PyObject* lens_mark(PyObject*, PyObject*);
PyObject* lens_begin(PyObject*, PyObject* args);
PyObject* lens_end(PyObject*, PyObject*);
PyObject* steady_nanoseconds(PyObject*, PyObject*);
PyObject* line_costs(const Lines<Issued>& issued, const Lines<Waited>& waited);

namespace {

struct SinkObject {
  PyObject_HEAD
  Sink* sink;  // lives as long as the process: tensors point to it
};

Sink& of(PyObject* self) { return *reinterpret_cast<SinkObject*>(self)->sink; }

PyObject* create(PyTypeObject* type, PyObject* args, PyObject*) {
  const char* name;
  if (!PyArg_ParseTuple(args, "s", &name)) return nullptr;
  auto* self = reinterpret_cast<SinkObject*>(type->tp_alloc(type, 0));
  if (self) self->sink = new Sink(name);
  return reinterpret_cast<PyObject*>(self);
}

PyObject* attached(PyObject* self, PyObject* args) {
  unsigned long long executed, received;
  Py_ssize_t chunk_bytes;
  if (!PyArg_ParseTuple(args, "KKn", &executed, &received, &chunk_bytes)) return nullptr;
  return guarded([&] { return PyLong_FromUnsignedLongLong(of(self).attached(executed, received, static_cast<size_t>(chunk_bytes))); });
}

PyObject* detached(PyObject* self, PyObject* args) {
  unsigned long long stream;
  if (!PyArg_ParseTuple(args, "K", &stream)) return nullptr;
  return guarded([&] {
    of(self).detached(stream);
    Py_RETURN_NONE;
  });
}

PyObject* replies_received(PyObject* self, PyObject*) { return PyLong_FromUnsignedLongLong(of(self).replies_received()); }

PyObject* take(PyObject* self, PyObject* args) {
  double seconds;
  unsigned long long stream;
  if (!PyArg_ParseTuple(args, "dK", &seconds, &stream)) return nullptr;
  return guarded([&]() -> PyObject* {
    PyObject* frame = of(self).take(seconds, stream);
    if (frame || PyErr_Occurred()) return frame;
    Py_RETURN_NONE;
  });
}

PyObject* feed(PyObject* self, PyObject* message) {
  if (!PyBytes_Check(message)) return PyErr_Format(PyExc_TypeError, "feed takes bytes");
  return guarded([&] {
    of(self).feed(PyBytes_AS_STRING(message), static_cast<size_t>(PyBytes_GET_SIZE(message)));
    Py_RETURN_NONE;
  });
}

PyObject* send_to(PyObject* self, PyObject* args) {
  int socket;
  unsigned long long stream;
  if (!PyArg_ParseTuple(args, "iK", &socket, &stream)) return nullptr;
  return guarded([&] {
    of(self).send_to(socket, stream);
    Py_RETURN_NONE;
  });
}

PyObject* receive_from(PyObject* self, PyObject* args) {
  int socket;
  if (!PyArg_ParseTuple(args, "i", &socket)) return nullptr;
  return guarded([&] {
    std::string end = of(self).receive_from(socket);
    return PyBytes_FromStringAndSize(end.data(), static_cast<Py_ssize_t>(end.size()));
  });
}

PyObject* stop(PyObject* self, PyObject* args) {
  const char *kind, *message;
  if (!PyArg_ParseTuple(args, "ss", &kind, &message)) return nullptr;
  return guarded([&] {
    of(self).stop(kind, message);
    Py_RETURN_NONE;
  });
}

PyObject* append(PyObject* self, PyObject* args) {
  PyObject* record;
  int urgent = 0;
  if (!PyArg_ParseTuple(args, "S|p", &record, &urgent)) return nullptr;
  return guarded([&] {
    of(self).append({PyBytes_AS_STRING(record), static_cast<size_t>(PyBytes_GET_SIZE(record))}, urgent);
    Py_RETURN_NONE;
  });
}

PyObject* stopped(PyObject* self, PyObject*) { return PyBool_FromLong(of(self).stopped()); }

PyObject* drain(PyObject* self, PyObject* args) {
  double seconds;
  if (!PyArg_ParseTuple(args, "d", &seconds)) return nullptr;
  return guarded([&] { return PyBool_FromLong(of(self).drain(seconds)); });
}

PyObject* raise_pending(PyObject* self, PyObject*) {
  return guarded([&] {
    of(self).raise_pending();
    Py_RETURN_NONE;
  });
}

PyObject* counters(PyObject* self, PyObject*) {
  return guarded([&] {
    auto now = of(self).counters();
    auto number = [](uint64_t value) { return static_cast<unsigned long long>(value); };
    return Py_BuildValue("{sKsKsKsKsKsKsKsK}", "ops", number(now.ops), "bytes_up", number(now.bytes_up), "bytes_down",
                         number(now.bytes_down), "sync_points", number(now.sync_points), "wait_nanoseconds",
                         number(now.wait_nanoseconds), "remote_nanoseconds", number(now.remote_nanoseconds), "issued",
                         number(now.issued), "executed", number(now.executed));
  });
}

PyObject* ask(PyObject* self, PyObject* record) {
  if (!PyBytes_Check(record)) return PyErr_Format(PyExc_TypeError, "ask takes bytes");
  return guarded([&] {
    std::string answer = of(self).ask({PyBytes_AS_STRING(record), static_cast<size_t>(PyBytes_GET_SIZE(record))});
    return PyBytes_FromStringAndSize(answer.data(), static_cast<Py_ssize_t>(answer.size()));
  });
}

PyObject* take_lines(PyObject* self, PyObject*) {
  return guarded([&]() -> PyObject* {
    auto [issued, waited] = of(self).take_lines();
    return line_costs(issued, waited);
  });
}

PyObject* open_device_(PyObject* self, PyObject* args) {
  const char* type;
  long long index;
  if (!PyArg_ParseTuple(args, "sL", &type, &index)) return nullptr;
  return guarded([&] { return PyLong_FromLong(open_device(of(self), type, index)); });
}

PyObject* limit_ahead(PyObject* self, PyObject* records) {
  unsigned long long number = PyLong_AsUnsignedLongLong(records);
  if (PyErr_Occurred()) return nullptr;
  of(self).limit_ahead(number);
  Py_RETURN_NONE;
}

// Takes tensors by where they are (Tensor._cdata, 0 for none): PyTorch's headers for more would double the time to compile.
// Nothing, with a Python error set, where that isn't a sequence of numbers.
std::optional<std::vector<at::Tensor>> tensors_at(PyObject* addresses) {
  std::vector<at::Tensor> tensors;
  PyObject* items = PySequence_Fast(addresses, "a sequence of tensors' addresses is expected");
  for (Py_ssize_t i = 0; items && i < PySequence_Fast_GET_SIZE(items); ++i) {
    auto* impl = static_cast<c10::TensorImpl*>(PyLong_AsVoidPtr(PySequence_Fast_GET_ITEM(items, i)));
    tensors.push_back(impl ? at::Tensor(c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>::reclaim_copy(impl)) : at::Tensor());
  }
  Py_XDECREF(items);
  if (PyErr_Occurred()) return {};
  return tensors;
}

PyObject* save(PyObject* self, PyObject* args) {
  const char *name, *pickle;
  Py_ssize_t name_size, pickle_size;
  PyObject* addresses;
  if (!PyArg_ParseTuple(args, "s#y#O", &name, &name_size, &pickle, &pickle_size, &addresses)) return nullptr;
  return guarded([&]() -> PyObject* {
    auto tensors = tensors_at(addresses);
    if (!tensors) return nullptr;
    std::string keys = save_object(of(self), {name, static_cast<size_t>(name_size)}, {pickle, static_cast<size_t>(pickle_size)}, *tensors);
    return PyBytes_FromStringAndSize(keys.data(), static_cast<Py_ssize_t>(keys.size()));
  });
}

PyObject* may_share(PyObject* self, PyObject*) {
  of(self).may_share();
  Py_RETURN_NONE;
}

PyMethodDef sink_methods[] = {
    {"attached", attached, METH_VARARGS, "attached(executed, received, chunk_bytes) -> the number of a new stream, which sends what the server lacks."},
    {"detached", detached, METH_VARARGS, "detached(stream): a stream is given no more frames."},
    {"replies_received", replies_received, METH_NOARGS, "replies_received() -> the number of the last message with replies that arrived."},
    {"take", take, METH_VARARGS, "take(seconds, stream) -> the next serialized StreamRequest, or None."},
    {"feed", feed, METH_O, "feed(message): take in a serialized StreamResponse."},
    {"send_to", send_to, METH_VARARGS, "send_to(socket, stream): write frames to a Unix socket until it, the stream or the session ends."},
    {"receive_from", receive_from, METH_VARARGS, "receive_from(socket) -> a serialized Ended, or nothing, once the other end is gone."},
    {"stop", stop, METH_VARARGS, "stop(kind, message): end the session; kind is 'closed' or 'lost'."},
    {"append", append, METH_VARARGS, "append(record, urgent=False): add one record that Python wrote."},
    {"limit_ahead", limit_ahead, METH_O, "limit_ahead(records): the most that the server takes in and has not executed."},
    {"save", save, METH_VARARGS, "save(name, pickle, addresses) -> keys: keep the storages of tensors (their _cdata) under a name."},
    {"may_share", may_share, METH_NOARGS, "may_share(): the server is on this machine, so that large data can pass through shared memory."},
    {"stopped", stopped, METH_NOARGS, "stopped() -> whether the session is over."},
    {"drain", drain, METH_VARARGS, "drain(seconds) -> whether everything issued was executed in time."},
    {"raise_pending", raise_pending, METH_NOARGS, "raise_pending(): raise the oldest remote error not raised yet."},
    {"counters", counters, METH_NOARGS, "counters() -> dict, cumulative."},
    {"ask", ask, METH_O, "ask(record) -> the reply to one record that Python wrote."},
    {"take_lines", take_lines, METH_NOARGS, "take_lines() -> (issued, waited): what each line has cost since the last call."},
    {"open_device", open_device_, METH_VARARGS, "open_device(type, index) -> the index of a new sky device."},
    {nullptr, nullptr, 0, nullptr}};
PyType_Slot sink_slots[] = {{Py_tp_new, reinterpret_cast<void*>(create)},
                            {Py_tp_methods, sink_methods},
                            {Py_tp_doc, const_cast<char*>("Sink(name): the near end of a session's ordered log.")},
                            {0, nullptr}};
PyType_Spec sink_spec = {"jupyter_skytorch.device._native.Sink", sizeof(SinkObject), 0, Py_TPFLAGS_DEFAULT, sink_slots};

PyObject* synchronize_(PyObject*, PyObject* args) {
  int index;
  if (!PyArg_ParseTuple(args, "i", &index)) return nullptr;
  return guarded([&] {
    synchronize(static_cast<c10::DeviceIndex>(index));
    Py_RETURN_NONE;
  });
}

PyObject* read_ahead_(PyObject*, PyObject* addresses) {
  return guarded([&]() -> PyObject* {
    auto tensors = tensors_at(addresses);
    if (!tensors) return nullptr;
    std::erase_if(*tensors, [](const at::Tensor& tensor) { return !tensor.defined(); });
    read_ahead(*tensors);
    Py_RETURN_NONE;
  });
}

PyObject* end_read_ahead_(PyObject*, PyObject*) {
  end_read_ahead();
  Py_RETURN_NONE;
}

PyObject* device_count_(PyObject*, PyObject*) { return PyLong_FromLong(device_count()); }
PyObject* get_device(PyObject*, PyObject*) { return PyLong_FromLong(current_device()); }

PyObject* index_argument(PyObject* args, void (*use)(c10::DeviceIndex)) {
  int index;
  if (!PyArg_ParseTuple(args, "i", &index)) return nullptr;
  return guarded([&] {
    remote_device(static_cast<c10::DeviceIndex>(index));
    use(static_cast<c10::DeviceIndex>(index));
    Py_RETURN_NONE;
  });
}

PyObject* seed(PyObject*, PyObject* args) {
  int index;
  unsigned long long value;
  if (!PyArg_ParseTuple(args, "iK", &index, &value)) return nullptr;
  return guarded([&] {
    auto generator = default_generator(static_cast<c10::DeviceIndex>(index));
    generator.set_current_seed(value);
    Py_RETURN_NONE;
  });
}

PyObject* initial_seed(PyObject*, PyObject* args) {
  int index;
  if (!PyArg_ParseTuple(args, "i", &index)) return nullptr;
  return guarded([&] { return PyLong_FromUnsignedLongLong(default_generator(static_cast<c10::DeviceIndex>(index)).current_seed()); });
}

PyObject* get_state(PyObject*, PyObject* args) {
  int index;
  if (!PyArg_ParseTuple(args, "i", &index)) return nullptr;
  return guarded([&] {
    auto state = default_generator(static_cast<c10::DeviceIndex>(index)).get_state();
    return PyBytes_FromStringAndSize(static_cast<const char*>(state.const_data_ptr()), static_cast<Py_ssize_t>(state.nbytes()));
  });
}

PyObject* set_state(PyObject*, PyObject* args) {
  int index;
  const char* data;
  Py_ssize_t size;
  if (!PyArg_ParseTuple(args, "iy#", &index, &data, &size)) return nullptr;
  return guarded([&] {
    at::Tensor state(at::detail::empty_cpu({size}, c10::kByte));
    std::copy(data, data + size, static_cast<char*>(state.mutable_data_ptr()));
    auto generator = default_generator(static_cast<c10::DeviceIndex>(index));
    generator.set_state(state);
    Py_RETURN_NONE;
  });
}

PyObject* set_device(PyObject*, PyObject* args) { return index_argument(args, set_current_device); }
PyObject* choose_device_(PyObject*, PyObject* args) { return index_argument(args, choose_device); }
PyObject* in_fork(PyObject*, PyObject*) { return PyBool_FromLong(in_forked_child()); }

std::vector<std::string> strings(PyObject* list) {
  std::vector<std::string> result;
  for (Py_ssize_t i = 0; i < PyList_Size(list); ++i) {
    const char* item = PyUnicode_AsUTF8(PyList_GetItem(list, i));
    if (!item) break;
    result.emplace_back(item);
  }
  return result;  // with a Python error set where the list isn't one of strings
}

PyObject* whole(PyObject*, PyObject* names) {
  return guarded([&]() -> PyObject* {
    auto list = strings(names);
    if (PyErr_Occurred()) return nullptr;
    register_whole(list);
    Py_RETURN_NONE;
  });
}

PyObject* borrow(PyObject*, PyObject* args) {
  PyObject* names;
  const char *from, *to;
  if (!PyArg_ParseTuple(args, "Oss", &names, &from, &to)) return nullptr;
  return guarded([&]() -> PyObject* {
    auto list = strings(names);
    if (PyErr_Occurred()) return nullptr;
    borrow_kernels(list, from, to);
    Py_RETURN_NONE;
  });
}

PyObject* exceptions(PyObject*, PyObject* factory) {
  set_exception_factory(factory);
  Py_RETURN_NONE;
}

PyObject* slot_of(PyObject*, PyObject* index) {
  long number = PyLong_AsLong(index);
  if (number == -1 && PyErr_Occurred()) return nullptr;
  return guarded([&] { return PyLong_FromLong(remote_device(static_cast<c10::DeviceIndex>(number)).slot); });
}

PyMethodDef methods[] = {
    {"synchronize", synchronize_, METH_VARARGS, "synchronize(index): wait for everything issued to a device, -1 the current one."},
    {"device_count", device_count_, METH_NOARGS, "device_count() -> how many sky devices there have been; 0 when no session lives."},
    {"get_device", get_device, METH_NOARGS, "get_device() -> the current index."},
    {"seed", seed, METH_VARARGS, "seed(index, seed): seed a device's default generator."},
    {"initial_seed", initial_seed, METH_VARARGS, "initial_seed(index) -> what a device's default generator was seeded with."},
    {"get_state", get_state, METH_VARARGS, "get_state(index) -> the state of a device's default generator."},
    {"set_state", set_state, METH_VARARGS, "set_state(index, state): give it such a state."},
    {"set_device", set_device, METH_VARARGS, "set_device(index): make it this thread's current device."},
    {"choose_device", choose_device_, METH_VARARGS, "choose_device(index): make it current for threads that chose none."},
    {"read_ahead", read_ahead_, METH_O, "read_ahead(addresses): read tensors (their _cdata) together, for this thread's coming reads."},
    {"end_read_ahead", end_read_ahead_, METH_NOARGS, "end_read_ahead(): forget what was read ahead."},
    {"in_forked_child", in_fork, METH_NOARGS, "in_forked_child() -> whether this process was forked off one with sky devices."},
    {"register_whole", whole, METH_O, "register_whole(names): send these aten ops as they are, not taken apart."},
    {"borrow_kernels", borrow, METH_VARARGS, "borrow_kernels(names, from, to): give aten ops the kernels that they have for another key."},
    {"set_exception_factory", exceptions, METH_O, "set_exception_factory(f): f makes the exceptions that are raised here."},
    {"set_carrier", set_carrier, METH_O, "set_carrier(f): f(tensor, index) brings a tensor to another Compute's device, or answers with None."},
    {"op_number", op_number, METH_O, "op_number(name) -> the number of an op in a graph's definition."},
    {"storage_number", storage_number, METH_VARARGS, "storage_number(device, storage) -> the number on the wire of a storage (its _cdata) of the device's session."},
    {"adopt", adopt_parcel, METH_VARARGS, "adopt(device, parcel, [(slot, bytes, dtype, sizes, strides, offset)]) -> tensors, views of what a parcel's slots hold."},
    {"device_slot", slot_of, METH_O, "device_slot(index) -> the number of a device on the wire."},
    {"marks", marks_, METH_NOARGS, "marks() -> the list that statements store their line into, its lower byte and the rest."},
    {"set_place", set_place, METH_VARARGS, "set_place(line, cell): what comes is of this line."},
    {"lens_mark", lens_mark, METH_NOARGS, "lens_mark() -> what takes the place of that list while a cell is profiled."},
    {"lens_begin", lens_begin, METH_VARARGS, "lens_begin(max_spans, cell_of): time this thread by line; cell_of(file) -> its cell, or 0."},
    {"lens_end", lens_end, METH_NOARGS, "lens_end() -> (lines, spans, waits, dropped) since then."},
    {"steady_nanoseconds", steady_nanoseconds, METH_NOARGS, "steady_nanoseconds() -> what the clock says that times lines."},
    {nullptr, nullptr, 0, nullptr}};
PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", "The core of the sky device.", -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

}  // namespace skytorch

PyMODINIT_FUNC PyInit__native() {
  using namespace skytorch;
  PyObject* module = PyModule_Create(&definition);
  if (!module) return nullptr;
  PyObject* type = PyType_FromSpec(&sink_spec);
  if (!type || !make_marks() || PyModule_AddObject(module, "Sink", type) < 0) {
    Py_XDECREF(type);
    Py_DECREF(module);
    return nullptr;
  }
  PyObject* graph = make_graph_type();
  if (!graph || PyModule_AddObject(module, "Graph", graph) < 0) {
    Py_XDECREF(graph);
    Py_DECREF(module);
    return nullptr;
  }
  PyObject* request = make_request_type();
  if (!request || PyModule_AddObject(module, "Request", request) < 0) {
    Py_XDECREF(request);
    Py_DECREF(module);
    return nullptr;
  }
  PyObject* loaded = guarded([&]() -> PyObject* {
    register_hooks();
    register_guard();
    register_allocator();
    watch_forks();
    Py_RETURN_NONE;
  });
  Py_XDECREF(loaded);
  return loaded ? module : nullptr;
}
