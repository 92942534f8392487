// Appends the primitives of the record format to a buffer.
#pragma once

#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "format.h"

namespace skytorch::wire {

class Writer {
 public:
  void byte(uint8_t value) { bytes_.push_back(static_cast<char>(value)); }
  template <typename Tag>
  void tag(Tag value) { byte(static_cast<uint8_t>(value)); }

  void varint(uint64_t value) {
    char scratch[10];
    size_t n = 0;
    while (value >= 0x80) {
      scratch[n++] = static_cast<char>(value | 0x80);
      value >>= 7;
    }
    scratch[n++] = static_cast<char>(value);
    bytes_.append(scratch, n);
  }
  void zigzag(int64_t value) { varint((static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63)); }
  void raw(const void* data, size_t size) { bytes_.append(static_cast<const char*>(data), size); }
  void real(double value) { raw(&value, sizeof value); }
  void fixed64(uint64_t value) { raw(&value, sizeof value); }
  void text(std::string_view value) {
    varint(value.size());
    raw(value.data(), value.size());
  }

  // dtype, dims and offset, sizes and, unless contiguous, strides. `Sizes` is any random-access range of int64_t.
  template <typename Sizes>
  void layout(uint8_t dtype, const Sizes& sizes, const Sizes& strides, bool contiguous, int64_t offset) {
    byte(dtype);
    byte(static_cast<uint8_t>(sizes.size()) | (contiguous ? 0 : kLayoutStrided) | (offset ? kLayoutOffset : 0));
    if (offset) varint(static_cast<uint64_t>(offset));
    for (int64_t size : sizes) varint(static_cast<uint64_t>(size));
    if (!contiguous)
      for (int64_t stride : strides) varint(static_cast<uint64_t>(stride));
  }

  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  void truncate(size_t size) { bytes_.resize(size); }
  void reserve(size_t size) { bytes_.reserve(size); }
  void clear() { bytes_.clear(); }
  const std::string& bytes() const { return bytes_; }
  std::string take() { return std::exchange(bytes_, {}); }

 private:
  std::string bytes_;
};

// The protobuf fields of an envelope: one-byte tags (field numbers below 16), varints and one trailing bytes field.
inline void envelope_varint(Writer& out, uint32_t field, uint64_t value) {
  if (value == 0) return;
  out.byte(static_cast<uint8_t>(field << 3));
  out.varint(value);
}
inline void envelope_bytes_header(Writer& out, uint32_t field, size_t size) {
  out.byte(static_cast<uint8_t>(field << 3 | 2));
  out.varint(size);
}

}  // namespace skytorch::wire
