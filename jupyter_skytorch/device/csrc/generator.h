// Random generators of sky devices: the state is the server's, here is only a name for it.
#pragma once

#include <ATen/core/Generator.h>

#include "devices.h"

namespace skytorch {

uint64_t generator_id(const at::Generator& generator);
const at::Generator& default_generator(c10::DeviceIndex index);
at::Generator new_generator(c10::DeviceIndex index);

}  // namespace skytorch
