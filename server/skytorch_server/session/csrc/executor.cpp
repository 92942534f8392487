#include "executor.h"

#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>
#include <skytorch_wire/structure.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>

#include "crash.h"
#include "host_memory.h"

namespace skytorch {

using wire::Malformed;
using wire::Reader;
using wire::Writer;

namespace {

constexpr std::chrono::seconds kIdle{2};  // then memory that is kept for the next tensor is given back
constexpr uint64_t kAcknowledgeEvery = 20'000'000;  // ns; a reply acknowledges too
// A slow record, and a session's first ones, tell the client sooner what its records cost.
constexpr uint64_t kSlowRecord = 1'000'000, kAcknowledgeSlow = 5'000'000, kAcknowledgeFirst = 200'000;

// Field numbers of StreamRequest and StreamResponse in service.proto.
enum RequestField : uint32_t { kRequestAttach = 1, kFirstSequence = 2, kRepliesReceived = 3, kRequestEpoch = 4, kRecords = 5, kRequestCompressed = 15 };

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

// What a frame says to this end, which doesn't wait for its turn; with the lock. One that can't be read is refused then.
void Executor::look_at(std::string_view request) {
  uint64_t first = 0, replies_received = 0;
  try {
    Reader in(request.data(), request.size());
    while (!in.done()) {
      auto field = wire::read_envelope_field(in);
      if (field.number == kFirstSequence) first = field.value;
      else if (field.number == kRepliesReceived) replies_received = field.value;
    }
  } catch (const Malformed&) {
    return;
  }
  if (first) received_ = first;
  forget_replies(replies_received);
}

void Executor::enqueue(Submission submission) {
  std::lock_guard lock(mutex_);
  if (!thread_.joinable() && !closing_) thread_ = std::thread([this] { run(); });
  pending_bytes_ += submission.bytes().size();
  if (submission.route == 0 && !submission.end && !submission.begin && !submission.visit) look_at(submission.bytes());
  queue_.push_back(std::move(submission));
  work_.notify_one();
}

void Executor::close() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    work_.notify_all();
    room_.notify_all();
    space_.notify_all();
  }
  detach();
  Py_BEGIN_ALLOW_THREADS
  if (thread_.joinable()) thread_.join();
  Py_END_ALLOW_THREADS
  Py_CLEAR(inflate_);
  for (const auto& submission : queue_) Py_XDECREF(submission.message);
  queue_.clear();
}

void Executor::limit(Limits limits) {
  std::lock_guard lock(mutex_);
  limits_ = limits;
}

// Only while something waits behind what is being executed, whose end is then yet to come and wakes whoever waits.
bool Executor::is_full() const {
  if (queue_.empty()) return false;
  uint64_t executed = executed_.load(std::memory_order_relaxed);
  return pending_bytes_ > limits_.bytes || (received_ > executed && received_ - executed > limits_.records);
}

bool Executor::full() {
  std::lock_guard lock(mutex_);
  return is_full();
}

void Executor::note_crashes(const char* path) { skytorch::note_crashes(path, interpreter_.running()); }

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
  take_signals_aside();
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
    if (submission.end) {
      end_socket(submission);
    } else if (submission.begin) {
      begin_log();
    } else if (submission.visit) {
      call(submission.message);
    } else if (submission.message || submission.connection != refused_) {
      auto refusal = execute(submission);
      if (submission.message) put(submission.route, refusal);
      else if (refusal) refuse(submission.connection, *refusal);
    }
    lock.lock();
    pending_bytes_ -= submission.bytes().size();
    if (submission.message) finished_.push_back(submission.message);
    space_.notify_one();
  }
}

void Executor::begin() {
  {
    std::lock_guard lock(mutex_);
    abandoned_ = true;
    room_.notify_one();
  }
  Submission submission{nullptr, 0, {}};
  submission.begin = true;
  enqueue(std::move(submission));
}

void Executor::begin_log() {
  interpreter_.begin();
  executed_.store(0, std::memory_order_relaxed);
  acknowledged_ = acknowledged_at_ = replied_ = 0;
  {
    std::lock_guard lock(mutex_);
    received_ = kept_bytes_ = 0;
    kept_.clear();
    abandoned_ = false;
  }
  put(0, std::nullopt);
}

std::optional<std::string> Executor::execute(const Submission& submission) {
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
    return {};
  } catch (const Malformed& error) {
    return error.what();
  } catch (...) {
    // Not an op's own failure (those are replies), so what the session holds can no longer be vouched for.
    return "the server could not go on: " + current_failure().message;
  }
}

void Executor::execute_frame(Reader message) {
  uint64_t first = 0;
  bool acknowledges = false;
  std::string_view records;
  while (!message.done()) {
    auto field = wire::read_envelope_field(message);
    if (field.number == kFirstSequence) first = field.value;
    else if (field.number == kRecords) records = field.bytes;
    else if (field.number == kRepliesReceived) acknowledges = true;
    else if (field.number == kRequestCompressed) throw Malformed("a compressed request carries nothing else");
    else if (field.number == kRequestAttach) throw Malformed("a stream is attached once, by its first message");
  }
  if (acknowledges && !first && records.empty()) return;
  uint64_t expected = executed_.load(std::memory_order_relaxed) + 1;
  if (first != expected) throw Malformed("record " + std::to_string(first) + " came where " + std::to_string(expected) + " was due");
  execute_records(Reader(records.data(), records.size()), first);
}

void Executor::execute_records(Reader records, uint64_t sequence) {
  wire::Structure::check(records);
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

}  // namespace skytorch
