#include "functions.h"

#include <memory>
#include <mutex>
#include <unordered_set>

#include "interpreter.h"
#include "python.h"

namespace skytorch {

using wire::Malformed;
using wire::Reader;

Functions::~Functions() {
  // With the GIL: the executor is destroyed by Python.
  Py_XDECREF(hook_);
  for (PyObject* part : parts_) Py_DECREF(part);
}

Functions::Result::~Result() {
  if (!reply) return;
  python::Gil gil;
  Py_DECREF(reply);
}

void Functions::serve(PyObject* hook, uint64_t max_bytes) {
  Py_INCREF(hook);
  Py_XSETREF(hook_, hook);
  max_bytes_ = max_bytes;
}

void Functions::discard() {
  size_ = 0;
  if (parts_.empty()) return;
  python::Gil gil;
  for (PyObject* part : parts_) Py_DECREF(part);
  parts_.clear();
}

void Functions::part(uint64_t offset, std::string_view data) {
  if (data.empty()) throw Malformed("a part of a function's call is empty");
  if (offset == 0) discard();
  if (offset != size_) throw Malformed("a part of a function's call came for byte " + std::to_string(offset) + " where " + std::to_string(size_) + " was due");
  size_ += data.size();
  if (!hook_ || too_large()) return;  // it won't be run
  python::Gil gil;
  PyObject* bytes = PyBytes_FromStringAndSize(data.data(), static_cast<Py_ssize_t>(data.size()));
  if (!bytes) {
    PyErr_Clear();
    throw std::bad_alloc();
  }
  parts_.push_back(bytes);
}

namespace {

// Where a function's writes go. Threads that it leaves behind may write when it has returned, to nobody.
struct Port {
  std::mutex mutex;
  Functions::Output output;
};

constexpr const char* kCapsule = "skytorch function";

PyObject* write(PyObject* capsule, PyObject* arguments) {
  auto* port = static_cast<std::shared_ptr<Port>*>(PyCapsule_GetPointer(capsule, kCapsule));
  int stream;
  const char* data;
  Py_ssize_t size;
  if (!port || !PyArg_ParseTuple(arguments, "iy#", &stream, &data, &size)) return nullptr;
  bool failed = false;
  Py_BEGIN_ALLOW_THREADS
  try {
    std::lock_guard lock((*port)->mutex);
    if ((*port)->output) (*port)->output(static_cast<uint64_t>(stream), {data, static_cast<size_t>(size)});
  } catch (const std::exception&) {  // of memory
    failed = true;
  }
  Py_END_ALLOW_THREADS
  if (failed) return PyErr_NoMemory();
  Py_RETURN_NONE;
}

PyMethodDef write_method = {"write", write, METH_VARARGS, "write(stream, data): tell the client what a function has written."};

PyObject* writer(const std::shared_ptr<Port>& port) {
  using python::checked;
  using python::Object;
  auto* held = new std::shared_ptr<Port>(port);
  PyObject* made = PyCapsule_New(held, kCapsule, [](PyObject* capsule) { delete static_cast<std::shared_ptr<Port>*>(PyCapsule_GetPointer(capsule, kCapsule)); });
  if (!made) delete held;
  Object capsule(checked(made));
  return checked(PyCFunction_New(&write_method, capsule.object));
}

}  // namespace

Functions::Result Functions::run(uint64_t sequence, c10::Device device, const std::vector<std::pair<uint64_t, at::Tensor>>& storages, Output output) {
  using python::checked;
  using python::Object;
  auto port = std::make_shared<Port>();
  port->output = std::move(output);
  Result result;
  std::exception_ptr failure;
  try {
    python::Gil gil;
    Object given(checked(PyDict_New())), parts(checked(PyList_New(static_cast<Py_ssize_t>(parts_.size()))));
    for (const auto& [id, tensor] : storages) {
      Object key(checked(PyLong_FromUnsignedLongLong(id))), value(checked(python::wrap(tensor)));
      if (PyDict_SetItem(given.object, key.object, value.object) < 0) python::raise();
    }
    for (size_t i = 0; i < parts_.size(); ++i) PyList_SET_ITEM(parts.object, static_cast<Py_ssize_t>(i), parts_[i]);
    parts_.clear();
    size_ = 0;
    Object write(writer(port));
    Object arguments(checked(Py_BuildValue("(KsOOO)", static_cast<unsigned long long>(sequence), device.str().c_str(), given.object, parts.object, write.object)));
    Object results(checked(PyObject_CallObject(hook_, arguments.object)));
    PyObject *reply, *slots;
    if (!PyArg_ParseTuple(results.object, "SO!", &reply, &PyList_Type, &slots)) python::raise();
    result.reply = Py_NewRef(reply);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(slots); ++i) result.slots.push_back(python::unwrap(PyList_GET_ITEM(slots, i)));
  } catch (...) {
    failure = std::current_exception();
  }
  {
    std::lock_guard lock(port->mutex);
    port->output = nullptr;
  }
  if (failure) std::rethrow_exception(failure);
  return result;
}

void Interpreter::output(uint64_t stream, std::string_view text, ReplyPort& port) {
  wire::Writer head;
  head.tag(wire::Reply::kOutput);
  head.varint(sequence_);
  head.varint(stream);
  head.varint(text.size());
  port.bulk(head, text.data(), text.size());
}

void Interpreter::function(Reader& in, ReplyPort& port) {
  if (!sequence_) throw Malformed("a function is called by the stream only");
  c10::Device device = devices_.at(in.varint());
  std::vector<uint64_t> ids(in.count());
  std::unordered_set<uint64_t> once;
  for (uint64_t& id : ids) {
    id = in.varint();
    store_.at(id);
    if (!once.insert(id).second) throw Malformed("a function's call names storage " + std::to_string(id) + " twice");
  }
  uint64_t size = in.varint();
  if (size == 0 || size != functions_.size()) throw Malformed("a function's call has " + std::to_string(functions_.size()) + " bytes, not " + std::to_string(size));
  current_ = nullptr;
  parcels_.keep_new(sequence_, {});
  auto refuse = [&](wire::ErrorKind kind, const std::string& why) {
    functions_.discard();
    fail({kind, why}, true);
  };
  if (!functions_.served()) return refuse(wire::ErrorKind::kNotImplemented, "this server runs no functions: it was started with --no-functions");
  if (functions_.too_large())
    return refuse(wire::ErrorKind::kOutOfMemory, "a function's call of " + std::to_string(size) + " bytes is over this session's limit of " + std::to_string(functions_.max_bytes()));
  if (cancelled()) return refuse(wire::ErrorKind::kCancelled, "cancelled by an interrupt");
  std::vector<std::pair<uint64_t, at::Tensor>> storages;
  for (uint64_t id : ids) {
    Entry& entry = store_.at(id);
    if (entry.poisoned_by) {
      functions_.discard();
      return error(sequence_, entry.poisoned_by);
    }
    storages.emplace_back(id, Store::view(entry, bytes_layout(0, static_cast<int64_t>(entry.home.storage().nbytes()))));
  }
  Functions::Result result;
  try {
    result = functions_.run(sequence_, device, storages, [&](uint64_t stream, std::string_view text) { output(stream, text, port); });
  } catch (...) {
    fail(current_failure(), true);
  }
  for (uint64_t id : ids) resized(id);
  if (!result.reply) return;
  parcels_.keep_new(sequence_, std::move(result.slots));
  auto bytes = result.bytes();
  data(bytes.data(), bytes.size(), port);
}

// A function may have given a storage another size; the client knows the old one.
void Interpreter::resized(uint64_t id) {
  Entry& entry = store_.at(id);
  uint64_t before = entry.bytes;
  if (entry.home.storage().nbytes() == before) return;
  if (entry.home.storage().nbytes() > before) return store_.count(entry);
  entry.home = placeholder(bytes_layout(0, static_cast<int64_t>(before)));
  entry.poisoned_by = origin_;
  store_.count(entry);
  fail({wire::ErrorKind::kRuntime, "a function has made a tensor's storage smaller, which is gone"}, false);
}

}  // namespace skytorch
