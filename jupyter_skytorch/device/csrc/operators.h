// What the fallback needs to know about an op, worked out once from its schema.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

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
  std::vector<size_t> written;  // the arguments that are written to
  bool is_out = false;         // writes into out= arguments
  bool always_ask = false;     // its results' shapes depend on data, or aren't tensors
  bool fills_in_order = false;  // a range: an out= of any shape with as many elements will do
  bool cuda_metadata = false;  // its meta kernel tells what CUDA returns, and the CPU returns something else
  bool returns_views = false;  // of its arguments: there must be a kernel of its own
  std::vector<bool> value_free;  // arguments whose value doesn't matter for the results' metadata: numbers
  std::vector<bool> is_output;   // out= arguments
};

// Found by the op's schema; remembers the last one.
OpInfo& op_info(const c10::OperatorHandle& op);

}  // namespace skytorch
