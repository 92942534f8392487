// What the server says of a sky device's memory.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>

#include "devices.h"

namespace skytorch {

// Each takes its place in the log. Those that return something cost a round trip.
c10::CachingDeviceAllocator::DeviceStats memory_stats(c10::DeviceIndex index);
std::pair<size_t, size_t> memory_info(c10::DeviceIndex index);  // free, total
void tell_memory(c10::DeviceIndex index, wire::Memory asked);

}  // namespace skytorch
