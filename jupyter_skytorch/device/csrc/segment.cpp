#include "segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstring>

namespace skytorch {

std::optional<Segment::Offer> Segment::read(wire::Reader& in) {
  Offer offer;
  offer.number = in.varint();
  if (!offer.number) return {};
  offer.process = in.bounded(INT32_MAX, "a process");
  offer.descriptor = in.bounded(INT32_MAX, "a descriptor");
  offer.shape.slot_bytes = in.bounded(wire::kMaxSlotBytes, "a slot's size");
  offer.shape.slots = static_cast<uint32_t>(in.bounded(wire::kMaxSlots, "a number of slots"));
  if (!offer.shape.slot_bytes || !offer.shape.slots) throw wire::Malformed("a segment without slots");
  offer.token = in.text(wire::kSegmentTokenBytes);
  return offer;
}

std::shared_ptr<Segment> Segment::map([[maybe_unused]] const Offer& offer) {
#ifdef __linux__
  size_t bytes = offer.shape.bytes();
  std::string path = "/proc/" + std::to_string(offer.process) + "/fd/" + std::to_string(offer.descriptor);
  int descriptor = open(path.c_str(), O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (descriptor < 0) return nullptr;  // another user's, or in another container
  // Only memory has seals, and only with this one can nobody take its pages away while they are used here.
  int seals = fcntl(descriptor, F_GET_SEALS);
  struct stat status;
  bool fits = seals >= 0 && (seals & F_SEAL_SHRINK) && !fstat(descriptor, &status) && static_cast<size_t>(status.st_size) == bytes;
  void* base = fits ? mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0) : MAP_FAILED;
  close(descriptor);
  if (base == MAP_FAILED) return nullptr;
  madvise(base, bytes, MADV_DONTFORK);
  const auto& token = static_cast<wire::SegmentHeader*>(base)->token;
  if (offer.token.size() != token.size() || std::memcmp(offer.token.data(), token.data(), token.size()) != 0) {
    munmap(base, bytes);
    return nullptr;
  }
  return std::shared_ptr<Segment>(new Segment(offer, static_cast<char*>(base)));
#else
  return nullptr;  // servers run on Linux only
#endif
}

Segment::Segment(const Offer& offer, char* base)
    : number(offer.number),
      base_(base),
      bytes_(offer.shape.bytes()),
      up_(base, offer.shape, true),
      down_(base, offer.shape, false) {}

Segment::~Segment() { munmap(base_, bytes_); }

}  // namespace skytorch
