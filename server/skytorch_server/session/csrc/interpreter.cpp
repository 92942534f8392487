#include "interpreter.h"

#include <ATen/Context.h>
#include <ATen/EmptyTensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/from_blob.h>

#include "host_memory.h"
#include "memory.h"
#include "settings.h"

namespace skytorch {

using c10::IValue;
using wire::Malformed;
using wire::Output;
using wire::Reader;
using wire::Record;
using wire::Reply;
using wire::Value;

namespace {

constexpr size_t kMaxReported = 256;
// Stands for a record that isn't the stream's, where poison names its cause.
constexpr uint64_t kUnaryOrigin = uint64_t{1} << 63;
// The same for a record of a log that is over.
constexpr uint64_t kEarlierOrigin = kUnaryOrigin + 1;

// Some ops leave the conjugate of their result in the output, and say so in its conjugate bit, which stays here.
void write_conjugates(const at::Tensor& output, bool conjugate) {
  if (output.is_conj() == conjugate) return;
  output._set_conj(false);
  output.conj_physical_();
  output._set_conj(conjugate);
}

}  // namespace

void Interpreter::step(Reader& in, uint64_t sequence, ReplyPort& port) {
  if (__builtin_expect(profile_ != nullptr, 0)) execute_timed(in, sequence, port);
  else execute(in, sequence, port);
}

void Interpreter::execute(Reader& in, uint64_t sequence, ReplyPort& port) {
  sequence_ = sequence;
  origin_ = sequence ? sequence : kUnaryOrigin;
  switch (static_cast<Record>(in.byte())) {
    case Record::kDefineOp: define_op(in); break;
    case Record::kDefineDevice: {
      uint64_t slot = in.bounded(255, "a device slot");
      std::string_view type = in.text(wire::kMaxNameBytes);
      devices_.define(slot, type, in.nonnegative());
      break;
    }
    case Record::kMark:
      line_ = in.zigzag();
      cell_ = in.zigzag();
      break;
    case Record::kOp: op(in, false); break;
    case Record::kAsk: op(in, true); break;
    case Record::kAllocate: allocate_record(in, false); break;
    case Record::kEnsure: allocate_record(in, true); break;
    case Record::kFree: store_.erase(in.varint()); break;
    case Record::kWrite: write(in); break;
    case Record::kResize: resize(in); break;
    case Record::kRead: read(in, port, false); break;
    case Record::kReadShared: read(in, port, true); break;
    case Record::kWriteShared: write_shared(in); break;
    case Record::kShare: share(); break;
    case Record::kOffer: offer(in); break;
    case Record::kMapped: mapped(in); break;
    case Record::kSync:
      devices_.synchronize();
      replies_.tag(Reply::kDone);
      replies_.varint(sequence_);
      break;
    case Record::kSeed: {
      uint64_t id = in.varint();
      auto generator = generators_.get(id, devices_.at(in.varint()));
      generator.set_current_seed(in.varint());
      break;
    }
    case Record::kGetState: get_state(in, port); break;
    case Record::kSetState: {
      Unlimited unlimited;
      uint64_t id = in.varint();
      auto generator = generators_.get(id, devices_.at(in.varint()));
      std::string_view state = in.text(wire::kMaxGeneratorStateBytes);
      at::Tensor bytes(at::detail::empty_cpu({static_cast<int64_t>(state.size())}, c10::kByte));
      if (!state.empty()) std::memcpy(bytes.mutable_data_ptr(), state.data(), state.size());
      try {
        generator.set_state(bytes);
      } catch (...) {
        fail(current_failure(), false);
      }
      break;
    }
    case Record::kFreeGenerator: generators_.erase(in.varint()); break;
    case Record::kSetting: setting(in); break;
    case Record::kMemory: memory(in); break;
    case Record::kDefineGraph: graphs_.define(in); break;
    case Record::kRunGraph: execute(in, graphs_.at(in.varint()), false); break;
    case Record::kFreeGraph: graphs_.erase(in.varint()); break;
    case Record::kClock: clock(); break;
    case Record::kProfile: profile(in); break;
    case Record::kProfiled: profiled(port); break;
    case Record::kAdopt: adopt(in); break;
    case Record::kDropParcel: parcels_.drop(in.varint()); break;
    case Record::kFunction: function(in, port); break;
    case Record::kFunctionPart: {
      uint64_t offset = in.varint();
      functions_.part(offset, in.data());
      break;
    }
    case Record::kSave: save(in, port); break;
    case Record::kLoad: load(in, port); break;
    case Record::kForget: forget(in, port); break;
    case Record::kObjects: list_objects(port); break;
    case Record::kExpect: expect(in); break;
    case Record::kSend: send(in, port); break;
    case Record::kReceive: receive(in); break;
    case Record::kWithdraw: copies_.withdraw(in.varint()); break;
    default: throw Malformed("a record of an unknown kind");
  }
  count();
}

void Interpreter::count() {
  counters_.storages.store(store_.size(), std::memory_order_relaxed);
  counters_.storage_bytes.store(store_.bytes(), std::memory_order_relaxed);
  counters_.named.store(objects_.size(), std::memory_order_relaxed);
}

void Interpreter::begin() {
  current_ = nullptr;
  line_ = cell_ = 0;
  stack_.clear();
  touched_.clear();
  replies_.clear();
  graphs_.clear();
  operators_.renumber();
  generators_ = {};
  devices_ = {};
  parcels_.clear();
  copies_.clear();
  store_.clear(kEarlierOrigin);
  segment_.reset();
  profile_.reset();
  reported_.clear();
  cancel(1, 0);
  count();
}

void Interpreter::flush(ReplyPort& port) {
  if (replies_.empty()) return;
  port.small(replies_);
  replies_.clear();
}

void Interpreter::cancel(uint64_t first, uint64_t last) {
  cancel_last_.store(0);
  cancel_first_.store(first);
  cancel_last_.store(last);
}

bool Interpreter::cancelled() const {
  return sequence_ && sequence_ <= cancel_last_.load(std::memory_order_relaxed) &&
         sequence_ >= cancel_first_.load(std::memory_order_relaxed);
}

void Interpreter::define_op(Reader& in) {
  uint64_t index = in.bounded(wire::kMaxOpIndex, "an op's number");
  if (index == 0) throw Malformed("ops are numbered from 1");
  std::string_view name = in.text(wire::kMaxNameBytes);
  operators_.define(index, name, in.fixed64());
}

void Interpreter::op(Reader& in, bool ask) {
  uint64_t index = in.varint();
  execute(in, index ? operators_.at(index) : operators_.find(in.text(wire::kMaxNameBytes)), ask);
}

void Interpreter::execute(Reader& in, Operator& op, bool ask) {
  current_ = &op;
  stack_.clear();
  touched_.clear();
  poison_ = 0;
  values_.arguments(in, op, stack_, touched_);

  bool failed = false;
  Failure failure{};
  for (const auto& item : touched_.items) {
    bool needed = item.access != Access::kOverwrite || !item.whole || item.entry->home.is_meta();
    if (needed && item.entry->poisoned_by) poison_ = item.entry->poisoned_by;
  }
  if (cancelled()) {
    // Whatever its inputs are: what is skipped leaves what it would have updated as it was.
    failure = {wire::ErrorKind::kCancelled, "cancelled by an interrupt"};
    failed = true;
    poison_ = origin_;
  } else if (poison_) {
    failed = true;  // and that is told already, whatever else would be wrong here
  } else if (touched_.failure) {
    failure = failure_of(touched_.failure);
    failed = true;
    poison_ = origin_;
  } else {
    try {
      call(op, ask);
    } catch (...) {
      failure = current_failure();
      failed = true;
      poison_ = origin_;
    }
  }

  uint64_t outputs = in.count();
  if (!failed && outputs > stack_.size()) throw Malformed("op " + op.name + " returns less than the record names");
  if (ask && !failed) {
    answer_.clear();
    answer_.varint(outputs);
  }
  for (uint64_t i = 0; i < outputs; ++i) {
    try {
      bind(in, failed ? nullptr : &stack_[i], ask);
    } catch (const Malformed&) {
      throw;
    } catch (...) {
      failure = current_failure();
      failed = true;
      poison_ = origin_;
    }
  }
  stack_.clear();
  counters_.operations.fetch_add(1, std::memory_order_relaxed);

  if (failed) {
    bool is_new = poison_ == origin_;
    bool cancelled_only = is_new && failure.kind == wire::ErrorKind::kCancelled;
    for (const auto& item : touched_.items)
      // An interrupted update leaves the last executed value; only what was never written can't be read.
      if ((item.access != Access::kRead && !cancelled_only) || (item.fresh && (item.access != Access::kRead || item.entry->home.is_meta())))
        item.entry->poisoned_by = poison_;
    if (is_new)
      fail(failure, ask);
    else if (ask)
      error(sequence_, poison_);
  } else {
    for (const auto& item : touched_.items)
      if (item.access == Access::kOverwrite && item.whole) item.entry->poisoned_by = 0;
    if (ask) {
      replies_.tag(Reply::kValues);
      replies_.varint(sequence_);
      replies_.raw(answer_.bytes().data(), answer_.size());
    }
  }
}

void Interpreter::call(Operator& op, bool ask) {
  if (!op.refusal.empty()) C10_THROW_ERROR(NotImplementedError, op.refusal);
  bool timed = profile_ && !touched_.items.empty();
  if (timed) profile_->kernel_begins(touched_.items.front().entry->home);
  if (op.graph) op.graph->run(stack_, current_);
  else op.handle->callBoxed(&stack_);
  if (timed) profile_->kernel_ends();
  if (op.graph) return;
  for (const auto& item : touched_.items)
    if (item.access == Access::kOverwrite) write_conjugates(item.home ? item.entry->home : item.output, item.conjugate);
  if (ask) {
    for (const auto& item : touched_.items)
      if (item.access == Access::kOverwrite) store_.count(*item.entry);  // it may have been resized, and the answer tells
    return;
  }
  // out= resizes what doesn't fit; the client has told its user another shape, and names the tensor by it.
  for (const auto& item : touched_.items)
    if (item.access == Access::kOverwrite && item.home && item.entry->home.sizes() != item.sizes) {
      auto found = item.entry->home.sizes().vec();
      item.entry->home = at::empty(item.sizes, item.entry->home.options().device(c10::kMeta));
      TORCH_CHECK(false, op.name, " writes a result of shape ", found, " to an output of shape ", item.sizes);
    }
}

void Interpreter::allocate_record(Reader& in, bool unless_known) {
  uint64_t id = in.varint();
  c10::Device device = devices_.at(in.varint());
  uint64_t bytes = in.varint();
  in.layout(layout_);
  current_ = nullptr;
  if (unless_known && store_.contains(id)) return;
  try {
    store_.put(id, allocate(layout_, bytes, device));
  } catch (const Malformed&) {
    throw;
  } catch (...) {
    store_.put(id, placeholder(layout_)).poisoned_by = origin_;
    fail(current_failure(), false);
  }
}

void Interpreter::resize(Reader& in) {
  uint64_t id = in.varint();
  int64_t bytes = in.nonnegative();
  Entry& entry = store_.at(id);
  current_ = nullptr;
  try {
    store_.resize(id, bytes);
  } catch (...) {
    // The client's views go by the new size.
    entry.home = placeholder(bytes_layout(0, bytes));
    entry.poisoned_by = origin_;
    store_.count(entry);
    fail(current_failure(), false);
  }
}

void Interpreter::write(Reader& in) {
  uint64_t id = in.varint();
  int64_t offset = in.nonnegative();
  write_bytes(id, offset, in.data());
}

void Interpreter::write_bytes(uint64_t id, int64_t offset, std::string_view bytes) {
  Entry& entry = store_.at(id);
  at::Tensor target = Store::view(entry, bytes_layout(offset, static_cast<int64_t>(bytes.size())));
  if (target.is_meta() || bytes.empty()) return;
  if (target.is_cpu())
    std::memcpy(target.mutable_data_ptr(), bytes.data(), bytes.size());
  else
    target.copy_(at::from_blob(const_cast<char*>(bytes.data()), {static_cast<int64_t>(bytes.size())}, at::kByte));
  if (bytes.size() == entry.home.storage().nbytes()) entry.poisoned_by = 0;
}

std::optional<at::Tensor> Interpreter::asked_for(Reader& in) {
  touched_.clear();
  current_ = nullptr;
  at::Tensor tensor = values_.tensor(in, touched_);
  if (touched_.failure) {
    touched_.items[0].entry->poisoned_by = origin_;
    fail(failure_of(touched_.failure), true);
    return std::nullopt;
  }
  uint64_t poison = touched_.items.empty() ? 0 : touched_.items[0].entry->poisoned_by;
  if (poison) {
    error(sequence_, poison);
    return std::nullopt;
  }
  return tensor;
}

void Interpreter::read(Reader& in, ReplyPort& port, bool shared) {
  std::optional<at::Tensor> asked = asked_for(in);
  if (!asked) return;
  at::Tensor tensor;
  try {
    tensor = asked->resolve_conj().resolve_neg().contiguous();
    if (shared) return data_shared(tensor, port);
    tensor = tensor.cpu();
  } catch (...) {
    return fail(current_failure(), true);
  }
  data(tensor.const_data_ptr(), tensor.nbytes(), port);
}

void Interpreter::get_state(Reader& in, ReplyPort& port) {
  Unlimited unlimited;
  uint64_t id = in.varint();
  at::Tensor state = generators_.get(id, devices_.at(in.varint())).get_state();
  data(state.const_data_ptr(), state.nbytes(), port);
}

void Interpreter::setting(Reader& in) {
  current_ = nullptr;
  try {
    apply_setting(in);
  } catch (const Malformed&) {
    throw;
  } catch (...) {
    fail(current_failure(), false);
  }
}

void Interpreter::memory(Reader& in) {
  c10::Device device = devices_.at(in.varint());
  auto asked = static_cast<wire::Memory>(in.byte());
  bool replied = asked == wire::Memory::kStats || asked == wire::Memory::kInfo;
  current_ = nullptr;
  try {
    auto numbers = ask_memory(store_, device, asked);
    if (!replied) return;
    replies_.tag(Reply::kValues);
    replies_.varint(sequence_);
    replies_.varint(numbers.size());
    for (int64_t number : numbers) {
      replies_.tag(Value::kInt);
      replies_.zigzag(number);
    }
  } catch (const Malformed&) {
    throw;
  } catch (...) {
    fail(current_failure(), replied);
  }
}

void Interpreter::data(const void* bytes, uint64_t size, ReplyPort& port) {
  uint64_t offset = 0;
  do {
    uint64_t part = std::min<uint64_t>(size - offset, chunk_bytes_);
    chunk(static_cast<const char*>(bytes) + offset, offset, part, size, port);
    offset += part;
  } while (offset < size);
}

void Interpreter::chunk(const void* bytes, uint64_t offset, uint64_t size, uint64_t total, ReplyPort& port) {
  replies_.tag(Reply::kData);
  replies_.varint(sequence_);
  replies_.varint(offset);
  replies_.varint(total);
  replies_.varint(size);
  if (size <= (16u << 10)) {
    replies_.raw(bytes, size);
  } else {
    port.bulk(replies_, bytes, size);
    replies_.clear();
  }
}

void Interpreter::fail(const Failure& failure, bool asked) {
  if (reported_.size() >= kMaxReported) reported_.erase(reported_.begin());
  reported_[origin_] = {failure, current_ ? current_->name : "", line_, cell_};
  error(asked ? sequence_ : 0, origin_);
}

void Interpreter::error(uint64_t answers, uint64_t origin) {
  auto found = reported_.find(origin);
  static const Reported forgotten{{wire::ErrorKind::kRuntime, "an earlier op on this tensor failed"}, "", 0, 0};
  const Reported& report = found == reported_.end() ? forgotten : found->second;
  if (report.failure.kind == wire::ErrorKind::kCancelled && !answers) return;  // the user knows: it was their interrupt
  replies_.tag(Reply::kError);
  replies_.varint(answers);
  replies_.varint(origin);
  replies_.tag(report.failure.kind);
  replies_.text(report.op);
  replies_.zigzag(report.line);
  replies_.zigzag(report.cell);
  replies_.text(std::string_view(report.failure.message).substr(0, wire::kMaxTextBytes));
}

}  // namespace skytorch
