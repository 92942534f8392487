// Large data: through memory shared with a server on the same machine, else in frames of its own.
#include <algorithm>
#include <chrono>

#include <skytorch_wire/blake2b.h>

#include "frames.h"
#include "segment.h"
#include "sink.h"

namespace skytorch {

using wire::Record;
using wire::Writer;
using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

namespace {

// From here on data that was sent over a network before is offered, not sent; unless the network is quicker than hashing.
constexpr size_t kOffered = 1 << 20;
constexpr double kHashRate = 400e6;  // bytes/s
constexpr double kSharingSeconds = 0.2;  // that a read waits for the server to share memory, once in a session
// Where slots take longer to come free, the server is behind, and data queues up as frames.
constexpr std::chrono::milliseconds kRoomPatience{50};
// As often the receiver waits so long for a server that has begun to fill free slots, and does nothing else until it is done.
constexpr int kChunkPatience = 1200;

}  // namespace

void Sink::may_share() {
  near_.store(true);
  auto never = Sharing::kNever;
  sharing_.compare_exchange_strong(never, Sharing::kCan);
}

std::shared_ptr<Segment> Sink::segment() {
  if (sharing_.load(std::memory_order_relaxed) == Sharing::kNever) return nullptr;
  auto can = Sharing::kCan;
  if (sharing_.compare_exchange_strong(can, Sharing::kAsked)) {
    Entry(*this, Record::kShare).commit(true);
  }
  std::lock_guard lock(segment_mutex_);
  return segment_;
}

bool Sink::shares() {
  if (segment()) return true;
  if (sharing_.load(std::memory_order_relaxed) != Sharing::kAsked) return false;
  WithoutGil without;
  std::unique_lock lock(reply_mutex_);
  wait_until(lock, replied_, kSharingSeconds, [&] { return sharing_.load() != Sharing::kAsked || stop_.load(); });
  return sharing_.load() == Sharing::kHas;
}

void Sink::map_segment(const Segment::Offer& offer) {
  auto mapped = Segment::map(offer);
  Writer answer;
  answer.tag(Record::kMapped);
  answer.varint(offer.number);
  answer.varint(mapped ? 1 : 0);
  // First the server is told, in the log; what comes after that may use it.
  append(answer.bytes());
  std::lock_guard lock(segment_mutex_);
  if (stop_.load()) return;
  sharing_.store(mapped ? Sharing::kHas : Sharing::kNever);
  segment_ = std::move(mapped);
}

void Sink::drop_segment() {
  std::lock_guard lock(segment_mutex_);
  segment_.reset();
  sharing_.store(Sharing::kNever);
}

void Sink::take_shared(wire::Reader& in, uint64_t sequence, std::unique_lock<std::mutex>& lock) {
  uint64_t offset = in.varint(), total = in.varint();
  std::shared_ptr<Segment> segment;
  {
    std::lock_guard segments(segment_mutex_);
    segment = segment_;
  }
  if (!segment) throw wire::Malformed("data came through memory that isn't shared");
  wire::Drain& lane = segment->down();
  for (uint64_t left = lane.part(in); left;) {
    // Not with the lock: the server may take its time, and who waits may be interrupted.
    lock.unlock();
    const char* chunk = nullptr;
    for (int i = 0; i < kChunkPatience && !chunk && !stopped(); ++i) chunk = lane.next(kRoomPatience);
    lock.lock();
    if (!chunk) throw wire::Malformed("the server stopped in the middle of a chunk");
    uint64_t size = std::min(left, lane.slot_bytes());
    put(sequence, offset, total, {chunk, size});
    lane.emptied();
    bytes_down_ += size;
    offset += size;
    left -= size;
  }
}

void Sink::write_bulk(uint64_t storage, uint64_t offset, const char* data, size_t size) {
  bool worth_it = size >= kOffered && !near_.load() && upload_rate_.load() < kHashRate;
  if (worth_it && copy_sent(storage, offset, data, size)) return;
  auto began = Clock::now();
  write_all(storage, offset, data, size);
  if (near_.load()) return;
  // What exceeds the queue had to be waited for.
  if (size >= 2 * kQueueBytes)
    upload_rate_.store(static_cast<double>(size - kQueueBytes) / std::max(Seconds(Clock::now() - began).count(), 1e-6));
  if (size >= kOffered) sent_.remember(data, size, {storage, offset});
}

bool Sink::copy_sent(uint64_t storage, uint64_t offset, const char* data, size_t size) {
  auto place = sent_.find(data, size);
  if (!place) return false;
  wire::Digest digest;
  {
    WithoutGil without;
    wire::Blake2b hash;
    hash.add(data, size);
    digest = hash.digest();
  }
  Answer answer;
  uint64_t sequence;
  {
    Entry entry(*this, Record::kOffer);
    entry.out().varint(storage);
    entry.out().varint(offset);
    entry.out().varint(size);
    entry.out().varint(place->storage);
    entry.out().varint(place->offset);
    entry.out().raw(digest.data(), digest.size());
    entry.expect(answer);
    sequence = entry.commit(true);
  }
  wait(answer, sequence);
  wire::Reader in(answer.data.data(), answer.data.size());
  in.varint();  // one value
  if (static_cast<wire::Value>(in.byte()) != wire::Value::kTrue) {
    sent_.forget(*place);
    return false;
  }
  sent_.remember(data, size, {storage, offset});
  return true;
}

void Sink::write_all(uint64_t storage, uint64_t offset, const char* data, size_t size) {
  auto looked = Clock::now();
  while (size) {
    if (Clock::now() - looked > Seconds(kSignalCheck)) {
      check_signals();
      looked = Clock::now();
    }
    auto shared = segment();
    size_t written = shared ? write_shared(*shared, storage, offset, data, size) : 0;
    if (!written) written = write_frame(storage, offset, data, size);
    bytes_up_.fetch_add(written, std::memory_order_relaxed);
    data += written;
    offset += written;
    size -= written;
  }
}

size_t Sink::write_shared(Segment& segment, uint64_t storage, uint64_t offset, const char* data, size_t size) {
  WithoutGil without;
  std::lock_guard filling(segment.filling);
  wire::Filler& lane = segment.up();
  size_t part = std::min<size_t>(size, lane.part_bytes());
  if (!lane.room(part, {})) {
    hurry();
    if (!lane.room(part, kRoomPatience)) return 0;
  }
  if (stopped()) raise_stopped();
  {
    Entry entry(*this, Record::kWriteShared);
    entry.out().varint(segment.number);
    entry.out().varint(storage);
    entry.out().varint(offset);
    entry.out().varint(lane.place());
    entry.out().varint(part);
    cut_bytes_ += part;
    entry.commit(true);
  }
  // The server waits for this now: nothing may come in between.
  for (size_t done = 0; done < part;) {
    size_t chunk = std::min<size_t>(part - done, lane.slot_bytes());
    std::memcpy(lane.next(), data + done, chunk);
    lane.filled();
    done += chunk;
  }
  return part;
}

// Waits while so many bytes more would be too much under way.
void Sink::wait_for_room(size_t bytes) {
  {
    WithoutGil without;
    std::unique_lock lock(mutex_);
    auto room = [&] { return stop_.load() || (queued_bytes_ + bytes <= kQueueBytes && queued_bytes_ + unexecuted_bytes_ + bytes <= kKeptBytes); };
    while (!room_.wait_for(lock, Seconds(kSignalCheck), room)) {
      lock.unlock();
      check_signals();
      lock.lock();
    }
  }
  if (stop_.load()) raise_stopped();
}

void Sink::append_bulk(std::string_view record) {
  wait_for_room(record.size());
  Entry entry(*this);
  entry.out().raw(record.data(), record.size());
  entry.commit();
}

size_t Sink::write_frame(uint64_t storage, uint64_t offset, const char* data, size_t size) {
  size_t chunk = std::min(size, chunk_bytes_);
  wait_for_room(chunk);

  WithoutGil without;
  Writer record;
  record.reserve(chunk + 32);
  record.tag(Record::kWrite);
  record.varint(storage);
  record.varint(offset);
  record.varint(chunk);
  record.raw(data, chunk);
  {
    std::lock_guard lock(mutex_);
    note_turn();
    cut_frame();
    uint64_t sequence = issued_.load(std::memory_order_relaxed) + 1;
    issued_.store(sequence, std::memory_order_relaxed);
    cut_bytes_ += chunk;
    queue_frame(record.take(), sequence, sequence);
  }
  work_.notify_one();
  return chunk;
}

}  // namespace skytorch
