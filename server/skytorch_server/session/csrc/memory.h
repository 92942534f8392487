// What fills a device of the session, and how much room there is.
#pragma once

#include <skytorch_wire/format.h>

#include <vector>

#include "store.h"

namespace skytorch {

// Does what is asked; the numbers that are the answer, if it has one. Throws wire::Malformed for an unknown question.
std::vector<int64_t> ask_memory(Store& store, c10::Device device, wire::Memory asked);

}  // namespace skytorch
