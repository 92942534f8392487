// What a session may take of its machine's memory, and what is said where it would take more.
#pragma once

#include <cstddef>
#include <string>

namespace skytorch {

// From now on each device's tensors take so many bytes at most.
void limit_memory(size_t bytes);
// Applies it to a CUDA device, when the session first names it.
void limit_cuda_memory(int index);
// Throws torch's OutOfMemoryError.
[[noreturn]] void refuse_allocation(size_t bytes, size_t held);
// What an OutOfMemoryError's message is to say too, where there is a limit.
std::string limit_advice();

}  // namespace skytorch
