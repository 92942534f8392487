// What the fallback needs to know about an op, worked out once from its schema.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <string>
#include <vector>

namespace skytorch {

struct OpInfo {
  explicit OpInfo(const c10::OperatorHandle& op);

  c10::OperatorHandle handle;
  std::string name;       // with its overload
  uint32_t index;         // on the wire, from 1
  uint64_t schema_hash;
  size_t arguments, returns;
  // For each return the argument that it is, or -1 for a fresh tensor.
  std::vector<int> returned_argument;
  std::vector<bool> returns_tensor;
  bool fresh = false;          // returns a tensor that isn't one of its arguments
  bool is_out = false;         // writes into out= arguments
  bool always_ask = false;     // its results' shapes depend on data, or aren't tensors
  bool returns_views = false;  // of its arguments: there must be a kernel of its own
  std::vector<bool> value_free;  // arguments whose value doesn't matter for the results' metadata: numbers
  std::vector<bool> is_output;   // out= arguments
  // For an out= op: the op that makes its results anew, and for each of that op's arguments its place here (-1: default).
  std::optional<c10::OperatorHandle> functional;
  std::vector<int> functional_arguments;
};

// Found by the op's schema; remembers the last one.
OpInfo& op_info(const c10::OperatorHandle& op);

}  // namespace skytorch
