#include "segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <cstring>
#include <system_error>

namespace skytorch {

namespace {

// Enough that both ends copy at once, and little enough to stay in a cache.
constexpr wire::SegmentShape kShape{512 << 10, 16};

void check(bool succeeded, int error = errno) {
  if (!succeeded) throw std::system_error(error, std::generic_category());
}

}  // namespace

Segment::Segment(uint64_t number) : number_(number) {
  try {
    descriptor_ = memfd_create("skytorch", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    check(descriptor_ >= 0);
    // Pages that can't be had are an error here, and would be a SIGBUS at their first use.
    int error = posix_fallocate(descriptor_, 0, static_cast<off_t>(kShape.bytes()));
    check(!error, error);
    check(!fcntl(descriptor_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
    void* base = mmap(nullptr, kShape.bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_, 0);
    check(base != MAP_FAILED);
    base_ = static_cast<char*>(base);
    auto& token = reinterpret_cast<wire::SegmentHeader*>(base_)->token;
    check(getrandom(token.data(), token.size(), 0) == static_cast<ssize_t>(token.size()));
  } catch (...) {
    give_back();
    throw;
  }
  up_.emplace(base_, kShape, true);
  down_.emplace(base_, kShape, false);
}

Segment::~Segment() { give_back(); }

void Segment::give_back() noexcept {
  if (base_) munmap(base_, kShape.bytes());
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Segment::describe(wire::Writer& out) const {
  const auto& token = reinterpret_cast<wire::SegmentHeader*>(base_)->token;
  out.varint(number_);
  out.varint(static_cast<uint64_t>(getpid()));
  out.varint(static_cast<uint64_t>(descriptor_));
  out.varint(kShape.slot_bytes);
  out.varint(kShape.slots);
  out.text({token.data(), token.size()});
}

void Segment::mapped() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

}  // namespace skytorch
