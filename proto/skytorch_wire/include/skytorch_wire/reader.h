// Takes the primitives of the record format from untrusted bytes: every read is bounded, every length checked before
// it is used. Throws Malformed, which says what was wrong; the reader is then of no further use.
#pragma once

#include <array>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

#include "format.h"

namespace skytorch::wire {

class Malformed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Sizes and strides of a view, in elements. Strides are filled in for contiguous layouts.
struct Layout {
  uint8_t dtype = 0;
  uint8_t dims = 0;
  bool contiguous = true;
  bool conjugate = false, negative = false;  // the values are the conjugates, the negatives, of what the memory holds
  int64_t offset = 0;
  std::array<int64_t, kMaxDims> sizes;
  std::array<int64_t, kMaxDims> strides;

  int64_t numel() const {  // can't overflow: checked when read
    int64_t n = 1;
    for (int i = 0; i < dims; ++i) n *= sizes[i];
    return n;
  }
  // Elements from the start of the storage to the end of the view; throws when that overflows.
  int64_t extent() const {
    int64_t last = offset;
    for (int i = 0; i < dims; ++i) {
      if (sizes[i] == 0) return 0;
      int64_t reach;
      if (__builtin_mul_overflow(sizes[i] - 1, strides[i], &reach) || __builtin_add_overflow(last, reach, &last))
        throw Malformed("a view's extent overflows");
    }
    if (__builtin_add_overflow(last, 1, &last)) throw Malformed("a view's extent overflows");
    return last;
  }
};

class Reader {
 public:
  Reader(const void* data, size_t size) : at_(static_cast<const uint8_t*>(data)), end_(at_ + size) {}

  bool done() const { return at_ == end_; }
  size_t left() const { return static_cast<size_t>(end_ - at_); }

  uint8_t byte() {
    if (at_ == end_) throw Malformed("the frame ends inside a record");
    return *at_++;
  }
  uint64_t varint() {
    uint64_t value = byte();
    if (value < 0x80) return value;
    value &= 0x7f;
    for (int shift = 7; shift < 64; shift += 7) {
      uint64_t next = byte();
      if (shift == 63 && next > 1) break;
      value |= (next & 0x7f) << shift;
      if (next < 0x80) return value;
    }
    throw Malformed("a number has more than 64 bits");
  }
  int64_t zigzag() {
    uint64_t value = varint();
    return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
  }
  uint64_t bounded(uint64_t limit, const char* what) {
    uint64_t value = varint();
    if (value > limit) throw Malformed(std::string(what) + " is " + std::to_string(value) + ", more than " + std::to_string(limit));
    return value;
  }
  // How many items follow; each takes at least `item_bytes`, so a count that can't fit is refused before anything is made.
  uint64_t count(size_t item_bytes = 1) {
    uint64_t n = bounded(kMaxListItems, "a list's length");
    if (n * item_bytes > left()) throw Malformed("a list is longer than its frame");
    return n;
  }
  int64_t nonnegative() { return static_cast<int64_t>(bounded(INT64_MAX, "a size")); }
  std::string_view raw(uint64_t size) {
    if (size > left()) throw Malformed("data is longer than its frame");
    std::string_view view(reinterpret_cast<const char*>(at_), size);
    at_ += size;
    return view;
  }
  std::string_view text(uint64_t limit) { return raw(bounded(limit, "a text's length")); }
  std::string_view data() { return raw(varint()); }
  double real() {
    double value;
    std::memcpy(&value, raw(sizeof value).data(), sizeof value);
    return value;
  }
  uint64_t fixed64() {
    uint64_t value;
    std::memcpy(&value, raw(sizeof value).data(), sizeof value);
    return value;
  }
  void layout(Layout& out) {
    uint8_t type = byte();
    out.dtype = type & kMaxDtype;
    out.conjugate = type & kLayoutConjugate;
    out.negative = type & kLayoutNegative;
    uint8_t flags = byte();
    out.dims = flags & kLayoutDims;
    out.contiguous = !(flags & kLayoutStrided);
    out.offset = flags & kLayoutOffset ? nonnegative() : 0;
    int64_t numel = 1;
    for (int i = 0; i < out.dims; ++i) {
      out.sizes[i] = nonnegative();
      if (__builtin_mul_overflow(numel, out.sizes[i], &numel)) throw Malformed("a view's size overflows");
    }
    if (!out.contiguous) {
      for (int i = 0; i < out.dims; ++i) out.strides[i] = nonnegative();
      return;
    }
    int64_t stride = 1;
    for (int i = out.dims - 1; i >= 0; --i) {
      out.strides[i] = stride;
      if (__builtin_mul_overflow(stride, out.sizes[i] > 1 ? out.sizes[i] : 1, &stride))
        throw Malformed("a view's strides overflow");
    }
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

// One field of a protobuf envelope whose fields are varints or bytes.
struct EnvelopeField {
  uint32_t number = 0;
  uint64_t value = 0;
  std::string_view bytes;
};

inline EnvelopeField read_envelope_field(Reader& in) {
  EnvelopeField field;
  uint64_t key = in.varint();
  field.number = static_cast<uint32_t>(key >> 3);
  switch (key & 7) {
    case 0: field.value = in.varint(); break;
    case 2: field.bytes = in.data(); break;
    default: throw Malformed("not a stream message");
  }
  return field;
}

}  // namespace skytorch::wire
