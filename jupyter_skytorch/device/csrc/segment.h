// The client's end of the memory that a session shares with a server on the same machine.
#pragma once

#include <skytorch_wire/segment.h>

#include <memory>
#include <mutex>
#include <optional>

namespace skytorch {

// Freed when the last who copies lets go of it. Threads fill the lane that goes up, one at a time; the receiver empties
// the one that comes down.
class Segment {
 public:
  // What the server says of it.
  struct Offer {
    uint64_t number = 0, process = 0, descriptor = 0;
    wire::SegmentShape shape;
    std::string token;
  };
  // Takes the fields of Reply::kSegment; nothing when the server has none. Throws wire::Malformed.
  static std::optional<Offer> read(wire::Reader& in);
  // Null where this process can't get at it, or it isn't what the server says.
  static std::shared_ptr<Segment> map(const Offer& offer);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  const uint64_t number;
  std::mutex filling;  // held by who fills slots
  wire::Filler& up() { return up_; }
  wire::Drain& down() { return down_; }

 private:
  Segment(const Offer& offer, char* base);

  char* const base_;
  const size_t bytes_;
  wire::Filler up_;
  wire::Drain down_;
};

}  // namespace skytorch
