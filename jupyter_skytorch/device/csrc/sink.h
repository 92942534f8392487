// Where the device writes its records: the near end of a session's ordered log.
//
// Ops append records under a mutex that is held for one record at a time; `take`, called by the session's sender thread,
// hands out frames; `feed`, called by its receiver thread, takes replies and wakes who waits for them. Nothing here
// calls into Python with a lock held.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <skytorch_wire/reader.h>
#include <skytorch_wire/writer.h>
#include <cxxabi.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "lens.h"
#include "numbers.h"
#include "request.h"
#include "segment.h"
#include "sent.h"

namespace skytorch {

// A number for the calling thread that no other thread is ever given.
uint64_t this_thread();

struct RemoteError {
  uint64_t origin = 0;
  wire::ErrorKind kind = wire::ErrorKind::kRuntime;
  std::string op, message;
  int64_t line = 0, cell = 0;
  uint64_t thread = 0;  // that issued the record, as `Sink` numbers them
};

// What a reply holds for its waiter.
struct Answer {
  std::string data;   // of kData without a target, or of kValues
  void* target = nullptr;  // where kData is to be put
  uint64_t target_bytes = 0;
  uint64_t received = 0;
  const std::string* asked = nullptr;  // the op whose results' shapes are waited for
  Outputs* outputs = nullptr;  // where kOutput is to be put
  bool done = false;
  std::optional<RemoteError> error;
};

class Sink {
 public:
  explicit Sink(std::string name) : name_(std::move(name)) {}

  // One record, being written. Locks the log; a record that isn't committed leaves no trace.
  class Entry {
   public:
    explicit Entry(Sink& sink);
    Entry(Sink& sink, wire::Record record) : Entry(sink) { begin(record); }
    ~Entry() {
      if (!committed_) sink_.buffer_.truncate(start_);
    }
    // Records that this one needs come before `begin`.
    void define_op(uint32_t index, const std::string& name, uint64_t schema_hash);
    void begin(wire::Record record) {
      start_ = sink_.buffer_.size();
      sink_.buffer_.tag(record);
    }
    wire::Writer& out() { return sink_.buffer_; }
    // The number of a storage that this record introduces. A number is used again once the storage is freed: the log is
    // in order.
    uint64_t new_storage() { return sink_.storages_.take(); }
    void withdraw_storage(uint64_t number) { sink_.storages_.give_back(number); }
    // The reply will be delivered to `answer`, which `wait` waits for.
    void expect(Answer& answer) { answer_ = &answer; }
    // Adds the record to the log and answers with its sequence number. `urgent`: somebody is about to wait.
    uint64_t commit(bool urgent = false);

   private:
    Sink& sink_;
    std::unique_lock<std::mutex> lock_;
    size_t start_;
    Answer* answer_ = nullptr;
    bool committed_ = false;
  };

  // Waits while the log is too far ahead of the server, and throws when the session is over. Called before each record,
  // without the lock.
  void admit() {
    if (__builtin_expect(lens.on(), 0)) lens.issue();
    if (__builtin_expect(stop_.load(std::memory_order_relaxed) || issued_.load(std::memory_order_relaxed) > limit_.load(std::memory_order_relaxed), 0))
      admit_slowly();
  }
  // Waits for the answer to a committed record and raises what went wrong. Throws KeyboardInterrupt on a signal.
  void wait(Answer& answer, uint64_t sequence);
  // In request.cpp: waits for what is written meanwhile, or for the answer; false when neither comes in time.
  bool wait_output(Answer& answer, double seconds, std::optional<Outputs::Piece>& piece);
  // An answer that nobody waits for any more.
  void forget(uint64_t sequence);
  // Large data, from a source that may be changed when this returns.
  void write_bulk(uint64_t storage, uint64_t offset, const char* data, size_t size);
  // Whether what is read may come through memory shared with the server; asks for such memory at the first call.
  bool shares();
  // The server is on this machine.
  void may_share();
  // Adds one record that Python wrote; dropped when the session is over. Never waits. `urgent`: another one may wait for it.
  void append(std::string_view record, bool urgent = false);
  // The same, and waits while too much is under way. Raises when the session is over.
  void append_bulk(std::string_view record);
  // As `append`, and answers with the reply.
  std::string ask(std::string_view record);
  bool stopped() const { return stop_.load(std::memory_order_relaxed); }
  uint64_t ops() const { return ops_.load(std::memory_order_relaxed); }
  void count_op() { ops_.fetch_add(1, std::memory_order_relaxed); }
  void count_upload(size_t bytes) {
    std::lock_guard lock(mutex_);
    issued_by_line_.upload(place(), bytes);
  }
  // Like Entry, for frees, which come from destructors: never throws, never waits.
  void free_storage(uint64_t id) noexcept;
  void free_generator(uint64_t id) noexcept;

  // The session's side. A stream that is attached sends what the server doesn't have yet: `received` is the first record
  // of the last frame that came there whole. Answers with the stream's number: only the newest is given frames.
  uint64_t attached(uint64_t executed, uint64_t received, size_t chunk_bytes);
  // A stream is given no more frames.
  void detached(uint64_t stream);
  // The number of the last message with replies that arrived.
  uint64_t replies_received() const { return replies_received_.load(); }
  // `take` answers with a new reference to bytes (a StreamRequest), or null when closed, timed out, or of another stream
  // (no Python error set). Both are called with the GIL and release it while they wait or work.
  PyObject* take(double seconds, uint64_t stream);
  // Answers with what a StreamResponse says that ends the stream, a serialized Ended.
  std::string_view feed(const char* message, size_t size);
  // The same over a Unix socket, each on a thread of its own, until the session is over, the other end is gone, or another
  // stream is attached.
  // `receive_from` answers with what the server said at the end, a serialized Ended.
  void send_to(int socket, uint64_t stream);
  std::string receive_from(int socket);
  // Ends the session: everybody who waits, and every later record, gets `message` as an exception of the type `kind`
  // ("closed" or "lost").
  void stop(const std::string& kind, const std::string& message);
  // The server takes in so many records that it has not executed. Called before there is one.
  void limit_ahead(uint64_t records) {
    max_ahead_ = records;
    ahead_ = limit_ = std::min(kFirstAhead, records);
  }

  struct Counters {
    uint64_t ops = 0, bytes_up = 0, bytes_down = 0, sync_points = 0, wait_nanoseconds = 0, remote_nanoseconds = 0;
    uint64_t issued = 0, executed = 0;
  };
  Counters counters();
  // What each line has cost since the last call.
  std::pair<Lines<Issued>, Lines<Waited>> take_lines();
  // Raises the oldest error that nobody has been told of.
  void raise_pending();
  // Waits until everything issued so far is executed; false when it takes longer.
  bool drain(double seconds);

  // Around a fork: no lock is held by a thread that the child doesn't have, and the child's copy is over.
  void before_fork();
  void after_fork(bool in_child);
  const std::string& name() const { return name_; }

 private:
  // Records that travel as one message. Kept until they are executed: another stream may have to send them again.
  struct Frame {
    std::string records;
    uint64_t first = 0, last = 0;
  };
  // A StreamRequest: what stands before a frame's records, and the frame; none where only replies are acknowledged.
  struct Message {
    std::string head;
    std::shared_ptr<const Frame> frame;
    std::string_view records() const { return frame ? std::string_view(frame->records) : std::string_view(); }
  };

  std::shared_ptr<Segment> segment();
  void map_segment(const Segment::Offer& offer);
  void drop_segment();
  void write_all(uint64_t storage, uint64_t offset, const char* data, size_t size);
  bool copy_sent(uint64_t storage, uint64_t offset, const char* data, size_t size);
  size_t write_shared(Segment& segment, uint64_t storage, uint64_t offset, const char* data, size_t size);
  void wait_for_room(size_t bytes);
  size_t write_frame(uint64_t storage, uint64_t offset, const char* data, size_t size);
  // The next message of a stream; none when closed, timed out, or of another stream. Without the GIL.
  std::optional<Message> next_message(double seconds, uint64_t stream);
  uint64_t newest_stream() {
    std::lock_guard lock(mutex_);
    return stream_;
  }
  void queue_frame(std::string records, uint64_t first, uint64_t last);
  void forget_executed(uint64_t executed);
  void bound_run_ahead();
  void acknowledge_replies(size_t bytes);
  void admit_slowly();
  void hurry();
  void note_turn();
  void cut_frame();
  void committed(bool urgent);
  void deliver(wire::Reader& replies, std::unique_lock<std::mutex>& lock);
  void take_shared(wire::Reader& in, uint64_t sequence, std::unique_lock<std::mutex>& lock);
  void take_output(wire::Reader& in, uint64_t sequence, std::unique_lock<std::mutex>& lock);
  void put(uint64_t sequence, uint64_t offset, uint64_t total, std::string_view data);
  void update_limit(uint64_t executed, uint64_t busy);
  [[noreturn]] void raise_stopped();
  std::optional<RemoteError> take_pending(std::optional<uint64_t> thread);
  template <typename Ready>
  bool wait_until(std::unique_lock<std::mutex>& lock, std::condition_variable& condition, double seconds, Ready ready);

  const std::string name_;

  std::mutex mutex_;  // the log
  wire::Writer buffer_;
  uint64_t buffer_first_ = 1;
  std::deque<std::shared_ptr<const Frame>> frames_, unexecuted_;  // to be sent; sent, and perhaps not executed
  size_t queued_bytes_ = 0, unexecuted_bytes_ = 0;
  uint64_t stream_ = 0;  // the newest
  bool replies_due_ = false;  // to be acknowledged without waiting for a frame
  std::atomic<uint64_t> replies_received_{0}, replies_told_{0};
  Mark last_mark_, told_mark_;  // told: to the server, which is told only while a cell is profiled
  uint64_t cut_bytes_ = 0;
  IssuedByLine issued_by_line_;
  Numbers storages_;
  std::vector<bool> defined_;
  bool urgent_ = false, sender_idle_ = false, linger_ = false;
  double patience_ = 0.3e-3;  // s that the sender lets a frame gather
  size_t chunk_bytes_ = 1 << 20;
  std::condition_variable work_, room_;
  std::atomic<uint64_t> ops_{0}, bytes_up_{0};
  std::atomic<uint64_t> issued_{0};  // the last sequence number given
  std::atomic<uint64_t> limit_{kFirstAhead}, ahead_{kFirstAhead};  // that may be issued: now, and as the server's pace goes
  uint64_t max_ahead_ = UINT64_MAX;

  // Which thread and line issued what isn't executed yet: an error is raised where it was caused, and names the line.
  struct Turn {
    uint64_t first = 0, thread = 0;
    Mark mark;
  };
  Turn turn_of(uint64_t sequence);
  uint64_t last_thread_ = 0;  // with the log's lock held
  std::mutex turns_mutex_;    // the innermost
  std::deque<Turn> turns_;
  std::atomic<uint64_t> told_{0};  // up to here the server has told what went wrong

  std::mutex feed_mutex_;   // one message is taken in at a time; the outermost
  size_t unacknowledged_ = 0;  // bytes of replies since the last acknowledgement
  std::mutex reply_mutex_;  // answers, errors and what the server has told
  std::condition_variable replied_;
  std::unordered_map<uint64_t, Answer*> awaited_;
  std::deque<RemoteError> pending_;
  uint64_t executed_ = 0, busy_ = 0, bytes_down_ = 0, sync_points_ = 0, waited_ = 0;
  double record_cost_ = 0;  // ns, averaged
  Lines<Waited> waited_by_line_;
  std::map<uint64_t, Mark> failed_;  // the lines of what went wrong; tensors that it left unwritten name it again
  bool bulk_reply_ = false;  // came since the server last told what it has executed
  enum class Sharing : uint8_t { kNever, kCan, kAsked, kHas };
  std::atomic<Sharing> sharing_{Sharing::kNever};
  std::atomic<bool> near_{false};
  Sent sent_;
  std::atomic<double> upload_rate_{0};  // bytes/s over the network, 0: not known
  std::mutex segment_mutex_;
  std::shared_ptr<Segment> segment_;
  std::optional<Segment::Offer> offered_;  // the receiver's own
  std::atomic<bool> stop_{false};
  std::string stop_kind_, stop_message_;

  static constexpr uint64_t kFirstAhead = 1024;  // records, until the server has told what they cost
  static constexpr double kSignalCheck = 0.05;  // s between looks for signals while something is waited for
};

// Raises a Python exception from C++: the pending one, of any type.
[[noreturn]] void throw_python_error();
// Raises KeyboardInterrupt (or what a signal handler raised) if a signal came in. Takes the GIL.
void check_signals();
// Turns an error of the server into the exception that PyTorch would raise, and throws it.
[[noreturn]] void raise_remote(const RemoteError& error, const std::string& session);
// Throws the package's SessionClosed, SessionLost or SkyError ("closed", "lost" or "forked").
[[noreturn]] void raise_session(const std::string& kind, const std::string& message);
// The function (kind, message, op, line, cell, session) -> exception that Python gave for this.
void set_exception_factory(PyObject* factory);

// Runs what takes the GIL. Taking that of an interpreter that is going down ends the thread by unwinding it, which C++
// can't survive where no exception may pass: such a thread stays where it is, and ends with the process.
template <typename Take>
auto taking_gil(Take take) {
#ifdef __GLIBCXX__
  try {
    return take();
  } catch (abi::__forced_unwind&) {
    while (true) pause();
  }
#else
  return take();
#endif
}

// Holds the GIL.
class WithGil {
 public:
  WithGil() : state_(taking_gil([] { return PyGILState_Ensure(); })) {}
  ~WithGil() { PyGILState_Release(state_); }
  WithGil(const WithGil&) = delete;
  WithGil& operator=(const WithGil&) = delete;

 private:
  PyGILState_STATE state_;
};

// Releases the GIL if this thread holds it.
class WithoutGil {
 public:
  WithoutGil() : state_(PyGILState_Check() ? PyEval_SaveThread() : nullptr) {}
  ~WithoutGil() {
    if (state_) taking_gil([&] { return PyEval_RestoreThread(state_), true; });
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};

}  // namespace skytorch
