// The stream over a Unix socket, for a client on this machine: a thread that receives, and replies that the executor
// sends itself, so that no Python stands between a record and its answer.
#include <skytorch_wire/socket.h>

#include "executor.h"

namespace skytorch {

namespace {

constexpr uint64_t kPendingBytes = 64u << 20;  // more waits with the client

}  // namespace

void Executor::attach(int socket) {
  if (receiver_.joinable()) receiver_.join();  // its socket has ended
  malformed_.reset();
  socket_.store(socket);
  receiver_ = std::thread([this, socket] { receive(socket); });
}

void Executor::receive(int socket) {
  bool open = true;
  while (open) {
    Submission submission{nullptr, 0, {}};
    try {
      open = wire::receive_message(socket, submission.text);
      if (!open) submission.text.clear();
    } catch (const wire::Malformed& error) {
      open = false;
      submission.text = error.what();
    }
    submission.end = !open;
    {
      std::unique_lock lock(mutex_);
      space_.wait(lock, [&] { return closing_ || pending_bytes_ < kPendingBytes; });
      if (closing_) return;
    }
    enqueue(std::move(submission));
  }
}

// A client that is gone is noticed by the receiver.
void Executor::send(std::initializer_list<std::string_view> parts) {
  uint64_t size = 0;
  for (std::string_view part : parts) size += part.size();
  bytes_sent_.fetch_add(size, std::memory_order_relaxed);
  // The client may read slower than we make.
  uint64_t began = now();
  wire::send_message(socket_.load(), parts);
  waited_ += now() - began;
}

void Executor::end_socket(const std::string& refusal) {
  socket_.store(-1);
  if (!malformed_ && !refusal.empty()) malformed_ = refusal;
  if (malformed_) put({0, Outgoing::kMalformed, *std::exchange(malformed_, {}), nullptr});
  else put({0, Outgoing::kDone, {}, nullptr});
}

}  // namespace skytorch
