// The session's executor: a queue of submitted messages, one thread that interprets them, and an outbox.
#pragma once

#include <Python.h>

#include <condition_variable>
#include <deque>
#include <memory>
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

  // The stream has a new connection, whose client has the replies up to the one of this number: those that it lacks go
  // there, by the outbox or, once it is attached, by its socket. Answers with the first record of the last frame that
  // arrived whole.
  uint64_t resume(uint64_t replies_received, bool by_socket);
  // The stream's messages come from a Unix socket from now on, and its replies go there. That is one submission for the
  // stream's route: done when the socket has ended and all that came by it is executed. The socket stays open till it is
  // detached. `inflate` makes a request of a compressed one, in Python.
  void attach(int socket, PyObject* inflate);
  // The stream has no connection any more. Answers with whether all that went to its socket are whole messages.
  bool detach();

  Functions& functions() { return interpreter_.functions(); }
  Copies& copies() { return interpreter_.copies(); }
  // What may be taken in and not executed, beside one message: more waits with the client.
  struct Limits {
    uint64_t records, bytes;
  };
  void limit(Limits limits);
  bool full();
  // Where to write what ran when the process crashes.
  void note_crashes(const char* path);
  // Begins the log anew, when what was submitted is executed: of what the session holds, only named objects stay. The
  // stream has no connection meanwhile. One submission for its route.
  void begin();

  // With the GIL held: has `visitor` called on the executor's thread, when what was submitted is executed, with the named
  // objects: [(name, pickle, [tensor, or None where there are no values])]. It returns such a list of those that are to
  // have names too. Whoever waits for it is told by the visitor itself.
  void visit(PyObject* visitor);

  uint64_t pending_bytes();
  uint64_t outbox_bytes();
  void cancel(uint64_t first, uint64_t last) { interpreter_.cancel(first, last); }

  struct Stats {
    uint64_t operations, bytes_received, bytes_sent, storages, storage_bytes, busy_nanoseconds, executed;
  };
  Stats stats() const;
  uint64_t named() const { return interpreter_.counters().named.load(); }

 private:
  struct Submission {
    PyObject* message;  // null: `text`, from the local socket
    int route;
    std::string text;
    uint64_t connection = 0;  // of `text`
    bool end = false;  // of the local socket; `text` says why, unless the client ended it
    bool begin = false;  // the log, anew
    bool visit = false;  // `message` is the visitor
    std::string_view bytes() const { return message && !visit ? std::string_view(PyBytes_AS_STRING(message), static_cast<size_t>(PyBytes_GET_SIZE(message))) : text; }
  };
  using Bytes = std::shared_ptr<const std::string>;
  struct Item {
    int route;
    Outgoing kind;
    Bytes bytes;
  };
  // Where the stream's messages go: nowhere while its client is away.
  enum class Outlet : uint8_t { kNone, kOutbox, kSocket };

  void enqueue(Submission submission);
  bool is_full() const;  // with the lock held
  void look_at(std::string_view request);
  void receive(int socket, uint64_t connection);
  void begin_sending(int socket, uint64_t connection);
  void refuse(uint64_t connection, std::string why);
  void end_socket(const Submission& submission);
  void reply(std::string message, uint64_t number);
  void forget_replies(uint64_t received);
  void begin_log();
  void call(PyObject* visitor);
  void run();
  std::optional<std::string> execute(const Submission& submission);  // why it can't be
  void execute_frame(wire::Reader message);
  void execute_records(wire::Reader records, uint64_t sequence);
  void acknowledge();
  void put(int route, Outgoing kind, Bytes bytes);
  void put(int route, const std::optional<std::string>& refusal);
  void wake();
  bool room() const;
  wire::Writer envelope(bool replies);

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
  Limits limits_{UINT64_MAX, UINT64_MAX};
  bool closing_ = false;

  // What was replied and not acknowledged: a client that comes back is told again. With `mutex_`.
  std::deque<std::pair<uint64_t, Bytes>> kept_;
  uint64_t kept_bytes_ = 0;
  bool abandoned_ = false;  // nobody will ask for it: the log is about to begin anew
  uint64_t received_ = 0;  // the first record of the last frame that arrived whole

  std::timed_mutex sending_;  // a message goes out; the outermost
  Outlet outlet_ = Outlet::kNone;
  int socket_ = -1;
  int attached_ = -1;  // the same, from `attach` to `detach`: of whoever calls these
  std::atomic<uint64_t> connection_{1};
  std::thread receiver_;
  PyObject* inflate_ = nullptr;  // while it runs

  // The thread's own.
  int route_ = 0;
  uint64_t replied_ = 0;  // the number of the last message with replies
  uint64_t refused_ = 0;  // a connection; 0: none
  std::string refusal_;
  uint64_t acknowledged_ = 0;
  uint64_t frame_started_ = 0, waited_ = 0, acknowledged_at_ = 0;
  std::atomic<uint64_t> executed_{0}, busy_{0}, bytes_received_{0}, bytes_sent_{0};
};

}  // namespace skytorch
