// The log on its way: records become frames, which are sent, and kept until the server has executed them. So another
// stream, after the connection broke, begins with what the server doesn't have.
#include "frames.h"

#include <algorithm>
#include <chrono>

#include "sink.h"

namespace skytorch {

using wire::Writer;
using Seconds = std::chrono::duration<double>;

namespace {

constexpr double kMaxPatience = 10e-3;  // s
// Replies are acknowledged by what is sent anyway; or by themselves, after so much of them.
constexpr uint64_t kRepliesEvery = 64;
constexpr size_t kReplyBytesEvery = 1 << 20;

}  // namespace

void Sink::cut_frame() {
  if (buffer_.empty()) return;
  uint64_t first = buffer_first_, last = issued_.load(std::memory_order_relaxed);
  cut_bytes_ += buffer_.size();
  bytes_up_.fetch_add(buffer_.size(), std::memory_order_relaxed);
  queue_frame(buffer_.take(), first, last);
  buffer_.reserve(kFrameBytes + 4096);
}

// With the log's lock, as what follows.
void Sink::queue_frame(std::string records, uint64_t first, uint64_t last) {
  auto frame = std::make_shared<Frame>();
  frame->records = std::move(records);
  frame->first = first;
  frame->last = last;
  buffer_first_ = last + 1;
  queued_bytes_ += frame->records.size();
  frames_.push_back(std::move(frame));
  bound_run_ahead();
}

void Sink::bound_run_ahead() {
  bool full = queued_bytes_ + unexecuted_bytes_ > kKeptBytes;
  limit_.store(full ? 0 : ahead_.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

void Sink::forget_executed(uint64_t executed) {
  std::vector<std::shared_ptr<const Frame>> done;  // released without the lock
  {
    std::lock_guard lock(mutex_);
    while (!unexecuted_.empty() && unexecuted_.front()->last <= executed) {
      unexecuted_bytes_ -= unexecuted_.front()->records.size();
      done.push_back(std::move(unexecuted_.front()));
      unexecuted_.pop_front();
    }
    bound_run_ahead();
  }
  if (!done.empty()) room_.notify_all();
}

// So many bytes of replies were taken in.
void Sink::acknowledge_replies(size_t bytes) {
  unacknowledged_ += bytes;
  if (unacknowledged_ < kReplyBytesEvery && replies_received() - replies_told_.load() < kRepliesEvery) return;
  unacknowledged_ = 0;
  {
    std::lock_guard lock(mutex_);
    replies_due_ = true;
  }
  work_.notify_one();
}

uint64_t Sink::attached(uint64_t executed, uint64_t received, size_t chunk_bytes) {
  WithoutGil without;
  forget_executed(executed);
  std::lock_guard lock(mutex_);
  if (std::max(executed, received) > issued_.load()) throw wire::Malformed("the server has records that were never sent");
  while (!unexecuted_.empty() && unexecuted_.back()->first > received) {
    size_t size = unexecuted_.back()->records.size();
    unexecuted_bytes_ -= size;
    queued_bytes_ += size;
    frames_.push_front(std::move(unexecuted_.back()));
    unexecuted_.pop_back();
  }
  chunk_bytes_ = chunk_bytes;
  work_.notify_all();
  return ++stream_;
}

void Sink::detached(uint64_t stream) {
  std::lock_guard lock(mutex_);
  if (stream != stream_) return;
  ++stream_;
  work_.notify_all();
}

std::optional<Sink::Message> Sink::next_message(double seconds, uint64_t stream) {
  std::unique_lock lock(mutex_);
  auto due = [&] { return stop_.load() || stream != stream_ || urgent_ || replies_due_ || !frames_.empty(); };
  // Let a frame gather: each one costs both ends about 0.1 ms. The longer nobody waits, the longer it may take.
  // Ordinary records don't wake this thread until it has found nothing for a while.
  linger_ = true;
  work_.wait_for(lock, Seconds(patience_), due);
  if (!due() && buffer_.empty()) {
    sender_idle_ = true;
    work_.wait_for(lock, Seconds(seconds), [&] { return due() || !buffer_.empty(); });
    sender_idle_ = false;
    if (!due() && !buffer_.empty()) work_.wait_for(lock, Seconds(patience_), due);
  }
  linger_ = false;
  if (stop_.load() || stream != stream_) return {};
  if (!urgent_) patience_ = std::min(patience_ * 4, kMaxPatience);
  if (frames_.empty()) cut_frame();
  if (frames_.empty() && !replies_due_) {
    urgent_ = false;
    return {};
  }
  Message message;
  Writer head;
  if (!frames_.empty()) {
    message.frame = frames_.front();
    frames_.pop_front();
    size_t size = message.frame->records.size();
    queued_bytes_ -= size;
    unexecuted_bytes_ += size;
    unexecuted_.push_back(message.frame);
    wire::envelope_varint(head, kFirstSequence, message.frame->first);
  }
  uint64_t replies = replies_received();
  wire::envelope_varint(head, kRepliesReceived, replies);
  replies_told_.store(replies);
  replies_due_ = false;
  if (message.frame) wire::envelope_bytes_header(head, kRecords, message.frame->records.size());
  message.head = head.take();
  if (frames_.empty() && buffer_.empty()) urgent_ = false;
  room_.notify_all();
  return message;
}

PyObject* Sink::take(double seconds, uint64_t stream) {
  std::optional<Message> message;
  {
    WithoutGil without;
    message = next_message(seconds, stream);
  }
  if (!message) return nullptr;
  const std::string& head = message->head;
  std::string_view records = message->records();
  PyObject* bytes = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(head.size() + records.size()));
  if (!bytes) return nullptr;
  std::memcpy(PyBytes_AS_STRING(bytes), head.data(), head.size());
  std::memcpy(PyBytes_AS_STRING(bytes) + head.size(), records.data(), records.size());
  return bytes;
}

}  // namespace skytorch
