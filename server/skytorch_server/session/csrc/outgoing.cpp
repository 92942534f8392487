// What the executor has to say, and where that goes: the outbox, from which Python takes it, or the stream's own socket.
// The stream's replies are kept until they are acknowledged: a client that was cut off is told again.
#include <sys/socket.h>
#include <skytorch_wire/socket.h>
#include <unistd.h>

#include <algorithm>

#include "executor.h"

namespace skytorch {

using wire::Writer;

namespace {

constexpr uint64_t kOutboxLimit = 16u << 20;
constexpr uint64_t kKeptLimit = 32u << 20;
constexpr std::chrono::milliseconds kPolite{100};  // that a message under way has to be written

// Field numbers of StreamResponse in service.proto.
enum ResponseField : uint32_t { kExecuted = 2, kBusy = 3, kReplies = 5, kNumber = 6 };

}  // namespace

wire::Writer Executor::envelope(bool replies) {
  Writer out;
  wire::envelope_varint(out, kExecuted, executed_.load(std::memory_order_relaxed));
  wire::envelope_varint(out, kBusy, busy_.load(std::memory_order_relaxed));
  if (replies) wire::envelope_varint(out, kNumber, ++replied_);
  return out;
}

void Executor::small(const Writer& replies) {
  if (route_ != 0) return put(route_, Outgoing::kMessage, std::make_shared<const std::string>(replies.bytes()));
  Writer message = envelope(!replies.empty());
  if (!replies.empty()) {
    wire::envelope_bytes_header(message, kReplies, replies.size());
    message.raw(replies.bytes().data(), replies.size());
  }
  acknowledged_ = executed_.load(std::memory_order_relaxed);
  acknowledged_at_ = now();
  reply(message.take(), replies.empty() ? 0 : replied_);
}

void Executor::bulk(const Writer& head, const void* data, size_t size) {
  {
    // The client reads slower than we make: wait, so that memory stays bounded.
    uint64_t began = now();
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return closing_ || room(); });
    waited_ += now() - began;
    if (closing_) return;
  }
  Writer message;
  if (route_ == 0) {
    message = envelope(true);
    wire::envelope_bytes_header(message, kReplies, head.size() + size);
  }
  message.reserve(message.size() + head.size() + size);
  message.raw(head.bytes().data(), head.size());
  message.raw(data, size);
  if (route_ == 0) return reply(message.take(), replied_);
  put(route_, Outgoing::kMessage, std::make_shared<const std::string>(message.take()));
}

bool Executor::room() const { return outbox_bytes_ < kOutboxLimit && (route_ != 0 || abandoned_ || kept_bytes_ < kKeptLimit); }

// A message of the stream; `number` is 0 if it has no replies.
void Executor::reply(std::string message, uint64_t number) {
  auto bytes = std::make_shared<const std::string>(std::move(message));
  uint64_t began = now();
  std::lock_guard sending(sending_);
  if (number) {
    std::lock_guard lock(mutex_);
    kept_.emplace_back(number, bytes);
    kept_bytes_ += bytes->size();
  }
  switch (outlet_) {
    case Outlet::kNone: break;
    case Outlet::kOutbox: put(0, Outgoing::kMessage, bytes); break;
    case Outlet::kSocket:
      bytes_sent_.fetch_add(bytes->size(), std::memory_order_relaxed);
      wire::send_message(socket_, {*bytes});  // a client that is gone is noticed by the receiver
  }
  waited_ += now() - began;
}

// With the lock.
void Executor::forget_replies(uint64_t received) {
  if (kept_.empty() || kept_.front().first > received) return;
  while (!kept_.empty() && kept_.front().first <= received) {
    kept_bytes_ -= kept_.front().second->size();
    kept_.pop_front();
  }
  room_.notify_one();
}

uint64_t Executor::resume(uint64_t replies_received, bool by_socket) {
  std::lock_guard sending(sending_);
  std::lock_guard lock(mutex_);
  forget_replies(replies_received);
  auto stale = std::remove_if(outbox_.begin(), outbox_.end(), [](const Item& item) { return item.route == 0 && item.kind == Outgoing::kMessage; });
  outbox_.erase(stale, outbox_.end());
  outbox_bytes_ = 0;
  if (!by_socket)
    for (const auto& kept : kept_) outbox_.push_back({0, Outgoing::kMessage, kept.second});
  for (const Item& item : outbox_) outbox_bytes_ += item.bytes->size();
  outlet_ = by_socket ? Outlet::kNone : Outlet::kOutbox;
  wake();
  return received_;
}

// On the receiver's thread, before it receives: what the client lacks, and then what comes.
void Executor::begin_sending(int socket, uint64_t connection) {
  std::lock_guard sending(sending_);
  if (connection != connection_.load()) return;
  std::vector<Bytes> lacking;
  {
    std::lock_guard lock(mutex_);
    for (const auto& kept : kept_) lacking.push_back(kept.second);
  }
  for (const Bytes& bytes : lacking)
    if (!wire::send_message(socket, {*bytes})) break;
  socket_ = socket;
  outlet_ = Outlet::kSocket;
}

bool Executor::detach() {
  PyThreadState* python = PyEval_SaveThread();
  ++connection_;
  {
    std::lock_guard lock(mutex_);
    space_.notify_all();
  }
  bool whole = true;
  if (int socket = attached_; socket >= 0) {
    ::shutdown(socket, SHUT_RD);
    whole = sending_.try_lock_for(kPolite);
    if (!whole) {
      ::shutdown(socket, SHUT_RDWR);
      sending_.lock();
    }
  } else {
    sending_.lock();
  }
  outlet_ = Outlet::kNone;
  sending_.unlock();
  if (receiver_.joinable()) receiver_.join();
  {
    std::lock_guard sending(sending_);
    outlet_ = Outlet::kNone;
    socket_ = attached_ = -1;
  }
  PyEval_RestoreThread(python);
  return whole;
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
    const Item& item = items[i];
    PyObject* bytes = PyBytes_FromStringAndSize(item.bytes->data(), static_cast<Py_ssize_t>(item.bytes->size()));
    PyObject* entry = bytes ? Py_BuildValue("iiN", item.route, static_cast<int>(item.kind), bytes) : nullptr;
    if (!entry) Py_CLEAR(list);
    else PyList_SET_ITEM(list, static_cast<Py_ssize_t>(i), entry);
  }
  return list;
}

// A submission is done, or was refused.
void Executor::put(int route, const std::optional<std::string>& refusal) {
  put(route, refusal ? Outgoing::kMalformed : Outgoing::kDone, std::make_shared<const std::string>(refusal.value_or("")));
}

void Executor::put(int route, Outgoing kind, Bytes bytes) {
  bytes_sent_.fetch_add(bytes->size(), std::memory_order_relaxed);
  std::lock_guard lock(mutex_);
  outbox_bytes_ += bytes->size();
  outbox_.push_back({route, kind, std::move(bytes)});
  if (outbox_.size() == 1) wake();  // else somebody was told already, and hasn't collected yet
}

void Executor::wake() {
  uint64_t one = 1;
  if (::write(event_, &one, sizeof one) < 0) return;  // full: it is readable then
}

}  // namespace skytorch
