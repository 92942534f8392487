// The stream over a Unix socket, for a client on this machine: a thread that receives, and replies that the executor
// sends itself, so that no Python stands between a record and its answer.
#include <skytorch_wire/socket.h>

#include "executor.h"

namespace skytorch {

namespace {

constexpr char kCompressed = 15 << 3 | 2;  // begins a StreamRequest that carries `compressed`, and nothing else

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
  Py_INCREF(inflate);
  Py_XSETREF(inflate_, inflate);
  attached_ = socket;
  receiver_ = std::thread([this, socket, connection = connection_.load()] { receive(socket, connection); });
}

void Executor::receive(int socket, uint64_t connection) {
  begin_sending(socket, connection);
  bool open = true;
  while (open) {
    Submission submission{nullptr, 0, {}, connection};
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
      auto stale = [&] { return closing_ || connection != connection_.load(); };
      space_.wait(lock, [&] { return stale() || !is_full(); });
      if (closing_) return;
      // Not taken: it comes again by the next connection.
      if (stale() && open) continue;
    }
    enqueue(std::move(submission));
  }
}

// What a connection brings isn't wanted any more.
void Executor::refuse(uint64_t connection, std::string why) {
  refused_ = connection;
  refusal_ = std::move(why);
  std::lock_guard sending(sending_);
  if (connection == connection_.load() && socket_ >= 0) ::shutdown(socket_, SHUT_RD);
}

void Executor::end_socket(const Submission& submission) {
  const std::string& why = submission.connection == refused_ ? refusal_ : submission.text;
  // Of a connection that was given up nobody wants to know how it ended.
  bool told = submission.connection == connection_.load() && !why.empty();
  put(0, told ? std::optional(why) : std::nullopt);
}

}  // namespace skytorch
