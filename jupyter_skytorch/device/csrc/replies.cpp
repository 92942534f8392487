// The other half of the sink: replies, and those who wait for them.
#include <c10/util/ArrayRef.h>

#include <algorithm>
#include <chrono>

#include "sink.h"

namespace skytorch {

using wire::Reader;
using wire::Reply;
using wire::Value;
using wire::Writer;
using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

namespace {

constexpr size_t kMaxPending = 64;
constexpr size_t kMaxFailed = 256;
constexpr uint64_t kBulk = 1 << 20;
constexpr double kRunAhead = 2e9;  // ns of remote work
constexpr double kMinRecords = 64, kMaxRecords = 100'000;
constexpr double kCostWindow = 10e6;  // ns of remote work over which a record's cost is averaged

// Field numbers of StreamResponse in service.proto.
enum ResponseField : uint32_t { kExecuted = 2, kBusy = 3, kReplies = 5, kNumber = 6, kEnded = 30 };

uint64_t nanoseconds(Clock::duration time) {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(time).count());
}

}  // namespace

std::string_view Sink::feed(const char* message, size_t size) {
  WithoutGil without;
  std::lock_guard feeding(feed_mutex_);
  Reader in(message, size);
  uint64_t executed = 0, busy = 0, number = 0;
  std::string_view replies, ended;
  while (!in.done()) {
    auto field = wire::read_envelope_field(in);
    if (field.number == kExecuted) executed = field.value;
    else if (field.number == kBusy) busy = field.value;
    else if (field.number == kReplies) replies = field.bytes;
    else if (field.number == kNumber) number = field.value;
    else if (field.number == kEnded) ended = field.bytes;
  }
  // A message may come again after the connection broke: what it says was heard before.
  bool heard = number && number <= replies_received();
  if (!heard && !replies.empty() && number != replies_received() + 1) throw wire::Malformed("a reply is missing");
  {
    std::unique_lock lock(reply_mutex_);
    bytes_down_ += size;
    Reader reader(replies.data(), replies.size());
    while (!heard && !reader.done()) deliver(reader, lock);
    if (executed > executed_) update_limit(executed, busy);
    told_.store(executed_, std::memory_order_relaxed);
  }
  if (!heard && number) replies_received_.store(number);
  forget_executed(executed);
  if (number) acknowledge_replies(size);
  if (offered_) map_segment(*std::exchange(offered_, {}));
  replied_.notify_all();
  return ended;
}

void Sink::update_limit(uint64_t executed, uint64_t busy) {
  double cost = static_cast<double>(busy - std::min(busy, busy_)) / static_cast<double>(executed - executed_);
  // Weighted by the time that it speaks for: what the server is at now decides, however many quick records came before.
  double weight = std::min(1.0, static_cast<double>(busy - std::min(busy, busy_)) / kCostWindow);
  // A large read takes long, and says nothing about the records that run ahead: somebody waits for it.
  if (!std::exchange(bulk_reply_, false)) record_cost_ += (cost - record_cost_) * weight;
  executed_ = executed;
  busy_ = std::max(busy, busy_);
  double ahead = std::clamp(kRunAhead / std::max(record_cost_, 1.0), kMinRecords, kMaxRecords);
  ahead_.store(executed + std::min(static_cast<uint64_t>(ahead), max_ahead_), std::memory_order_relaxed);
}

// A piece of what a record asked for. With the lock held.
void Sink::put(uint64_t sequence, uint64_t offset, uint64_t total, std::string_view data) {
  bulk_reply_ = bulk_reply_ || total >= kBulk;
  auto found = awaited_.find(sequence);
  if (found == awaited_.end()) return;  // nobody waits any more: an interrupt
  Answer& answer = *found->second;
  if (answer.target) {
    if (offset > answer.target_bytes || data.size() > answer.target_bytes - offset)
      throw wire::Malformed("the server sent more than was asked for");
    std::memcpy(static_cast<char*>(answer.target) + offset, data.data(), data.size());
  } else {
    answer.data.append(data);
  }
  answer.received += data.size();
  if (answer.received < total) return;
  answer.done = true;
  awaited_.erase(found);
}

void Sink::deliver(Reader& in, std::unique_lock<std::mutex>& lock) {
  auto kind = static_cast<Reply>(in.byte());
  uint64_t sequence = in.varint();
  auto found = awaited_.find(sequence);
  Answer* answer = found == awaited_.end() ? nullptr : found->second;
  auto finish = [&] {
    if (!answer) return;
    answer->done = true;
    awaited_.erase(found);
  };
  switch (kind) {
    case Reply::kData: {
      uint64_t offset = in.varint(), total = in.varint();
      return put(sequence, offset, total, in.data());
    }
    case Reply::kOutput: return take_output(in, sequence, lock);
    case Reply::kDataShared: return take_shared(in, sequence, lock);
    case Reply::kSegment:
      offered_ = Segment::read(in);
      if (!offered_) sharing_.store(Sharing::kNever);
      return;
    case Reply::kValues: {
      uint64_t count = in.count();
      Writer values;
      values.varint(count);
      for (uint64_t i = 0; i < count; ++i) {
        auto tag = static_cast<Value>(in.byte());
        values.tag(tag);
        wire::Layout layout;
        switch (tag) {
          case Value::kNone:
          case Value::kFalse:
          case Value::kTrue: break;
          case Value::kInt: values.zigzag(in.zigzag()); break;
          case Value::kDouble: values.real(in.real()); break;
          case Value::kComplex:
            values.real(in.real());
            values.real(in.real());
            break;
          case Value::kTensorView: {
            values.varint(in.varint());
            in.layout(layout);
            c10::ArrayRef<int64_t> sizes(layout.sizes.data(), layout.dims), strides(layout.strides.data(), layout.dims);
            values.layout(layout.dtype, sizes, strides, layout.contiguous, layout.offset);
            values.varint(in.varint());
            break;
          }
          default: throw wire::Malformed("an answer of an unknown kind");
        }
      }
      if (answer) answer->data = values.take();
      return finish();
    }
    case Reply::kDone: return finish();
    case Reply::kError: {
      RemoteError error;
      error.origin = in.varint();
      error.kind = static_cast<wire::ErrorKind>(in.byte());
      error.op = in.text(wire::kMaxNameBytes);
      error.line = in.zigzag();
      error.cell = in.zigzag();
      error.message = in.text(wire::kMaxTextBytes);
      Turn turn = turn_of(error.origin);
      error.thread = turn.thread;
      const Mark& at = failed_.try_emplace(error.origin, turn.mark).first->second;
      error.line = at.line;
      error.cell = at.cell;
      if (failed_.size() > kMaxFailed) failed_.erase(failed_.begin());
      if (answer) {
        answer->error = std::move(error);
        return finish();
      }
      if (error.kind != wire::ErrorKind::kCancelled && pending_.size() < kMaxPending) pending_.push_back(std::move(error));
      return;
    }
    default: throw wire::Malformed("a reply of an unknown kind");
  }
}

// Waits on `condition` for `ready`, at most `seconds`, with the GIL released, and looks for signals meanwhile.
template <typename Ready>
bool Sink::wait_until(std::unique_lock<std::mutex>& lock, std::condition_variable& condition, double seconds, Ready ready) {
  auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(Seconds(std::min(seconds, 1e8)));
  while (!ready()) {
    auto until = std::min(deadline, Clock::now() + std::chrono::duration_cast<Clock::duration>(Seconds(kSignalCheck)));
    if (condition.wait_until(lock, until) == std::cv_status::timeout) {
      lock.unlock();
      check_signals();
      lock.lock();
      if (Clock::now() >= deadline) return ready();
    }
  }
  return true;
}

void Sink::wait(Answer& answer, uint64_t sequence) {
  auto began = Clock::now();
  std::optional<RemoteError> error;
  {
    WithoutGil without;
    std::unique_lock lock(reply_mutex_);
    try {
      wait_until(lock, replied_, 1e8, [&] { return answer.done || stop_.load(); });
    } catch (...) {
      // The answer's place goes away with this frame: what arrives later is dropped.
      if (!lock.owns_lock()) lock.lock();
      awaited_.erase(sequence);
      throw;
    }
    awaited_.erase(sequence);
    uint64_t took = nanoseconds(Clock::now() - began);
    ++sync_points_;
    waited_ += took;
    Waited& line = waited_by_line_[place()];
    ++line.sync_points;
    line.nanoseconds += took;
    line.bytes += std::max<uint64_t>(answer.received, answer.data.size());
    if (answer.asked) {
      ++line.asks;
      line.asked = answer.asked;
    }
    error = take_pending(this_thread());
    if (!error) error = std::move(answer.error);
  }
  if (lens.on()) lens.waited(nanoseconds(began.time_since_epoch()));
  if (error) raise_remote(*error, name_);
  if (!answer.done) raise_stopped();
}

void Sink::forget(uint64_t sequence) {
  std::lock_guard lock(reply_mutex_);
  awaited_.erase(sequence);
}

void Sink::raise_pending() {
  std::optional<RemoteError> error;
  {
    WithoutGil without;
    std::lock_guard lock(reply_mutex_);
    error = take_pending({});
  }
  if (error) raise_remote(*error, name_);
}

// The oldest error that nobody has been told of: of a thread's records, or of any.
std::optional<RemoteError> Sink::take_pending(std::optional<uint64_t> thread) {
  auto found = std::find_if(pending_.begin(), pending_.end(), [&](const RemoteError& error) { return !thread || error.thread == *thread; });
  if (found == pending_.end()) return {};
  RemoteError error = std::move(*found);
  pending_.erase(found);
  return error;
}

bool Sink::drain(double seconds) {
  WithoutGil without;
  uint64_t last;
  {
    std::lock_guard lock(mutex_);
    last = issued_.load();
    urgent_ = true;
  }
  work_.notify_one();
  std::unique_lock lock(reply_mutex_);
  wait_until(lock, replied_, seconds, [&] { return executed_ >= last || stop_.load(); });
  return executed_ >= last;
}

// Has what is in the log sent now.
void Sink::hurry() {
  {
    std::lock_guard lock(mutex_);
    urgent_ = true;
  }
  work_.notify_one();
}

void Sink::admit_slowly() {
  if (stop_.load()) raise_stopped();
  hurry();
  auto began = Clock::now();
  {
    WithoutGil without;
    std::unique_lock lock(reply_mutex_);
    wait_until(lock, replied_, 1e8, [&] { return issued_.load() <= limit_.load() || stop_.load(); });
    waited_by_line_[place()].held += nanoseconds(Clock::now() - began);
  }
  if (lens.on()) lens.waited(nanoseconds(began.time_since_epoch()));
  if (stop_.load()) raise_stopped();
}

}  // namespace skytorch
