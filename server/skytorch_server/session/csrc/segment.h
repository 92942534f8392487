// The server's end of the memory that a session shares with a client on the same machine.
#pragma once

#include <skytorch_wire/segment.h>
#include <skytorch_wire/writer.h>

#include <optional>

namespace skytorch {

// Has no name that could outlive it: the client finds it under this process in /proc, and the kernel frees it with its last
// mapping, however either process ends. Its size is sealed, so that neither end can take pages away under the other.
class Segment {
 public:
  // Throws std::system_error when there is no such memory.
  explicit Segment(uint64_t number);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  uint64_t number() const { return number_; }
  // Where the client finds it, and how it is laid out: the fields of Reply::kSegment.
  void describe(wire::Writer& out) const;
  // The client has it: from now on nobody else can.
  void mapped();
  bool is_mapped() const { return descriptor_ < 0; }

  wire::Drain& up() { return *up_; }
  wire::Filler& down() { return *down_; }

 private:
  void give_back() noexcept;

  const uint64_t number_;
  int descriptor_ = -1;
  char* base_ = nullptr;
  std::optional<wire::Drain> up_;
  std::optional<wire::Filler> down_;
};

}  // namespace skytorch
