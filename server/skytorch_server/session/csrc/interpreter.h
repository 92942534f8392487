// Executes records, one after the other, on the session's storages. Knows nothing of threads, Python or gRPC.
#pragma once

#include <skytorch_wire/reader.h>
#include <skytorch_wire/writer.h>

#include <atomic>
#include <functional>
#include <optional>

#include "copies.h"
#include "failure.h"
#include "functions.h"
#include "graphs.h"
#include "objects.h"
#include "operators.h"
#include "parcels.h"
#include "profile.h"
#include "segment.h"
#include "store.h"
#include "values.h"

namespace skytorch {

// Where replies go. Called from the interpreter's thread.
class ReplyPort {
 public:
  virtual ~ReplyPort() = default;
  virtual void small(const wire::Writer& replies) = 0;
  // `head`, then `size` bytes at `data` (which live until this returns), as one message. May wait for room.
  virtual void bulk(const wire::Writer& head, const void* data, size_t size) = 0;
};

struct Counters {
  std::atomic<uint64_t> operations{0}, storages{0}, storage_bytes{0}, named{0};
  std::atomic<uint64_t> shared_in{0}, shared_out{0};  // bytes that came and went through the segment
};

class Interpreter {
 public:
  explicit Interpreter(size_t chunk_bytes) : chunk_bytes_(chunk_bytes) {}

  // Executes the next record of `in`. `sequence` is 0 for records that aren't the stream's. Throws wire::Malformed.
  void step(wire::Reader& in, uint64_t sequence, ReplyPort& port);
  // Sends the replies that are waiting.
  void flush(ReplyPort& port);
  bool has_replies() const { return !replies_.empty(); }

  // A new log begins: what is numbered by the one before goes.
  void begin();
  // Brings the counters up to date.
  void count();

  // Skips ops of the stream in [first, last] from now on. Called from any thread.
  void cancel(uint64_t first, uint64_t last);
  const Counters& counters() const { return counters_; }
  Functions& functions() { return functions_; }
  // Where the op stands that was called last, or null.
  const Operator* const* running() const { return &current_; }
  Objects& objects() { return objects_; }
  Copies& copies() { return copies_; }

 private:
  void execute(wire::Reader& in, uint64_t sequence, ReplyPort& port);
  void execute_timed(wire::Reader& in, uint64_t sequence, ReplyPort& port);
  void profile(wire::Reader& in);
  void profiled(ReplyPort& port);
  void clock();
  void define_op(wire::Reader& in);
  void op(wire::Reader& in, bool ask);
  void execute(wire::Reader& in, Operator& op, bool ask);
  void bind(wire::Reader& in, const c10::IValue* result, bool ask);
  void bind_tensor(uint64_t id, const wire::Layout* layout, const at::Tensor& result);
  at::Tensor own_tensor(const wire::Layout* layout, const at::Tensor& result);
  void bind_poisoned(uint64_t id, const wire::Layout* layout);
  void answer(const c10::IValue& value, uint64_t id);
  void allocate_record(wire::Reader& in, bool unless_known);
  void resize(wire::Reader& in);
  void write(wire::Reader& in);
  void write_bytes(uint64_t id, int64_t offset, std::string_view bytes);
  // The tensor that the record wants to have; nothing where it can't be had, which is then answered.
  std::optional<at::Tensor> asked_for(wire::Reader& in);
  void read(wire::Reader& in, ReplyPort& port, bool shared);
  void get_state(wire::Reader& in, ReplyPort& port);
  void setting(wire::Reader& in);
  void memory(wire::Reader& in);
  void data(const void* bytes, uint64_t size, ReplyPort& port);
  void chunk(const void* bytes, uint64_t offset, uint64_t size, uint64_t total, ReplyPort& port);

  void offer(wire::Reader& in);  // in offer.cpp

  void adopt(wire::Reader& in);  // in parcels.cpp

  // In functions.cpp.
  void function(wire::Reader& in, ReplyPort& port);
  void output(uint64_t stream, std::string_view text, ReplyPort& port);
  void resized(uint64_t id);
  // In copies.cpp.
  void expect(wire::Reader& in);
  void send(wire::Reader& in, ReplyPort& port);
  void receive(wire::Reader& in);

  // In objects.cpp.
  void save(wire::Reader& in, ReplyPort& port);
  void load(wire::Reader& in, ReplyPort& port);
  void forget(wire::Reader& in, ReplyPort& port);
  void list_objects(ReplyPort& port);

  // In sharing.cpp.
  void share();
  void mapped(wire::Reader& in);
  void write_shared(wire::Reader& in);
  void data_shared(const at::Tensor& tensor, ReplyPort& port);
  void tell_shared(uint64_t offset, uint64_t size, uint64_t total, uint32_t place, ReplyPort& port);
  Segment& own_segment(uint64_t number);

  bool cancelled() const;
  void call(Operator& op, bool ask);
  // Records that the current record failed, and tells the client: once for the failure itself, and, where the
  // record asked for something, as the answer.
  void fail(const Failure& failure, bool asked);
  void error(uint64_t answers, uint64_t origin);

  const size_t chunk_bytes_;
  Store store_;
  Devices devices_;
  Generators generators_;
  Operators operators_;
  Values values_{store_, devices_, generators_};
  Graphs graphs_{operators_, values_};
  Objects objects_{store_};
  Parcels parcels_{store_};
  Functions functions_;
  Copies copies_;

  uint64_t sequence_ = 0;
  uint64_t origin_ = 0;  // names the current record where it fails
  const Operator* current_ = nullptr;
  int64_t line_ = 0, cell_ = 0;
  std::vector<c10::IValue> stack_;
  Touched touched_;
  wire::Layout layout_;
  wire::Writer replies_, answer_;
  std::unique_ptr<Segment> segment_;
  uint64_t last_segment_ = 0;

  // What went wrong, by the record where it did; a bounded number of them.
  struct Reported {
    Failure failure;
    std::string op;
    int64_t line, cell;
  };
  std::unordered_map<uint64_t, Reported> reported_;
  uint64_t poison_ = 0;  // of the current record

  std::unique_ptr<Profile> profile_;  // while the client profiles
  std::atomic<uint64_t> cancel_first_{1}, cancel_last_{0};
  Counters counters_;
};

}  // namespace skytorch
