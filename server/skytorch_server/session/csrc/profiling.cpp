// The interpreter's records about time.
#include <array>

#include "interpreter.h"

namespace skytorch {

namespace {

// What a record is called that is no op.
const std::string& name_of(wire::Record record) {
  static const std::array<std::string, 256> names = [] {
    std::array<std::string, 256> all;
    all.fill("other records");
    auto name = [&](wire::Record of, const char* text) { all[static_cast<uint8_t>(of)] = text; };
    name(wire::Record::kAllocate, "allocate");
    name(wire::Record::kEnsure, "allocate");
    name(wire::Record::kFree, "free");
    name(wire::Record::kWrite, "upload");
    name(wire::Record::kResize, "resize");
    name(wire::Record::kRead, "read");
    name(wire::Record::kSync, "synchronize");
    name(wire::Record::kDefineGraph, "define graph");
    name(wire::Record::kRunGraph, "run graph");
    name(wire::Record::kFunction, "function");
    name(wire::Record::kFunctionPart, "upload");
    return all;
  }();
  return names[static_cast<uint8_t>(record)];
}

}  // namespace

void Interpreter::execute_timed(wire::Reader& in, uint64_t sequence, ReplyPort& port) {
  wire::Reader ahead = in;
  auto record = static_cast<wire::Record>(ahead.byte());
  uint64_t began = Profile::now();
  execute(in, sequence, port);
  bool about_time = record == wire::Record::kClock || record == wire::Record::kProfile || record == wire::Record::kProfiled;
  if (!profile_ || about_time || record == wire::Record::kMark || record == wire::Record::kDefineOp) return;
  bool is_op = record == wire::Record::kOp || record == wire::Record::kAsk;
  profile_->record(is_op ? current_->name : name_of(record), cell_, line_, began, Profile::now());
}

void Interpreter::profile(wire::Reader& in) {
  uint64_t max_events = in.bounded(wire::kMaxProfileEvents, "the number of events of a profile");
  profile_ = max_events ? std::make_unique<Profile>(max_events) : nullptr;
}

void Interpreter::profiled(ReplyPort& port) {
  if (!profile_) throw wire::Malformed("a profile is asked for that was not begun");
  wire::Writer out;
  profile_->write(out);
  data(out.bytes().data(), out.size(), port);
}

void Interpreter::clock() {
  replies_.tag(wire::Reply::kValues);
  replies_.varint(sequence_);
  replies_.varint(1);
  replies_.tag(wire::Value::kInt);
  replies_.zigzag(static_cast<int64_t>(Profile::now()));
}

}  // namespace skytorch
