#include "executor.h"

#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>

#include "host_memory.h"

namespace skytorch {

using wire::Malformed;
using wire::Reader;
using wire::Writer;

namespace {

constexpr uint64_t kOutboxLimit = 16u << 20;
constexpr std::chrono::seconds kIdle{2};  // then memory that is kept for the next tensor is given back
constexpr uint64_t kAcknowledgeEvery = 20'000'000;  // ns; a reply acknowledges too
// A slow record, and a session's first ones, tell the client sooner what its records cost.
constexpr uint64_t kSlowRecord = 1'000'000, kAcknowledgeSlow = 5'000'000, kAcknowledgeFirst = 200'000;

// Field numbers of StreamRequest and StreamResponse in service.proto.
enum RequestField : uint32_t { kRequestAttach = 1, kFirstSequence = 2, kRepliesReceived = 3, kRequestEpoch = 4, kRecords = 5, kRequestCompressed = 15 };
enum ResponseField : uint32_t { kExecuted = 2, kBusy = 3, kReplies = 5 };

}  // namespace

uint64_t now() {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

Executor::Executor(size_t chunk_bytes) : interpreter_(chunk_bytes), event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

Executor::~Executor() {
  close();
  ::close(event_);
}

void Executor::submit(PyObject* message, int route) {
  Py_INCREF(message);
  enqueue({message, route, {}});
}

void Executor::enqueue(Submission submission) {
  std::lock_guard lock(mutex_);
  if (!thread_.joinable() && !closing_) thread_ = std::thread([this] { run(); });
  pending_bytes_ += submission.bytes().size();
  queue_.push_back(std::move(submission));
  work_.notify_one();
}

PyObject* Executor::collect() {
  uint64_t count;
  if (::read(event_, &count, sizeof count) < 0) count = 0;  // spurious: there may be something all the same
  std::deque<Item> items;
  std::vector<PyObject*> finished;
  {
    std::lock_guard lock(mutex_);
    items.swap(outbox_);
    finished.swap(finished_);
    outbox_bytes_ = 0;
    room_.notify_one();
  }
  for (PyObject* message : finished) Py_DECREF(message);
  PyObject* list = PyList_New(static_cast<Py_ssize_t>(items.size()));
  for (size_t i = 0; list && i < items.size(); ++i) {
    Item& item = items[i];
    PyObject* bytes = item.bytes ? item.bytes : PyBytes_FromStringAndSize(item.text.data(), static_cast<Py_ssize_t>(item.text.size()));
    PyObject* entry = bytes ? Py_BuildValue("iiN", item.route, static_cast<int>(item.kind), bytes) : nullptr;
    if (!entry) Py_CLEAR(list);
    else PyList_SET_ITEM(list, static_cast<Py_ssize_t>(i), entry);
  }
  return list;
}

void Executor::close() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    work_.notify_all();
    room_.notify_all();
    space_.notify_all();
  }
  if (int socket = socket_.load(); socket >= 0) ::shutdown(socket, SHUT_RDWR);
  Py_BEGIN_ALLOW_THREADS
  if (receiver_.joinable()) receiver_.join();
  if (thread_.joinable()) thread_.join();
  Py_END_ALLOW_THREADS
  Py_CLEAR(inflate_);
  for (const auto& submission : queue_) Py_XDECREF(submission.message);
  queue_.clear();
}

uint64_t Executor::pending_bytes() {
  std::lock_guard lock(mutex_);
  return pending_bytes_;
}

uint64_t Executor::outbox_bytes() {
  std::lock_guard lock(mutex_);
  return outbox_bytes_;
}

Executor::Stats Executor::stats() const {
  const auto& counters = interpreter_.counters();
  return {counters.operations.load(), bytes_received_.load() + counters.shared_in.load(), bytes_sent_.load() + counters.shared_out.load(), counters.storages.load(), counters.storage_bytes.load(), busy_.load(), executed_.load()};
}

void Executor::run() {
  // Autograd is the client's: here it would only cost.
  c10::InferenceMode inference;
  std::unique_lock lock(mutex_);
  while (true) {
    auto something = [&] { return closing_ || !queue_.empty(); };
    if (!work_.wait_for(lock, std::chrono::nanoseconds(kAcknowledgeEvery), something)) {
      lock.unlock();
      acknowledge();
      lock.lock();
      if (!work_.wait_for(lock, kIdle, something)) {
        lock.unlock();
        release_host_memory();
        lock.lock();
        work_.wait(lock, something);
      }
    }
    if (closing_) return;
    Submission submission = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    if (submission.end) end_socket(submission.text);
    else if (submission.message || !malformed_) execute(submission);
    lock.lock();
    pending_bytes_ -= submission.bytes().size();
    if (submission.message) finished_.push_back(submission.message);
    space_.notify_one();
  }
}

void Executor::execute(const Submission& submission) {
  route_ = submission.route;
  Reader message(submission.bytes().data(), submission.bytes().size());
  bytes_received_.fetch_add(message.left(), std::memory_order_relaxed);
  frame_started_ = now();
  try {
    if (route_ == 0) {
      execute_frame(message);
    } else {
      execute_records(message, 0);
      interpreter_.flush(*this);
    }
    if (submission.message) put({route_, Outgoing::kDone, {}, nullptr});
    return;
  } catch (const Malformed& error) {
    malformed_ = error.what();
  } catch (...) {
    // Not an op's own failure (those are replies), so what the session holds can no longer be vouched for.
    malformed_ = "the server could not go on: " + current_failure().message;
  }
  if (!submission.message) return static_cast<void>(::shutdown(socket_.load(), SHUT_RD));  // what follows isn't wanted
  put({route_, Outgoing::kMalformed, *std::exchange(malformed_, {}), nullptr});
}

void Executor::execute_frame(Reader message) {
  uint64_t first = 0;
  std::string_view records;
  while (!message.done()) {
    auto field = wire::read_envelope_field(message);
    if (field.number == kFirstSequence) first = field.value;
    else if (field.number == kRecords) records = field.bytes;
    else if (field.number == kRequestCompressed) throw Malformed("a compressed request carries nothing else");
    else if (field.number == kRequestAttach) throw Malformed("a stream is attached once, by its first message");
  }
  uint64_t expected = executed_.load(std::memory_order_relaxed) + 1;
  if (first != expected) throw Malformed("record " + std::to_string(first) + " came where " + std::to_string(expected) + " was due");
  execute_records(Reader(records.data(), records.size()), first);
}

void Executor::execute_records(Reader records, uint64_t sequence) {
  waited_ = 0;
  uint64_t busy_before = busy_.load(std::memory_order_relaxed);
  while (!records.done()) {
    interpreter_.step(records, sequence, *this);
    uint64_t time = now(), busy = busy_before + time - frame_started_ - waited_;
    bool slow = busy - busy_.load(std::memory_order_relaxed) > kSlowRecord;
    busy_.store(busy, std::memory_order_relaxed);
    if (sequence) executed_.store(sequence++, std::memory_order_relaxed);
    uint64_t pause = !acknowledged_ ? kAcknowledgeFirst : slow ? kAcknowledgeSlow : kAcknowledgeEvery;
    if (interpreter_.has_replies()) interpreter_.flush(*this);
    else if (route_ == 0 && time - acknowledged_at_ > pause) small(Writer());
  }
}

// Tells the client what is executed, when there is nothing else to be done.
void Executor::acknowledge() {
  if (executed_.load(std::memory_order_relaxed) == acknowledged_) return;
  route_ = 0;
  small(Writer());
}

wire::Writer Executor::envelope() const {
  Writer out;
  wire::envelope_varint(out, kExecuted, executed_.load(std::memory_order_relaxed));
  wire::envelope_varint(out, kBusy, busy_.load(std::memory_order_relaxed));
  return out;
}

void Executor::small(const Writer& replies) {
  if (route_ != 0) return put({route_, Outgoing::kMessage, replies.bytes(), nullptr});
  Writer message = envelope();
  if (!replies.empty()) {
    wire::envelope_bytes_header(message, kReplies, replies.size());
    message.raw(replies.bytes().data(), replies.size());
  }
  acknowledged_ = executed_.load(std::memory_order_relaxed);
  acknowledged_at_ = now();
  put({route_, Outgoing::kMessage, message.take(), nullptr});
}

void Executor::bulk(const Writer& head, const void* data, size_t size) {
  Writer prefix;
  if (route_ == 0) {
    prefix = envelope();
    wire::envelope_bytes_header(prefix, kReplies, head.size() + size);
  }
  prefix.raw(head.bytes().data(), head.size());
  if (route_ == 0 && socket_.load() >= 0) return send({prefix.bytes(), {static_cast<const char*>(data), size}});
  {
    // The client reads slower than we make: wait, so that memory stays bounded.
    uint64_t began = now();
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return closing_ || outbox_bytes_ < kOutboxLimit; });
    waited_ += now() - began;
    if (closing_) return;
  }
  PyGILState_STATE gil = PyGILState_Ensure();
  PyObject* bytes = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(prefix.size() + size));
  if (!bytes) PyErr_Clear();
  PyGILState_Release(gil);
  if (!bytes) throw std::bad_alloc();
  char* target = PyBytes_AS_STRING(bytes);
  std::memcpy(target, prefix.bytes().data(), prefix.size());
  std::memcpy(target + prefix.size(), data, size);
  put({route_, Outgoing::kMessage, {}, bytes});
}

void Executor::put(Item item) {
  if (item.route == 0 && item.kind == Outgoing::kMessage && socket_.load() >= 0) return send({item.text});
  uint64_t size = item.bytes ? static_cast<uint64_t>(PyBytes_GET_SIZE(item.bytes)) : item.text.size();
  bytes_sent_.fetch_add(size, std::memory_order_relaxed);
  {
    std::lock_guard lock(mutex_);
    outbox_.push_back(std::move(item));
    outbox_bytes_ += size;
    if (outbox_.size() > 1) return;  // somebody was told already, and hasn't collected yet
  }
  uint64_t one = 1;
  if (::write(event_, &one, sizeof one) < 0) return;  // full: it is readable then
}

}  // namespace skytorch
