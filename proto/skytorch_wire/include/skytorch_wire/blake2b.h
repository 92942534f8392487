// BLAKE2b with 32 bytes of output (RFC 7693), as hashlib.blake2b(digest_size=32): both ends of a session compare large data
// by it. Strong, because a wrong match would be a wrong value.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

namespace skytorch::wire {

using Digest = std::array<char, 32>;

class Blake2b {
 public:
  Blake2b() : state_(kInitial) { state_[0] ^= 0x01010000 ^ sizeof(Digest); }

  void add(const void* data, size_t size) {
    const auto* at = static_cast<const uint8_t*>(data);
    while (size) {
      if (filled_ == kBlock) {  // the last block is left for `digest`
        count_ += kBlock;
        mix(block_.data(), false);
        filled_ = 0;
      }
      if (!filled_ && size > kBlock) {
        count_ += kBlock;
        mix(at, false);
        at += kBlock;
        size -= kBlock;
        continue;
      }
      size_t part = size < kBlock - filled_ ? size : kBlock - filled_;
      std::memcpy(block_.data() + filled_, at, part);
      filled_ += part;
      at += part;
      size -= part;
    }
  }
  Digest digest() {
    count_ += filled_;
    std::memset(block_.data() + filled_, 0, kBlock - filled_);
    mix(block_.data(), true);
    Digest out;
    std::memcpy(out.data(), state_.data(), out.size());  // little endian, as every platform of ours
    return out;
  }

 private:
  static constexpr size_t kBlock = 128;
  static constexpr std::array<uint64_t, 8> kInitial{0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                                                    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
  static constexpr uint8_t kOrder[12][16] = {
      {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
      {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
      {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
      {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
      {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
      {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3}};

  static uint64_t turned(uint64_t value, int by) { return value >> by | value << (64 - by); }

  void mix(const uint8_t* data, bool last) {
    uint64_t m[16], v[16];
    std::memcpy(m, data, kBlock);
    for (int i = 0; i < 8; ++i) {
      v[i] = state_[i];
      v[i + 8] = kInitial[i];
    }
    v[12] ^= count_;
    if (last) v[14] = ~v[14];
    auto quarter = [&](int a, int b, int c, int d, uint64_t x, uint64_t y) __attribute__((always_inline)) {
      v[a] += v[b] + x;
      v[d] = turned(v[d] ^ v[a], 32);
      v[c] += v[d];
      v[b] = turned(v[b] ^ v[c], 24);
      v[a] += v[b] + y;
      v[d] = turned(v[d] ^ v[a], 16);
      v[c] += v[d];
      v[b] = turned(v[b] ^ v[c], 63);
    };
#pragma GCC unroll 12
    for (int round = 0; round < 12; ++round) {
      const uint8_t* s = kOrder[round];
      quarter(0, 4, 8, 12, m[s[0]], m[s[1]]);
      quarter(1, 5, 9, 13, m[s[2]], m[s[3]]);
      quarter(2, 6, 10, 14, m[s[4]], m[s[5]]);
      quarter(3, 7, 11, 15, m[s[6]], m[s[7]]);
      quarter(0, 5, 10, 15, m[s[8]], m[s[9]]);
      quarter(1, 6, 11, 12, m[s[10]], m[s[11]]);
      quarter(2, 7, 8, 13, m[s[12]], m[s[13]]);
      quarter(3, 4, 9, 14, m[s[14]], m[s[15]]);
    }
    for (int i = 0; i < 8; ++i) state_[i] ^= v[i] ^ v[i + 8];
  }

  std::array<uint64_t, 8> state_;
  std::array<uint8_t, kBlock> block_;
  size_t filled_ = 0;
  uint64_t count_ = 0;  // bytes; 2^64 of them are out of reach
};

}  // namespace skytorch::wire
