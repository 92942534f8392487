// Messages over a Unix socket between two processes of one machine: four bytes that say how long a message is (little
// endian), and the message. Blocking, restarted after signals; false once the other end is gone.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "reader.h"

namespace skytorch::wire {

constexpr size_t kMaxSocketMessage = 64 << 20;

inline bool receive_all(int socket, void* data, size_t size) {
  auto* at = static_cast<char*>(data);
  while (size) {
    ssize_t got = ::recv(socket, at, size, MSG_WAITALL);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

// Throws Malformed when the message says that it is longer than any may be.
inline bool receive_message(int socket, std::string& message) {
  uint8_t head[4];
  if (!receive_all(socket, head, sizeof head)) return false;
  size_t size = head[0] | head[1] << 8 | head[2] << 16 | static_cast<size_t>(head[3]) << 24;
  if (size > kMaxSocketMessage) throw Malformed("a message of " + std::to_string(size) + " bytes, more than " + std::to_string(kMaxSocketMessage));
  message.resize(size);
  return receive_all(socket, message.data(), size);
}

// One message, made of parts.
inline bool send_message(int socket, std::initializer_list<std::string_view> parts) {
  iovec pieces[4];
  size_t size = 0, count = 1;
  for (std::string_view part : parts) {
    pieces[count++] = {const_cast<char*>(part.data()), part.size()};
    size += part.size();
  }
  uint8_t head[4] = {static_cast<uint8_t>(size), static_cast<uint8_t>(size >> 8), static_cast<uint8_t>(size >> 16), static_cast<uint8_t>(size >> 24)};
  pieces[0] = {head, sizeof head};
  iovec* next = pieces;
  while (true) {
    msghdr message{};
    message.msg_iov = next;
    message.msg_iovlen = count;
    ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    auto left = static_cast<size_t>(sent);
    while (count && left >= next->iov_len) {
      left -= next->iov_len;
      ++next;
      --count;
    }
    if (!count) return true;
    next->iov_base = static_cast<char*>(next->iov_base) + left;
    next->iov_len -= left;
  }
}

}  // namespace skytorch::wire
