// Walks over records without executing them: whether bytes are records at all, by their structure alone. Every frame is
// walked whole before its first record is executed, so that nothing of a malformed one is; what a record means for a
// session (whether a storage exists, what an op takes) is for whoever executes it. Depends on nothing but the reader, so
// that it can be fuzzed alone. A record that format.h gains is added here.
#pragma once

#include "blake2b.h"
#include "reader.h"

namespace skytorch::wire {

class Structure {
 public:
  // Throws Malformed unless all of it is records; how many there are.
  static uint64_t check(Reader in) {
    Structure walk(in);
    uint64_t records = 0;
    for (; !walk.in_.done(); ++records) walk.record();
    return records;
  }

 private:
  explicit Structure(Reader in) : in_(in) {}

  template <typename Tag>
  Tag tag() { return static_cast<Tag>(in_.byte()); }

  void varints(int n) {
    while (n-- > 0) in_.varint();
  }

  void record() {
    switch (tag<Record>()) {
      case Record::kDefineOp:
        in_.bounded(kMaxOpIndex, "an op's number");
        in_.text(kMaxNameBytes);
        in_.fixed64();
        return;
      case Record::kDefineDevice:
        in_.varint();
        in_.text(kMaxNameBytes);
        in_.nonnegative();
        return;
      case Record::kMark: return varints(2);
      case Record::kOp:
      case Record::kAsk:
        op_name();
        return call();
      case Record::kRunGraph:
        in_.varint();
        return call();
      case Record::kAllocate:
      case Record::kEnsure:
        varints(3);
        return in_.layout(layout_);
      case Record::kWrite:
        in_.varint();
        in_.nonnegative();
        in_.data();
        return;
      case Record::kResize:
        in_.varint();
        in_.nonnegative();
        return;
      case Record::kRead:
      case Record::kReadShared: return tensor(tag<Value>());
      case Record::kSync:
      case Record::kShare:
      case Record::kClock:
      case Record::kProfiled: return;
      case Record::kSeed: return varints(3);
      case Record::kGetState: return varints(2);
      case Record::kSetState:
        varints(2);
        in_.text(kMaxGeneratorStateBytes);
        return;
      case Record::kFree:
      case Record::kFreeGenerator:
      case Record::kFreeGraph: return varints(1);
      case Record::kSetting: return setting();
      case Record::kMemory:
        in_.varint();
        in_.byte();
        return;
      case Record::kMapped: return varints(2);
      case Record::kWriteShared: return varints(5);
      case Record::kOffer:
        varints(5);
        in_.raw(sizeof(Digest));
        return;
      case Record::kDefineGraph: {
        in_.bounded(kMaxGraphs, "a graph's number");
        std::string_view data = in_.text(kMaxGraphBytes);
        return Structure(Reader(data.data(), data.size())).graph();
      }
      case Record::kProfile: return varints(1);
      case Record::kAdopt:
        varints(3);
        return in_.layout(layout_);
      case Record::kDropParcel: return varints(1);
      case Record::kFunction:
        in_.varint();
        for (uint64_t n = in_.count(); n > 0; --n) in_.varint();
        return varints(1);
      case Record::kFunctionPart:
        in_.varint();
        in_.data();
        return;
      case Record::kSave:
        in_.text(kMaxObjectNameBytes);
        in_.text(kMaxPickleBytes);
        for (uint64_t n = in_.count(); n > 0; --n) tensor(tag<Value>());
        return;
      case Record::kLoad:
      case Record::kForget:
        in_.text(kMaxObjectNameBytes);
        return;
      case Record::kObjects: return;
      case Record::kExpect:
        varints(4);
        in_.raw(kTicketSecretBytes);
        return;
      case Record::kSend:
        in_.varint();
        in_.raw(kTicketSecretBytes);
        in_.text(kMaxDestinationBytes);
        return tensor(tag<Value>());
      case Record::kReceive:
      case Record::kWithdraw: return varints(1);
    }
    throw Malformed("a record of an unknown kind");
  }

  void op_name() {
    if (in_.varint() == 0) in_.text(kMaxNameBytes);
  }

  // The arguments and outputs of a call.
  void call() {
    for (uint64_t n = in_.count(); n > 0; --n) value(tag<Value>());
    for (uint64_t n = in_.count(); n > 0; --n) output(tag<Output>(), true);
  }

  void value(Value kind) {
    switch (kind) {
      case Value::kNone: return;
      case Value::kIntList:
        for (uint64_t n = in_.count(); n > 0; --n) in_.zigzag();
        return;
      case Value::kTensorList:
        for (uint64_t n = in_.count(2); n > 0; --n) tensor(tag<Value>());
        return;
      case Value::kOptionalTensorList:
        for (uint64_t n = in_.count(); n > 0; --n)
          if (auto item = tag<Value>(); item != Value::kNone) tensor(item);
        return;
      case Value::kBoolList:
        in_.raw(in_.count());
        return;
      case Value::kDoubleList:
        in_.raw(8 * in_.count(8));
        return;
      case Value::kScalarList:
        for (uint64_t n = in_.count(); n > 0; --n) scalar(tag<Value>());
        return;
      case Value::kDevice: return varints(1);
      case Value::kString:
        in_.text(kMaxTextBytes);
        return;
      case Value::kGenerator: return varints(2);
      case Value::kTensorHome:
      case Value::kTensorView:
      case Value::kTensorNew:
      case Value::kHostTensor: return tensor(kind);
      default: return scalar(kind);
    }
  }

  void scalar(Value kind) {
    switch (kind) {
      case Value::kFalse:
      case Value::kTrue: return;
      case Value::kInt: return varints(1);
      case Value::kDouble:
        in_.real();
        return;
      case Value::kComplex:
        in_.raw(16);
        return;
      default: throw Malformed("a number was expected");
    }
  }

  void tensor(Value kind) {
    switch (kind) {
      case Value::kTensorHome: return varints(1);
      case Value::kTensorView:
        in_.varint();
        return in_.layout(layout_);
      case Value::kTensorNew:
        varints(3);
        return in_.layout(layout_);
      case Value::kHostTensor:
        in_.layout(layout_);
        in_.byte();
        in_.text(kMaxHostTensorBytes);
        return;
      default: throw Malformed("a tensor was expected");
    }
  }

  void output(Output kind, bool may_be_list) {
    switch (kind) {
      case Output::kSkip: return;
      case Output::kTensor:
        in_.varint();
        return in_.layout(layout_);
      case Output::kAsked: return varints(1);
      case Output::kList:
        if (!may_be_list) throw Malformed("a list of outputs in another one");
        for (uint64_t n = in_.count(); n > 0; --n) output(tag<Output>(), false);
        return;
    }
    throw Malformed("an output of an unknown kind");
  }

  void setting() {
    in_.text(kMaxNameBytes);
    for (uint64_t n = in_.bounded(kMaxSettingValues, "the number of a setting's values"); n > 0; --n) {
      switch (tag<Value>()) {
        case Value::kFalse:
        case Value::kTrue: break;
        case Value::kInt: in_.zigzag(); break;
        case Value::kString: in_.text(kMaxNameBytes); break;
        default: throw Malformed("a setting's value of an unknown kind");
      }
    }
  }

  // A definition, which is all that there is.
  void graph() {
    in_.byte();
    in_.bounded(kMaxGraphValues, "a graph's number of inputs");
    in_.bounded(kMaxGraphValues, "a graph's number of numbers");
    for (uint64_t ops = in_.count(3); ops > 0; --ops) {
      op_name();
      for (uint64_t n = in_.count(); n > 0; --n) graph_argument();
      for (uint64_t n = in_.count(); n > 0; --n) in_.varint();
    }
    for (uint64_t n = in_.count(); n > 0; --n) in_.varint();
    if (!in_.done()) throw Malformed("a graph's definition goes on after its end");
  }

  void graph_argument() {
    auto kind = tag<Value>();
    switch (kind) {
      case Value::kGraphTensor:
      case Value::kGraphNumber: return varints(1);
      case Value::kGraphIntList:
        for (uint64_t n = in_.count(2); n > 0; --n) {
          auto item = tag<Value>();
          if (item != Value::kInt && item != Value::kGraphNumber) throw Malformed("an integer was expected");
          in_.varint();
        }
        return;
      case Value::kTensorList:
      case Value::kOptionalTensorList:
        for (uint64_t n = in_.count(); n > 0; --n) {
          auto item = tag<Value>();
          if (item == Value::kNone && kind == Value::kOptionalTensorList) continue;
          if (item != Value::kGraphTensor) throw Malformed("a tensor of the graph was expected");
          in_.varint();
        }
        return;
      case Value::kTensorHome:
      case Value::kTensorView:
      case Value::kTensorNew: throw Malformed("a storage is named where there is none");
      default: return value(kind);
    }
  }

  Reader in_;
  Layout layout_;
};

}  // namespace skytorch::wire
