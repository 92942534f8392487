#include "request.h"

#include <ATen/core/Tensor.h>

#include <chrono>
#include <map>

#include "encoder.h"
#include "guarded.h"

// Of libtorch_python; its header would take three times as long to compile as all that is here.
PyObject* THPVariable_Wrap(const at::TensorBase& tensor);

namespace skytorch {

using wire::Record;
using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

namespace {

constexpr size_t kMaxHeld = 1 << 20;  // of what is written faster than it is shown
constexpr double kForever = 1e8;

}  // namespace

// With the lock held. Makes the server wait, rather than this end's memory grow.
void Sink::take_output(wire::Reader& in, uint64_t sequence, std::unique_lock<std::mutex>& lock) {
  auto stream = in.byte();
  auto text = in.data();
  while (!stop_.load()) {
    auto found = awaited_.find(sequence);
    if (found == awaited_.end() || !found->second->outputs) return;  // nobody looks any more
    Outputs& outputs = *found->second->outputs;
    if (outputs.bytes < kMaxHeld) {
      outputs.pieces.push_back({stream, std::string(text)});
      outputs.bytes += text.size();
      return;
    }
    replied_.wait_for(lock, Seconds(kSignalCheck));
  }
}

// Waits for the next piece of output, or for the answer: false when `seconds` are over.
bool Sink::wait_output(Answer& answer, double seconds, std::optional<Outputs::Piece>& piece) {
  auto began = Clock::now();
  auto deadline = began + std::chrono::duration_cast<Clock::duration>(Seconds(std::min(seconds, kForever)));
  WithoutGil without;
  std::unique_lock lock(reply_mutex_);
  auto there = [&] { return !answer.outputs->pieces.empty() || answer.done || stop_.load(); };
  while (!there()) {
    auto look = Clock::now() + std::chrono::duration_cast<Clock::duration>(Seconds(kSignalCheck));
    if (replied_.wait_until(lock, std::min(deadline, look)) == std::cv_status::timeout) {
      lock.unlock();
      check_signals();
      lock.lock();
      if (Clock::now() >= deadline) break;
    }
  }
  auto took = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - began).count());
  waited_ += took;
  waited_by_line_[place()].nanoseconds += took;
  if (!there()) return false;
  if (answer.outputs->pieces.empty()) return true;
  piece = std::move(answer.outputs->pieces.front());
  answer.outputs->pieces.pop_front();
  answer.outputs->bytes -= piece->text.size();
  replied_.notify_all();
  return true;
}

namespace request {

struct Request {
  Sink* sink;
  uint64_t sequence = 0;
  Answer answer;
  Outputs outputs;

  // The parcel goes with the request: what was wanted of it is adopted by then.
  ~Request() {
    if (!sequence || in_forked_child()) return;
    sink->forget(sequence);
    if (sink->stopped()) return;
    try {
      Sink::Entry entry(*sink, Record::kDropParcel);
      entry.out().varint(sequence);
      entry.commit();
    } catch (...) {  // the session's end frees everything
    }
  }
};

struct RequestObject {
  PyObject_HEAD
  Request* request;
};

Request& of(PyObject* self) { return *reinterpret_cast<RequestObject*>(self)->request; }

PyObject* create(PyTypeObject* type, PyObject* args, PyObject*) {
  int device;
  if (!PyArg_ParseTuple(args, "i", &device)) return nullptr;
  return guarded([&]() -> PyObject* {
    std::unique_ptr<Request> request(new Request{remote_device(static_cast<c10::DeviceIndex>(device)).sink});
    request->answer.outputs = &request->outputs;
    auto* self = reinterpret_cast<RequestObject*>(type->tp_alloc(type, 0));
    if (!self) return nullptr;
    self->request = request.release();
    return reinterpret_cast<PyObject*>(self);
  });
}

void destroy(PyObject* self) {
  delete reinterpret_cast<RequestObject*>(self)->request;
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

std::string_view record_of(PyObject* record) {
  char* data;
  Py_ssize_t size;
  if (PyBytes_AsStringAndSize(record, &data, &size) < 0) throw_python_error();
  return {data, static_cast<size_t>(size)};
}

PyObject* append(PyObject* self, PyObject* record) {
  return guarded([&] {
    auto bytes = record_of(record);
    of(self).sink->admit();
    of(self).sink->append_bulk(bytes);
    Py_RETURN_NONE;
  });
}

PyObject* start(PyObject* self, PyObject* record) {
  return guarded([&] {
    Request& request = of(self);
    TORCH_CHECK_VALUE(!request.sequence, "a request is started once");
    auto bytes = record_of(record);
    request.sink->admit();
    Sink::Entry entry(*request.sink);
    entry.out().raw(bytes.data(), bytes.size());
    entry.expect(request.answer);
    request.sequence = entry.commit(true);
    return PyLong_FromUnsignedLongLong(request.sequence);
  });
}

PyObject* next(PyObject* self, PyObject* args) {
  double seconds = kForever;
  if (!PyArg_ParseTuple(args, "|d", &seconds)) return nullptr;
  return guarded([&]() -> PyObject* {
    Request& request = of(self);
    std::optional<Outputs::Piece> piece;
    if (!request.sink->wait_output(request.answer, seconds, piece)) {
      PyErr_SetString(PyExc_TimeoutError, "nothing came in time");
      return nullptr;
    }
    if (!piece) Py_RETURN_NONE;
    return Py_BuildValue("iy#", static_cast<int>(piece->stream), piece->text.data(), static_cast<Py_ssize_t>(piece->text.size()));
  });
}

PyObject* result(PyObject* self, PyObject*) {
  return guarded([&] {
    Request& request = of(self);
    TORCH_CHECK_VALUE(request.sequence, "a request has no result before it is started");
    request.sink->wait(request.answer, request.sequence);
    return PyBytes_FromStringAndSize(request.answer.data.data(), static_cast<Py_ssize_t>(request.answer.data.size()));
  });
}

PyMethodDef methods[] = {
    {"append", append, METH_O, "append(record): add one record before it that Python wrote; waits while too much is under way."},
    {"start", start, METH_O, "start(record) -> the record's sequence number, and its parcel's."},
    {"next", next, METH_VARARGS, "next(seconds) -> (stream, data) that was written, or None when the answer is there. Raises TimeoutError."},
    {"result", result, METH_NOARGS, "result() -> the data that is replied; waits for it, and raises what went wrong."},
    {nullptr, nullptr, 0, nullptr}};
PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(create)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(destroy)},
                       {Py_tp_methods, methods},
                       {Py_tp_doc, const_cast<char*>("Request(device): one record that leaves a parcel, which goes with this.")},
                       {0, nullptr}};
PyType_Spec spec = {"jupyter_skytorch.device._native.Request", sizeof(RequestObject), 0, Py_TPFLAGS_DEFAULT, slots};

Sink& sink_of(int device) { return *remote_device(static_cast<c10::DeviceIndex>(device)).sink; }

std::vector<int64_t> integers(PyObject* sequence) {
  std::vector<int64_t> values;
  PyObject* items = PySequence_Fast(sequence, "sizes and strides are sequences");
  for (Py_ssize_t i = 0; items && i < PySequence_Fast_GET_SIZE(items); ++i) values.push_back(PyLong_AsLongLong(PySequence_Fast_GET_ITEM(items, i)));
  Py_XDECREF(items);
  if (PyErr_Occurred()) throw_python_error();
  return values;
}

// Makes a storage that is the parcel's slot, and the view of it by which the server is to know it.
at::Tensor take_over(int device, uint64_t parcel, uint64_t slot, uint64_t bytes, const std::function<at::Tensor(c10::Storage)>& view) {
  auto index = static_cast<c10::DeviceIndex>(device);
  Sink& sink = sink_of(device);
  sink.admit();
  at::Tensor home = view(c10::Storage(c10::Storage::use_byte_size_t(), bytes, &allocator_of(index), true));
  const c10::TensorImpl& impl = *home.unsafeGetTensorImpl();
  check_layout(impl);
  Handle& handle = handle_of(impl);
  Encoder encoder(sink);
  encoder.entry().begin(Record::kAdopt);
  encoder.out().varint(parcel);
  encoder.out().varint(slot);
  encoder.announce(handle);
  encoder.out().varint(handle.id);
  encoder.layout(impl);
  handle.set_home(impl);
  encoder.commit();
  return home;
}

}  // namespace request

PyObject* make_request_type() { return PyType_FromSpec(&request::spec); }

PyObject* storage_number(PyObject*, PyObject* args) {
  int device;
  PyObject* address;
  if (!PyArg_ParseTuple(args, "iO", &device, &address)) return nullptr;
  return guarded([&]() -> PyObject* {
    auto* storage = static_cast<c10::StorageImpl*>(PyLong_AsVoidPtr(address));
    if (!storage) throw_python_error();
    Sink& sink = request::sink_of(device);
    Handle& handle = handle_of(*storage);
    TORCH_CHECK(handle.sink == &sink, "Expected all tensors to be on the same device, but found sky devices of two Computes");
    sink.admit();
    Encoder encoder(sink);
    if (!handle.announced) {
      std::vector<int64_t> sizes{static_cast<int64_t>(storage->nbytes())}, strides{1};
      encoder.entry().begin(Record::kAllocate);
      encoder.announce(handle);
      encoder.out().varint(handle.id);
      encoder.out().varint(handle.slot);
      encoder.out().varint(storage->nbytes());
      encoder.out().layout(static_cast<uint8_t>(c10::kByte), sizes, strides, true, 0);
      handle.has_home = false;
      encoder.commit();
    }
    return PyLong_FromUnsignedLongLong(handle.id);
  });
}

PyObject* adopt_parcel(PyObject*, PyObject* args) {
  int device;
  unsigned long long parcel;
  PyObject* list;
  if (!PyArg_ParseTuple(args, "iKO!", &device, &parcel, &PyList_Type, &list)) return nullptr;
  return guarded([&]() -> PyObject* {
    std::map<uint64_t, c10::Storage> storages;
    std::vector<at::Tensor> tensors;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); ++i) {
      unsigned long long slot, bytes;
      int dtype;
      long long offset;
      PyObject *sizes, *strides;
      if (!PyArg_ParseTuple(PyList_GET_ITEM(list, i), "KKiOOL", &slot, &bytes, &dtype, &sizes, &strides, &offset)) throw_python_error();
      auto shape = request::integers(sizes), steps = request::integers(strides);
      TORCH_CHECK_VALUE(shape.size() == steps.size(), "as many sizes as strides are needed");
      auto type = c10::scalarTypeToTypeMeta(static_cast<c10::ScalarType>(dtype));
      auto view = [&](c10::Storage storage) {
        auto made = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), type);
        made.unsafeGetTensorImpl()->set_sizes_and_strides(shape, steps, offset);
        return made;
      };
      auto found = storages.find(slot);
      if (found == storages.end()) {
        tensors.push_back(request::take_over(device, parcel, slot, bytes, view));
        storages.emplace(slot, tensors.back().storage());
      } else {
        tensors.push_back(view(found->second));
      }
    }
    PyObject* results = PyList_New(static_cast<Py_ssize_t>(tensors.size()));
    if (!results) throw_python_error();
    for (size_t i = 0; i < tensors.size(); ++i) PyList_SET_ITEM(results, static_cast<Py_ssize_t>(i), THPVariable_Wrap(tensors[i]));
    return results;
  });
}

}  // namespace skytorch
