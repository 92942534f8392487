// What an op will return, without running it: PyTorch's own meta kernels, asked once for each kind of call.
#pragma once

#include <ATen/core/ivalue.h>

#include <optional>

#include "operators.h"

namespace skytorch {

struct Metadata {
  enum class Kind : uint8_t { kUndefined, kTensor, kList } kind = Kind::kUndefined;
  c10::ScalarType dtype = c10::ScalarType::Undefined;
  c10::DimVector sizes, strides;
  std::vector<Metadata> items;
};
using Results = std::vector<Metadata>;

// The metadata of the op's results for these arguments on this device; nothing when there is no meta kernel to tell (ask
// the server).
// Raises what the meta kernel raises for wrong arguments. The answer lives until the cache is emptied, so use it at once.
std::shared_ptr<const Results> infer(OpInfo& info, c10::ArrayRef<c10::IValue> arguments, c10::DeviceIndex device);
// Keeps what the server made of such arguments, where the meta kernel can't tell because it speaks for another kind of
// device: that depends on the arguments' metadata alone, so the server is asked once and not at every call.
void remember(OpInfo& info, c10::ArrayRef<c10::IValue> arguments, c10::DeviceIndex device, c10::ArrayRef<c10::IValue> results);
// What an out= op makes of outputs that are empty, in the order of its out= arguments.
std::shared_ptr<const Results> infer_outputs(OpInfo& info, c10::ArrayRef<c10::IValue> arguments, c10::DeviceIndex device);

}  // namespace skytorch
