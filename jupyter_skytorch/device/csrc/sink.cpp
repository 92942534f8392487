#include "sink.h"

#include <algorithm>
#include <chrono>


namespace skytorch {

using wire::Record;
using wire::Writer;
using Seconds = std::chrono::duration<double>;

namespace {

constexpr double kFirstPatience = 0.3e-3;  // s

}  // namespace

uint64_t this_thread() {
  static std::atomic<uint64_t> next{1};
  thread_local const uint64_t number = next.fetch_add(1, std::memory_order_relaxed);
  return number;
}

Sink::Entry::Entry(Sink& sink) : sink_(sink), lock_(sink.mutex_) {
  sink_.note_turn();
  start_ = sink_.buffer_.size();
}

uint64_t Sink::Entry::commit(bool urgent) {
  committed_ = true;
  uint64_t sequence = sink_.issued_.load(std::memory_order_relaxed) + 1;
  sink_.issued_.store(sequence, std::memory_order_relaxed);
  if (answer_) {
    std::lock_guard replies(sink_.reply_mutex_);
    sink_.awaited_[sequence] = answer_;
  }
  sink_.committed(urgent);
  bool wake = urgent || sink_.sender_idle_ || (sink_.linger_ && !sink_.frames_.empty());
  lock_.unlock();
  if (wake) sink_.work_.notify_one();
  return sequence;
}

void Sink::committed(bool urgent) {
  if (buffer_.size() >= kFrameBytes) cut_frame();
  if (urgent) {
    urgent_ = true;
    patience_ = kFirstPatience;
  }
}

void Sink::note_turn() {
  uint64_t thread = this_thread();
  Mark here = place();
  if (__builtin_expect(lens.on(), 0) && !(here == told_mark_)) {
    told_mark_ = here;
    buffer_.tag(Record::kMark);
    buffer_.zigzag(here.line);
    buffer_.zigzag(here.cell);
    issued_.fetch_add(1, std::memory_order_relaxed);
  }
  if (thread == last_thread_ && here == last_mark_) return;
  issued_by_line_.leave(last_mark_, ops_.load(std::memory_order_relaxed), cut_bytes_ + buffer_.size());
  last_thread_ = thread;
  last_mark_ = here;
  uint64_t told = told_.load(std::memory_order_relaxed);
  std::lock_guard lock(turns_mutex_);
  while (turns_.size() > 1 && turns_[1].first <= told) turns_.pop_front();
  turns_.push_back({issued_.load(std::memory_order_relaxed) + 1, thread, here});
}

Sink::Turn Sink::turn_of(uint64_t sequence) {
  std::lock_guard lock(turns_mutex_);
  auto after = std::upper_bound(turns_.begin(), turns_.end(), sequence, [](uint64_t one, const Turn& turn) { return one < turn.first; });
  return after == turns_.begin() ? Turn{} : *std::prev(after);
}

void Sink::Entry::define_op(uint32_t index, const std::string& name, uint64_t schema_hash) {
  auto& defined = sink_.defined_;
  if (index < defined.size() && defined[index]) return;
  if (defined.size() <= index) defined.resize(index + 64);
  defined[index] = true;
  begin(Record::kDefineOp);
  out().varint(index);
  out().text(name);
  out().fixed64(schema_hash);
  sink_.issued_.fetch_add(1, std::memory_order_relaxed);
}

void Sink::free_storage(uint64_t id) noexcept {
  if (stop_.load(std::memory_order_relaxed)) return;
  try {
    Entry entry(*this, Record::kFree);
    entry.out().varint(id);
    storages_.give_back(id);
    entry.commit();
  } catch (...) {  // a destructor's caller can do nothing about it, and the session's end frees everything
  }
}

void Sink::append(std::string_view record, bool urgent) {
  if (stopped()) return;
  Entry entry(*this);
  entry.out().raw(record.data(), record.size());
  entry.commit(urgent);
}

std::string Sink::ask(std::string_view record) {
  admit();
  Answer answer;
  uint64_t sequence;
  {
    Entry entry(*this);
    entry.out().raw(record.data(), record.size());
    entry.expect(answer);
    sequence = entry.commit(true);
  }
  wait(answer, sequence);
  return std::move(answer.data);
}

void Sink::free_generator(uint64_t id) noexcept {
  if (stop_.load(std::memory_order_relaxed)) return;
  try {
    Entry entry(*this, Record::kFreeGenerator);
    entry.out().varint(id);
    entry.commit();
  } catch (...) {
  }
}

void Sink::stop(const std::string& kind, const std::string& message) {
  {
    WithoutGil without;
    std::scoped_lock lock(mutex_, reply_mutex_);
    if (stop_.load()) return;
    stop_kind_ = kind;
    stop_message_ = message;
    frames_.clear();
    unexecuted_.clear();
    buffer_.clear();
    stop_.store(true);
  }
  drop_segment();
  work_.notify_all();
  room_.notify_all();
  replied_.notify_all();
}

void Sink::before_fork() {
  mutex_.lock();
  reply_mutex_.lock();
  turns_mutex_.lock();
}

void Sink::after_fork(bool in_child) {
  if (in_child && !stop_.load()) {
    stop_kind_ = "forked";
    stop_message_ = "sky tensors can't be used in a forked child process: make them on the CPU there, and move them in the parent";
    stop_.store(true);
  }
  turns_mutex_.unlock();
  reply_mutex_.unlock();
  mutex_.unlock();
}

void Sink::raise_stopped() {
  std::string kind, message;
  {
    std::lock_guard lock(reply_mutex_);
    kind = stop_kind_;
    message = stop_message_;
  }
  raise_session(kind, message);
}

std::pair<Lines<Issued>, Lines<Waited>> Sink::take_lines() {
  std::scoped_lock lock(mutex_, reply_mutex_);
  issued_by_line_.leave(last_mark_, ops_.load(std::memory_order_relaxed), cut_bytes_ + buffer_.size());
  return {issued_by_line_.take(), std::exchange(waited_by_line_, {})};
}

Sink::Counters Sink::counters() {
  std::scoped_lock lock(mutex_, reply_mutex_);
  return {ops_.load(), bytes_up_.load() + buffer_.size(), bytes_down_, sync_points_, waited_, busy_, issued_.load(), executed_};
}

}  // namespace skytorch
