// Shape rules of our own, for the ops of everyday networks that PyTorch has no quick answer for: its meta kernels for
// these are Python, cost up to 1 ms a call and 3 s of imports at the first. A rule speaks only for the plain case
// (contiguous, one floating type) and leaves all else to the meta kernel. The server checks what they say.
#pragma once

#include <optional>

#include "metadata.h"

namespace skytorch {

// Whether it is a sky tensor that lies in memory as it reads.
bool is_plain(const c10::TensorImpl& tensor);
// What the op returns, or what its out= arguments get; nothing when no rule applies.
std::optional<Results> shape_by_rule(const OpInfo& info, c10::ArrayRef<c10::IValue> arguments);

}  // namespace skytorch
