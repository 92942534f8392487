// The ops that a client may call: found in torch's dispatcher, checked against the policy and the client's schema.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace skytorch {

class Graph;

// What an op does with one tensor argument.
enum class Access : uint8_t { kRead, kUpdate, kOverwrite };

// A bit for each of some wire::Values.
template <typename... Values>
constexpr uint32_t mask(Values... values) {
  return ((1u << static_cast<uint8_t>(values)) | ...);
}

struct Operator {
  std::string name;
  std::optional<c10::OperatorHandle> handle;
  std::string refusal;  // why calling it is an error, for an op that this server can't run
  struct Argument {
    Access access;
    uint32_t accepts;  // a bit for each wire::Value that the schema's type allows
    bool layout;       // torch.layout, of which only strided is allowed
  };
  std::vector<Argument> arguments;
  std::shared_ptr<Graph> graph;  // that it stands for, instead of one of torch's
};

class Operators {
 public:
  // Throws wire::Malformed for a name that is unknown or not allowed.
  Operator& find(std::string_view name);
  // Numbers an op for the stream. One that isn't known here, or has another schema here, is refused when it is called:
  // a client of another torch version may go on with all others.
  void define(uint64_t index, std::string_view name, uint64_t schema_hash);
  Operator& at(uint64_t index);
  // Forgets the numbers.
  void renumber();

 private:
  std::unordered_map<std::string, std::unique_ptr<Operator>> by_name_;
  std::vector<Operator*> by_index_;
  std::vector<std::unique_ptr<Operator>> refused_;
};

}  // namespace skytorch
