// Making sky tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include "storage.h"

namespace skytorch {

// A tensor of its own storage; the server hears of it when it is first used.
at::Tensor make_contiguous(c10::IntArrayRef sizes, c10::ScalarType dtype, c10::DeviceIndex device);
at::Tensor make_tensor(c10::IntArrayRef sizes, c10::IntArrayRef strides, c10::ScalarType dtype, c10::DeviceIndex device);

}  // namespace skytorch
