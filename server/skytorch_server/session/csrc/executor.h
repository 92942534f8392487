// The session's executor: a queue of submitted messages, one thread that interprets them, and an outbox.
#pragma once

#include <Python.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "interpreter.h"

namespace skytorch {

// Nanoseconds on the clock that durations are measured by.
uint64_t now();

// What an entry of the outbox is.
enum class Outgoing : int { kMessage = 0, kDone = 1, kMalformed = 2 };

class Executor final : ReplyPort {
 public:
  explicit Executor(size_t chunk_bytes);
  ~Executor() override;

  // With the GIL held: keeps a reference to `message` until it is executed and collected.
  // Route 0 is the stream, whose messages are StreamRequests; other routes' messages are records.
  void submit(PyObject* message, int route);
  PyObject* collect();  // list of (route, kind, bytes)
  int descriptor() const { return event_; }
  void close();  // releases the GIL while the thread ends

  // The stream's messages come from a Unix socket from now on, and its replies go there. That is one submission for the
  // stream's route: done when the socket has ended and all that came by it is executed. The socket stays open till then.
  // `inflate` makes a request of a compressed one, in Python.
  void attach(int socket, PyObject* inflate);

  uint64_t pending_bytes();
  uint64_t outbox_bytes();
  void cancel(uint64_t first, uint64_t last) { interpreter_.cancel(first, last); }

  struct Stats {
    uint64_t operations, bytes_received, bytes_sent, storages, storage_bytes, busy_nanoseconds, executed;
  };
  Stats stats() const;

 private:
  struct Submission {
    PyObject* message;  // null: `text`, from the local socket
    int route;
    std::string text;
    bool end = false;  // of the local socket; `text` says why, unless the client ended it
    std::string_view bytes() const { return message ? std::string_view(PyBytes_AS_STRING(message), static_cast<size_t>(PyBytes_GET_SIZE(message))) : text; }
  };
  struct Item {
    int route;
    Outgoing kind;
    std::string text;
    PyObject* bytes;  // owned; instead of `text` where it isn't null
  };

  void enqueue(Submission submission);
  void receive(int socket);
  void send(std::initializer_list<std::string_view> parts);
  void end_socket(const std::string& refusal);
  void run();
  void execute(const Submission& submission);
  void execute_frame(wire::Reader message);
  void execute_records(wire::Reader records, uint64_t sequence);
  void acknowledge();
  void put(Item item);
  wire::Writer envelope() const;

  void small(const wire::Writer& replies) override;
  void bulk(const wire::Writer& head, const void* data, size_t size) override;

  Interpreter interpreter_;
  const int event_;
  std::thread thread_;

  std::mutex mutex_;
  std::condition_variable work_, room_, space_;
  std::deque<Submission> queue_;
  std::deque<Item> outbox_;
  std::vector<PyObject*> finished_;  // messages to be released by whoever holds the GIL next
  uint64_t pending_bytes_ = 0, outbox_bytes_ = 0;
  bool closing_ = false;

  std::atomic<int> socket_{-1};
  std::thread receiver_;
  PyObject* inflate_ = nullptr;  // while it runs

  // The thread's own.
  int route_ = 0;
  std::optional<std::string> malformed_;  // what came by the socket
  uint64_t acknowledged_ = 0;
  uint64_t frame_started_ = 0, waited_ = 0, acknowledged_at_ = 0;
  std::atomic<uint64_t> executed_{0}, busy_{0}, bytes_received_{0}, bytes_sent_{0};
};

}  // namespace skytorch
