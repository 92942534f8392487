#include "graphs.h"

#include <ATen/ScalarOps.h>
#include <ATen/ops/scalar_tensor.h>

namespace skytorch {

using c10::IValue;
using wire::Malformed;
using wire::Reader;
using wire::Value;

namespace {

constexpr uint32_t kGraphInput = mask(Value::kNone, Value::kTensorHome, Value::kTensorView, Value::kTensorNew, Value::kHostTensor);
constexpr uint32_t kGraphNumber = mask(Value::kInt, Value::kDouble, Value::kComplex, Value::kFalse, Value::kTrue);

Value kind_of(const IValue& number) {
  return number.isInt() ? Value::kInt : number.isDouble() ? Value::kDouble : number.isBool() ? Value::kTrue : Value::kComplex;
}

bool accepts(const Operator& op, size_t i, Value value) { return op.arguments[i].accepts >> static_cast<uint8_t>(value) & 1; }

// An op that a graph can't have is no reason to end a stream when the client asked by number whether it exists here.
struct Refused {
  const std::string& why;
};

}  // namespace

Graph::Graph(Reader& in, Operators& operators, Values& values, Operator& own) {
  auto runner = static_cast<wire::Runner>(in.byte());
  if (runner != wire::Runner::kLoop && runner != wire::Runner::kInductor) throw Malformed("a graph is run in an unknown way");
  inputs_ = static_cast<uint32_t>(in.bounded(wire::kMaxGraphValues, "a graph's number of inputs"));
  numbers_ = static_cast<uint32_t>(in.bounded(wire::kMaxGraphValues, "a graph's number of numbers"));
  count_ = inputs_;
  own.arguments.assign(inputs_, {Access::kRead, kGraphInput});
  own.arguments.resize(inputs_ + numbers_, {Access::kRead, kGraphNumber});
  for (uint32_t i = 0; i < inputs_; ++i) roots_.push_back(i);
  uint64_t ops = in.count(3);
  nodes_.reserve(ops);
  for (uint64_t n = 0; n < ops; ++n) {
    uint64_t index = in.varint();
    const Operator& op = index ? operators.at(index) : operators.find(in.text(wire::kMaxNameBytes));
    if (!op.refusal.empty()) throw Refused{op.refusal};
    Node& node = nodes_.emplace_back(Node{&op, {}, {}, {}});
    uint64_t given = in.count();
    if (given > op.arguments.size())
      throw Malformed("op " + op.name + " takes " + std::to_string(op.arguments.size()) + " arguments, not " + std::to_string(given));
    node.arguments.resize(op.arguments.size());
    for (size_t i = 0; i < op.arguments.size(); ++i) {
      if (op.handle->schema().arguments()[i].is_out()) throw Malformed("op " + op.name + " writes into out= arguments, which a graph has none of");
      if (i < given) read(in, op, i, values, node.arguments[i]);
      else node.arguments[i].constant = Values::left_out(op, i);
    }
    read_results(in, node, own);
  }
  uint64_t outputs = in.count();
  for (uint64_t i = 0; i < outputs; ++i) outputs_.push_back(tensor(in));
  if (!in.done()) throw Malformed("a graph's definition goes on after its end");
  find_dead();
  values_.resize(count_);
  if (runner == wire::Runner::kInductor && !numbers_) compiled_ = std::make_shared<Compiled>();
}

uint32_t Graph::tensor(Reader& in) const {
  uint64_t value = in.varint();
  if (value >= count_) throw Malformed("value " + std::to_string(value) + " of a graph is used before there is one");
  return static_cast<uint32_t>(value);
}

uint32_t Graph::number(Reader& in) const {
  uint64_t number = in.varint();
  if (number >= numbers_) throw Malformed("a graph has no number " + std::to_string(number));
  return static_cast<uint32_t>(number);
}

void Graph::read(Reader& in, const Operator& op, size_t i, Values& values, Argument& argument) {
  auto tag = static_cast<Value>(in.byte());
  switch (tag) {
    case Value::kGraphTensor:
      Values::check(op, i, Value::kTensorHome);
      argument.kind = Argument::Kind::kTensor;
      argument.items = {tensor(in)};
      return;
    case Value::kGraphNumber:
      if (op.arguments[i].layout) throw Malformed("the layout of op " + op.name + " is no number that each run gives");
      if (!accepts(op, i, Value::kInt) && !accepts(op, i, Value::kTrue)) Values::check(op, i, Value::kHostTensor);
      argument.kind = Argument::Kind::kNumber;
      argument.numbers = {number(in)};
      return;
    case Value::kGraphIntList: {
      Values::check(op, i, Value::kIntList);
      argument.kind = Argument::Kind::kIntList;
      uint64_t n = in.count(2);
      for (uint32_t place = 0; place < n; ++place) {
        auto item = static_cast<Value>(in.byte());
        if (item == Value::kInt) {
          argument.items.push_back(in.zigzag());
        } else if (item == Value::kGraphNumber) {
          argument.items.push_back(0);
          argument.numbers.push_back(place);
          argument.numbers.push_back(number(in));
        } else {
          throw Malformed("an integer was expected");
        }
      }
      return;
    }
    case Value::kTensorList:
    case Value::kOptionalTensorList: {
      Values::check(op, i, tag);
      bool optional = tag == Value::kOptionalTensorList;
      argument.kind = optional ? Argument::Kind::kOptionalTensorList : Argument::Kind::kTensorList;
      uint64_t n = in.count();
      for (uint64_t place = 0; place < n; ++place) {
        auto item = static_cast<Value>(in.byte());
        if (item == Value::kNone && optional) argument.items.push_back(-1);
        else if (item == Value::kGraphTensor) argument.items.push_back(tensor(in));
        else throw Malformed("a tensor of the graph was expected");
      }
      return;
    }
    default: argument.constant = values.constant(in, tag, op, i);
  }
}

void Graph::read_results(Reader& in, Node& node, Operator& own) {
  const auto& schema = node.op->handle->schema();
  // What it writes to, and what its results may be views of.
  int64_t viewed = -1;
  for (size_t i = 0; i < node.arguments.size(); ++i) {
    const Argument& argument = node.arguments[i];
    bool tensors = argument.kind == Argument::Kind::kTensor || argument.kind == Argument::Kind::kTensorList ||
                   argument.kind == Argument::Kind::kOptionalTensorList;
    if (!tensors || !schema.arguments()[i].alias_info()) continue;
    for (int64_t value : argument.items) {
      if (value < 0 || roots_[static_cast<size_t>(value)] < 0) continue;
      if (viewed < 0) viewed = roots_[static_cast<size_t>(value)];
      if (node.op->arguments[i].access != Access::kRead) own.arguments[static_cast<size_t>(roots_[static_cast<size_t>(value)])].access = Access::kUpdate;
    }
  }
  uint64_t returns = in.count();
  if (returns != schema.returns().size())
    throw Malformed("op " + node.op->name + " returns " + std::to_string(schema.returns().size()) + " values, not " + std::to_string(returns));
  for (const auto& declared : schema.returns()) {
    uint64_t kept = in.varint();
    bool list = declared.real_type()->kind() == c10::TypeKind::ListType;
    if (kept && (kept > 1) != list) throw Malformed("op " + node.op->name + " returns something else");
    uint64_t count = kept > 1 ? kept - 2 : kept;
    if (count > wire::kMaxGraphValues - count_) throw Malformed("a graph has too many values");
    auto kind = !kept ? Result::Kind::kDropped : list ? Result::Kind::kList : Result::Kind::kValue;
    node.results.push_back({kind, count_, static_cast<uint32_t>(count)});
    count_ += static_cast<uint32_t>(count);
    roots_.resize(count_, declared.alias_info() ? viewed : -1);
  }
}

void Graph::find_dead() {
  constexpr size_t kNever = SIZE_MAX;
  std::vector<size_t> last(count_, kNever);
  for (size_t n = 0; n < nodes_.size(); ++n) {
    for (const auto& result : nodes_[n].results)
      for (uint32_t i = 0; i < result.count; ++i) last[result.first + i] = n;
    for (const auto& argument : nodes_[n].arguments)
      if (argument.kind != Argument::Kind::kIntList)
        for (int64_t value : argument.items)
          if (value >= 0) last[static_cast<size_t>(value)] = n;
  }
  for (uint32_t value : outputs_) last[value] = kNever;
  for (uint32_t value = 0; value < count_; ++value)
    if (last[value] != kNever) nodes_[last[value]].dead.push_back(value);
}

IValue Graph::evaluate(const Argument& argument, const Operator& op, size_t i, c10::ArrayRef<IValue> numbers) const {
  auto value = [&](int64_t place) -> const IValue& { return values_[static_cast<size_t>(place)]; };
  switch (argument.kind) {
    case Argument::Kind::kConstant: return argument.constant;
    case Argument::Kind::kTensor: return value(argument.items[0]);
    case Argument::Kind::kNumber: {
      const IValue& number = numbers[argument.numbers[0]];
      if (accepts(op, i, Value::kHostTensor)) {
        at::Tensor tensor = at::scalar_tensor(number.toScalar(), at::TensorOptions().dtype(number.toScalar().type()).device(c10::kCPU));
        tensor.unsafeGetTensorImpl()->set_wrapped_number(true);
        return tensor;
      }
      if (number.isInt() && accepts(op, i, Value::kDouble) && !accepts(op, i, Value::kComplex)) return static_cast<double>(number.toInt());
      TORCH_CHECK(accepts(op, i, kind_of(number)), op.name, " takes another kind of number than it is given");
      return number;
    }
    case Argument::Kind::kIntList: {
      c10::List<int64_t> list;
      list.reserve(argument.items.size());
      for (int64_t item : argument.items) list.push_back(item);
      for (size_t at = 0; at < argument.numbers.size(); at += 2) {
        const IValue& number = numbers[argument.numbers[at + 1]];
        TORCH_CHECK(number.isInt(), op.name, " takes integers");
        list[argument.numbers[at]] = number.toInt();
      }
      return list;
    }
    case Argument::Kind::kTensorList: {
      c10::List<at::Tensor> list;
      list.reserve(argument.items.size());
      for (int64_t item : argument.items) list.push_back(value(item).toTensor());
      return list;
    }
    case Argument::Kind::kOptionalTensorList: {
      c10::List<std::optional<at::Tensor>> list;
      list.reserve(argument.items.size());
      for (int64_t item : argument.items) list.push_back(item < 0 ? std::optional<at::Tensor>() : value(item).toTensor());
      return list;
    }
  }
  return {};
}

void Graph::keep(const Node& node, std::vector<IValue>& returned) {
  TORCH_CHECK(returned.size() == node.results.size(), node.op->name, " returned another number of values than its schema says");
  for (size_t r = 0; r < returned.size(); ++r) {
    const Result& result = node.results[r];
    if (result.kind == Result::Kind::kValue) {
      values_[result.first] = std::move(returned[r]);
    } else if (result.kind == Result::Kind::kList) {
      auto items = returned[r].toTensorVector();
      TORCH_CHECK(items.size() == result.count, node.op->name, " returned another number of tensors than the client expects");
      for (uint32_t i = 0; i < result.count; ++i) values_[result.first + i] = std::move(items[i]);
    }
  }
  for (uint32_t value : node.dead) values_[value] = IValue();
}

void Graph::loop(std::vector<IValue>& stack, const Operator*& at) {
  const Operator* own = at;
  struct Clear {
    std::vector<IValue>& values;
    ~Clear() { std::fill(values.begin(), values.end(), IValue()); }
  } clear{values_};
  std::vector<IValue> numbers(std::make_move_iterator(stack.begin() + inputs_), std::make_move_iterator(stack.end()));
  for (uint32_t i = 0; i < inputs_; ++i) values_[i] = std::move(stack[i]);
  for (const Node& node : nodes_) {
    at = node.op;
    stack.clear();
    for (size_t i = 0; i < node.arguments.size(); ++i) stack.push_back(evaluate(node.arguments[i], *node.op, i, numbers));
    node.op->handle->callBoxed(&stack);
    keep(node, stack);
  }
  stack.clear();
  for (uint32_t value : outputs_) stack.push_back(values_[value]);
  at = own;
}

void Graph::run(std::vector<IValue>& stack, const Operator*& at) {
  if (!compiled_ || !compiled_->run(*this, stack)) loop(stack, at);
  // What an op has returned as it was given is somebody else's.
  for (IValue& value : stack) {
    TORCH_CHECK(value.isTensor(), "a graph returns something else than tensors");
    if (value.toTensor().defined() && value.toTensor().use_count() > 1) value = value.toTensor().clone();
  }
}

void Graphs::define(Reader& in) {
  uint64_t number = in.bounded(wire::kMaxGraphs, "a graph's number");
  std::string_view data = in.text(wire::kMaxGraphBytes);
  Operator graph{"a compiled graph", {}, {}, {}, {}};
  try {
    Reader definition(data.data(), data.size());
    graph.graph = std::make_shared<Graph>(definition, operators_, values_, graph);
  } catch (const Refused& refused) {
    graph.refusal = refused.why;
  }
  if (!by_number_.try_emplace(number, std::move(graph)).second) throw Malformed("graph " + std::to_string(number) + " exists already");
}

Operator& Graphs::at(uint64_t number) {
  auto found = by_number_.find(number);
  if (found == by_number_.end()) throw Malformed("graph " + std::to_string(number) + " is not in this session");
  return found->second;
}

void Graphs::erase(uint64_t number) {
  at(number);
  by_number_.erase(number);
}

}  // namespace skytorch
