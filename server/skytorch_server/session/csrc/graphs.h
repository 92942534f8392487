// Graphs of ops that a client has defined once and runs by their numbers: decoded and checked on arrival.
#pragma once

#include <skytorch_wire/reader.h>

#include <vector>

#include "compiled.h"
#include "operators.h"
#include "values.h"

namespace skytorch {

class Graph {
 public:
  // Throws wire::Malformed. What the graph does with each of its inputs, and what its numbers can be, is added to `own`.
  Graph(wire::Reader& in, Operators& operators, Values& values, Operator& own);

  // From inputs and numbers to outputs, which share memory with nothing else. `at` is the op that runs, then what it was.
  void run(std::vector<c10::IValue>& stack, const Operator*& at);
  // The same, op by op, and outputs may share memory.
  void loop(std::vector<c10::IValue>& stack, const Operator*& at);

 private:
  // An argument: a constant, or what takes its place at each run.
  struct Argument {
    enum class Kind : uint8_t { kConstant, kTensor, kNumber, kIntList, kTensorList, kOptionalTensorList };
    Kind kind = Kind::kConstant;
    c10::IValue constant;
    std::vector<int64_t> items;     // values, -1 for none; the integers of a list
    std::vector<uint32_t> numbers;  // places in a list of integers, each followed by its number
  };
  // What an op returns: dropped, a value, or a list whose items are values.
  struct Result {
    enum class Kind : uint8_t { kDropped, kValue, kList };
    Kind kind;
    uint32_t first, count;
  };
  struct Node {
    const Operator* op;
    std::vector<Argument> arguments;
    std::vector<Result> results;
    std::vector<uint32_t> dead;  // values that nobody needs after it
  };

  void read(wire::Reader& in, const Operator& op, size_t i, Values& values, Argument& argument);
  void read_results(wire::Reader& in, Node& node, Operator& own);
  uint32_t tensor(wire::Reader& in) const;
  uint32_t number(wire::Reader& in) const;
  void find_dead();
  c10::IValue evaluate(const Argument& argument, const Operator& op, size_t i, c10::ArrayRef<c10::IValue> numbers) const;
  void keep(const Node& node, std::vector<c10::IValue>& returned);

  std::shared_ptr<Compiled> compiled_;  // where the client asked for it and the graph's sizes don't change
  uint32_t inputs_, numbers_, count_;  // count_: of values, inputs first
  std::vector<Node> nodes_;
  std::vector<uint32_t> outputs_;
  std::vector<int64_t> roots_;  // of each value the input whose memory it may share, or -1
  std::vector<c10::IValue> values_;
};

class Graphs {
 public:
  Graphs(Operators& operators, Values& values) : operators_(operators), values_(values) {}

  // The fields of kDefineGraph. A graph of an op that was refused by its number is refused when it is run.
  void define(wire::Reader& in);
  // Throws wire::Malformed for a number that names no graph.
  Operator& at(uint64_t number);
  void erase(uint64_t number);
  void clear() { by_number_.clear(); }

 private:
  Operators& operators_;
  Values& values_;
  std::unordered_map<uint64_t, Operator> by_number_;
};

}  // namespace skytorch
