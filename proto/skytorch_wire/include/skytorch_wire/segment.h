// Memory that a session shares with a client on the same machine: large data passes through it.
//
// A segment is a header and two lanes, one for each direction; a lane is a ring of slots. Data goes in parts of some slots:
// whoever fills the lane makes sure that all slots of the part are free, tells of the part by a record or reply, which says
// at which place of the ring it begins, and then fills slot after slot, so that both ends copy at once. Each end keeps its own
// place in the ring and counts in the header what it has filled or emptied; nothing else is read from the memory, and what
// is read there decides only how long to wait. Waiting is by futex, and always bounded.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "reader.h"

namespace skytorch::wire {

constexpr uint32_t kMaxSlots = 1024;
constexpr uint64_t kMaxSlotBytes = uint64_t{16} << 20;
constexpr size_t kSegmentHeaderBytes = 4096;
constexpr size_t kSegmentTokenBytes = 16;

// A number in shared memory that one end raises and the other waits for.
struct alignas(64) Counter {
  std::atomic<uint32_t> value;
  std::atomic<uint32_t> awaited;  // somebody sleeps until it changes, or is about to

  void raise(uint32_t to) {
    value.store(to);
    if (!awaited.exchange(0)) return;
#ifdef __linux__
    syscall(SYS_futex, &value, FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
#endif
  }
  // Waits until `enough(value)`, at most so long; whether it came true.
  template <typename Enough>
  bool wait(std::chrono::milliseconds patience, Enough enough) {
    if (enough(value.load())) return true;
    auto deadline = std::chrono::steady_clock::now() + patience;
    while (true) {
      awaited.store(1);
      uint32_t seen = value.load();
      if (enough(seen)) return true;
      auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline - std::chrono::steady_clock::now());
      if (left <= left.zero()) return false;
#ifdef __linux__
      // Not longer than this at a time: whoever raises the number need not have heard of futexes.
      timespec time{0, static_cast<long>(std::min<int64_t>(left.count(), 10'000'000))};
      syscall(SYS_futex, &value, FUTEX_WAIT, seen, &time, nullptr, 0);
#else
      std::this_thread::sleep_for(std::min(left, std::chrono::nanoseconds(100'000)));
#endif
    }
  }
};
static_assert(std::atomic<uint32_t>::is_always_lock_free);

struct SegmentHeader {
  std::array<char, kSegmentTokenBytes> token;  // random: shows that it is the segment that was meant
  struct Lane {
    Counter filled, emptied;  // slots, since the beginning, modulo 2^32
  } up, down;
};
static_assert(sizeof(SegmentHeader) <= kSegmentHeaderBytes);

// How the memory is divided: the header, and the slots of both lanes.
struct SegmentShape {
  uint64_t slot_bytes = 0;
  uint32_t slots = 0;  // of each lane
  size_t bytes() const { return kSegmentHeaderBytes + 2 * static_cast<size_t>(slot_bytes) * slots; }
};

// One end of a lane.
class LaneEnd {
 public:
  uint64_t slot_bytes() const { return shape_.slot_bytes; }
  // Which slot comes next, counted since the beginning, modulo 2^32.
  uint32_t place() const { return place_; }
  // The most that a part may hold: half of the ring, so that one part is filled while another is emptied.
  uint64_t part_bytes() const { return shape_.slot_bytes * std::max(shape_.slots / 2, 1u); }
  uint32_t slots_for(uint64_t bytes) const { return static_cast<uint32_t>((bytes + shape_.slot_bytes - 1) / shape_.slot_bytes); }

 protected:
  LaneEnd(char* base, const SegmentShape& shape, bool up)
      : shape_(shape),
        lane_(up ? reinterpret_cast<SegmentHeader*>(base)->up : reinterpret_cast<SegmentHeader*>(base)->down),
        slots_(base + kSegmentHeaderBytes + (up ? 0 : shape.slot_bytes * shape.slots)) {}
  char* slot() const { return slots_ + place_ % shape_.slots * shape_.slot_bytes; }

  const SegmentShape shape_;
  SegmentHeader::Lane& lane_;
  char* const slots_;
  uint32_t place_ = 0;
};

// The end that fills slots: one thread at a time.
class Filler : public LaneEnd {
 public:
  Filler(char* base, const SegmentShape& shape, bool up) : LaneEnd(base, shape, up) {}
  // Waits, at most so long, until the next slots are free for a part of so many bytes.
  bool room(uint64_t bytes, std::chrono::milliseconds patience) {
    uint32_t wanted = slots_for(bytes);
    return lane_.emptied.wait(patience, [&](uint32_t emptied) {
      uint32_t used = place_ - emptied;
      return used <= shape_.slots && wanted <= shape_.slots - used;
    });
  }
  // Where the next chunk goes.
  char* next() const { return slot(); }
  void filled() { lane_.filled.raise(++place_); }
};

// The end that empties them: one thread at a time.
class Drain : public LaneEnd {
 public:
  Drain(char* base, const SegmentShape& shape, bool up) : LaneEnd(base, shape, up) {}
  // Reads where a part begins and how large it is. Throws Malformed for one that isn't next, or that no lane can hold.
  uint64_t part(Reader& in) {
    uint64_t place = in.varint(), bytes = in.varint();
    if (place != place_) throw Malformed("a chunk is out of order: it is at place " + std::to_string(place) + " of its lane, and " + std::to_string(place_) + " is next");
    if (bytes > part_bytes()) throw Malformed("a chunk is larger than its lane takes");
    return bytes;
  }
  // The next chunk, when it is filled; null when that takes longer than `patience`.
  const char* next(std::chrono::milliseconds patience) {
    bool there = lane_.filled.wait(patience, [&](uint32_t filled) { return static_cast<int32_t>(filled - place_) > 0; });
    return there ? slot() : nullptr;
  }
  void emptied() { lane_.emptied.raise(++place_); }
};

}  // namespace skytorch::wire
