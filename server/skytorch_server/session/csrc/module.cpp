// The Python face of the executor.
#define PY_SSIZE_T_CLEAN
#include <malloc.h>

#include "executor.h"
#include "host_memory.h"
#include "memory_limit.h"

namespace {

using skytorch::Executor;

struct ExecutorObject {
  PyObject_HEAD
  Executor* executor;
};

template <typename Function>
PyObject* guarded(Function function) {
  try {
    return function();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
    return nullptr;
  }
}

Executor& of(PyObject* self) { return *reinterpret_cast<ExecutorObject*>(self)->executor; }

PyObject* create(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"chunk_bytes", nullptr};
  Py_ssize_t chunk_bytes;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "n", const_cast<char**>(names), &chunk_bytes)) return nullptr;
  if (chunk_bytes < 1) return PyErr_Format(PyExc_ValueError, "chunk_bytes must be positive, not %zd", chunk_bytes);
  auto* self = reinterpret_cast<ExecutorObject*>(type->tp_alloc(type, 0));
  if (!self) return nullptr;
  self->executor = new Executor(static_cast<size_t>(chunk_bytes));
  return reinterpret_cast<PyObject*>(self);
}

void destroy(PyObject* self) {
  delete reinterpret_cast<ExecutorObject*>(self)->executor;
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* submit(PyObject* self, PyObject* args) {
  PyObject* message;
  int route;
  if (!PyArg_ParseTuple(args, "Si", &message, &route)) return nullptr;
  return guarded([&] {
    of(self).submit(message, route);
    Py_RETURN_NONE;
  });
}

PyObject* attach(PyObject* self, PyObject* args) {
  int socket;
  PyObject* inflate;
  if (!PyArg_ParseTuple(args, "iO", &socket, &inflate)) return nullptr;
  return guarded([&] {
    of(self).attach(socket, inflate);
    Py_RETURN_NONE;
  });
}

PyObject* resume(PyObject* self, PyObject* args) {
  unsigned long long replies_received;
  int by_socket;
  if (!PyArg_ParseTuple(args, "Kp", &replies_received, &by_socket)) return nullptr;
  return guarded([&] { return PyLong_FromUnsignedLongLong(of(self).resume(replies_received, by_socket != 0)); });
}

PyObject* detach(PyObject* self, PyObject*) {
  return guarded([&] { return PyBool_FromLong(of(self).detach()); });
}

PyObject* serve_functions(PyObject* self, PyObject* args) {
  PyObject* hook;
  unsigned long long max_bytes;
  if (!PyArg_ParseTuple(args, "OK", &hook, &max_bytes)) return nullptr;
  of(self).functions().serve(hook, max_bytes);
  Py_RETURN_NONE;
}

PyObject* serve_copies(PyObject* self, PyObject* hook) {
  of(self).copies().serve(hook);
  Py_RETURN_NONE;
}

PyObject* begin(PyObject* self, PyObject*) {
  return guarded([&] {
    of(self).begin();
    Py_RETURN_NONE;
  });
}

PyObject* collect(PyObject* self, PyObject*) {
  return guarded([&] { return of(self).collect(); });
}

PyObject* fileno_(PyObject* self, PyObject*) { return PyLong_FromLong(of(self).descriptor()); }
PyObject* pending_bytes(PyObject* self, PyObject*) { return PyLong_FromUnsignedLongLong(of(self).pending_bytes()); }
PyObject* outbox_bytes(PyObject* self, PyObject*) { return PyLong_FromUnsignedLongLong(of(self).outbox_bytes()); }

PyObject* limit(PyObject* self, PyObject* args) {
  unsigned long long memory_bytes, pending_records, pending_bytes;
  if (!PyArg_ParseTuple(args, "KKK", &memory_bytes, &pending_records, &pending_bytes)) return nullptr;
  if (memory_bytes) skytorch::limit_memory(memory_bytes);
  of(self).limit({pending_records, pending_bytes});
  Py_RETURN_NONE;
}

PyObject* full(PyObject* self, PyObject*) { return PyBool_FromLong(of(self).full()); }

PyObject* note_crashes(PyObject* self, PyObject* args) {
  const char* path;
  if (!PyArg_ParseTuple(args, "s", &path)) return nullptr;
  of(self).note_crashes(path);
  Py_RETURN_NONE;
}

PyObject* cancel(PyObject* self, PyObject* args) {
  unsigned long long first, last;
  if (!PyArg_ParseTuple(args, "KK", &first, &last)) return nullptr;
  of(self).cancel(first, last);
  Py_RETURN_NONE;
}

PyObject* named(PyObject* self, PyObject*) { return PyLong_FromUnsignedLongLong(of(self).named()); }

PyObject* visit(PyObject* self, PyObject* visitor) {
  return guarded([&] {
    of(self).visit(visitor);
    Py_RETURN_NONE;
  });
}

PyObject* stats(PyObject* self, PyObject*) {
  auto now = of(self).stats();
  auto number = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  return Py_BuildValue("{sKsKsKsKsKsKsK}", "operations", number(now.operations), "bytes_received", number(now.bytes_received),
                       "bytes_sent", number(now.bytes_sent), "storages", number(now.storages), "storage_bytes",
                       number(now.storage_bytes), "busy_nanoseconds", number(now.busy_nanoseconds), "executed", number(now.executed));
}

PyObject* close_(PyObject* self, PyObject*) {
  of(self).close();
  Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"submit", submit, METH_VARARGS, "submit(message, route): queue a StreamRequest (route 0) or records (a route above 0)."},
    {"attach", attach, METH_VARARGS, "attach(socket, inflate): take the stream's messages from a Unix socket, as one submission."},
    {"resume", resume, METH_VARARGS, "resume(replies_received, by_socket) -> the first record of the last frame that arrived: what the client lacks is sent again."},
    {"detach", detach, METH_NOARGS, "detach() -> whether the stream's connection, which is used no more, had whole messages only."},
    {"serve_functions", serve_functions, METH_VARARGS, "serve_functions(hook, max_bytes): have the hook run functions, whose calls have at most so many bytes, 0: any number."},
    {"serve_copies", serve_copies, METH_O, "serve_copies(hook): have the hook send tensors to other servers, and take in theirs."},
    {"begin", begin, METH_NOARGS, "begin(): begin the log anew, with record 1, as one submission; named objects alone stay."},
    {"collect", collect, METH_NOARGS, "collect() -> [(route, kind, payload)]: what is to be sent; kind 0 message, 1 done, 2 malformed."},
    {"fileno", fileno_, METH_NOARGS, "fileno() -> a descriptor that is readable when there is something to collect."},
    {"limit", limit, METH_VARARGS, "limit(memory_bytes, pending_records, pending_bytes): bound what tensors take (0: not), and what is queued."},
    {"full", full, METH_NOARGS, "full() -> whether as much is queued as may be."},
    {"note_crashes", note_crashes, METH_VARARGS, "note_crashes(path): write the op's name there when a signal ends the process."},
    {"pending_bytes", pending_bytes, METH_NOARGS, "pending_bytes() -> bytes submitted and not executed."},
    {"outbox_bytes", outbox_bytes, METH_NOARGS, "outbox_bytes() -> bytes executed and not collected."},
    {"cancel", cancel, METH_VARARGS, "cancel(first, last): skip the stream's ops in this range of sequence numbers."},
    {"named", named, METH_NOARGS, "named() -> how many objects have a name."},
    {"visit", visit, METH_O, "visit(visitor): call it with the named objects, in the order of the log; it returns some more."},
    {"stats", stats, METH_NOARGS, "stats() -> dict of counters since the start."},
    {"close", close_, METH_NOARGS, "close(): end the thread after the record that it is at."},
    {nullptr, nullptr, 0, nullptr}};

PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(create)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(destroy)},
                       {Py_tp_methods, methods},
                       {Py_tp_doc, const_cast<char*>("Executor(chunk_bytes): executes the records of one session.")},
                       {0, nullptr}};
PyType_Spec spec = {"skytorch_server.session._native.Executor", sizeof(ExecutorObject), 0, Py_TPFLAGS_DEFAULT, slots};
PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", "Executes the records of a session.", -1, nullptr, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__native() {
#ifdef __GLIBC__
  // Chunks and tensors of some MiB come and go all the time; given back to the kernel at each free, they would be
  // faulted in again at each allocation, which costs more than filling them.
  mallopt(M_MMAP_THRESHOLD, 8 << 20);
  mallopt(M_TRIM_THRESHOLD, 64 << 20);
#endif
  skytorch::keep_host_memory();
  PyObject* module = PyModule_Create(&definition);
  if (!module) return nullptr;
  PyObject* type = PyType_FromSpec(&spec);
  if (!type || PyModule_AddObject(module, "Executor", type) < 0) {
    Py_XDECREF(type);
    Py_DECREF(module);
    return nullptr;
  }
  return module;
}
