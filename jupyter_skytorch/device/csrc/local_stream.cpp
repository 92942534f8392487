// The stream over a Unix socket, where the server is on this machine: the same messages as over gRPC, without its threads
// and without Python between the sink and the socket.
#include <skytorch_wire/socket.h>

#include "sink.h"

namespace skytorch {

namespace {

constexpr double kIdle = 1.0;  // s between looks at whether the session is over

}  // namespace

void Sink::send_to(int socket, uint64_t stream) {
  WithoutGil without;
  bool open = true;
  while (open && !stopped()) {
    auto message = next_message(kIdle, stream);
    if (message) open = wire::send_message(socket, {message->head, message->records()});
    else open = stream == newest_stream();
  }
}

std::string Sink::receive_from(int socket) {
  WithoutGil without;
  std::string message;
  while (wire::receive_message(socket, message)) {
    std::string_view ended = feed(message.data(), message.size());
    if (!ended.empty()) return std::string(ended);
  }
  return {};
}

}  // namespace skytorch
