// Memory of large tensors on the CPU, kept for the next one that needs as much.
#pragma once

#include <cstddef>

namespace skytorch {

// Has torch allocate on the CPU through this from now on. The kernel clears every page that it hands out, which takes longer
// than writing to it; CUDA's allocator keeps memory for the like reason.
void keep_host_memory();
// Gives back what is kept: the session does nothing at the moment, or its user said so.
void release_host_memory();

// From now on the tensors on the CPU of this process, those inside of ops too, take so many bytes at most: an allocation that
// would take them over fails with torch's OutOfMemoryError.
void limit_host_memory(size_t bytes);
// What fails where no record can, is never refused while this lives; it counts all the same.
class Unlimited {
 public:
  Unlimited();
  ~Unlimited();
  Unlimited(const Unlimited&) = delete;
  Unlimited& operator=(const Unlimited&) = delete;
};

}  // namespace skytorch
