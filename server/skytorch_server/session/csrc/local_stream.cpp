// The stream over a Unix socket, for a client on this machine: a thread that receives, and replies that the executor
// sends itself, so that no Python stands between a record and its answer.
#include <skytorch_wire/socket.h>

#include "executor.h"

namespace skytorch {

namespace {

constexpr uint64_t kPendingBytes = 64u << 20;  // more waits with the client
constexpr char kCompressed = 15 << 3 | 2;       // begins a StreamRequest that carries `compressed`, and nothing else

// What a compressed request stands for. Throws Malformed.
std::string inflated(PyObject* inflate, const std::string& request) {
  PyGILState_STATE gil = PyGILState_Ensure();
  PyObject* compressed = PyBytes_FromStringAndSize(request.data(), static_cast<Py_ssize_t>(request.size()));
  PyObject* bytes = compressed ? PyObject_CallOneArg(inflate, compressed) : nullptr;
  Py_XDECREF(compressed);
  std::string text, refusal;
  if (bytes && PyBytes_Check(bytes)) {
    text.assign(PyBytes_AS_STRING(bytes), static_cast<size_t>(PyBytes_GET_SIZE(bytes)));
  } else {
    PyObject *type = nullptr, *error = nullptr, *trace = nullptr;
    PyErr_Fetch(&type, &error, &trace);
    PyObject* said = error ? PyObject_Str(error) : nullptr;
    const char* words = said ? PyUnicode_AsUTF8(said) : nullptr;
    refusal = words ? words : "a compressed request can't be read";
    for (PyObject* object : {type, error, trace, said}) Py_XDECREF(object);
    PyErr_Clear();
  }
  Py_XDECREF(bytes);
  PyGILState_Release(gil);
  if (!refusal.empty()) throw wire::Malformed(refusal);
  return text;
}

}  // namespace

void Executor::attach(int socket, PyObject* inflate) {
  if (receiver_.joinable()) receiver_.join();  // its socket has ended
  malformed_.reset();
  socket_.store(socket);
  Py_INCREF(inflate);
  Py_XSETREF(inflate_, inflate);
  receiver_ = std::thread([this, socket] { receive(socket); });
}

void Executor::receive(int socket) {
  bool open = true;
  while (open) {
    Submission submission{nullptr, 0, {}};
    try {
      open = wire::receive_message(socket, submission.text);
      if (!open) submission.text.clear();
      else if (!submission.text.empty() && submission.text[0] == kCompressed) submission.text = inflated(inflate_, submission.text);
    } catch (const wire::Malformed& error) {
      open = false;
      submission.text = error.what();
    }
    submission.end = !open;
    {
      std::unique_lock lock(mutex_);
      space_.wait(lock, [&] { return closing_ || pending_bytes_ < kPendingBytes; });
      if (closing_) return;
    }
    enqueue(std::move(submission));
  }
}

// A client that is gone is noticed by the receiver.
void Executor::send(std::initializer_list<std::string_view> parts) {
  uint64_t size = 0;
  for (std::string_view part : parts) size += part.size();
  bytes_sent_.fetch_add(size, std::memory_order_relaxed);
  // The client may read slower than we make.
  uint64_t began = now();
  wire::send_message(socket_.load(), parts);
  waited_ += now() - began;
}

void Executor::end_socket(const std::string& refusal) {
  socket_.store(-1);
  if (!malformed_ && !refusal.empty()) malformed_ = refusal;
  if (malformed_) put({0, Outgoing::kMalformed, *std::exchange(malformed_, {}), nullptr});
  else put({0, Outgoing::kDone, {}, nullptr});
}

}  // namespace skytorch
