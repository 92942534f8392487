// Memory of large tensors on the CPU, kept for the next one that needs as much.
#pragma once

namespace skytorch {

// Has torch allocate on the CPU through this from now on. The kernel clears every page that it hands out, which takes longer
// than writing to it; CUDA's allocator keeps memory for the like reason.
void keep_host_memory();
// Gives back what is kept: the session does nothing at the moment, or its user said so.
void release_host_memory();

}  // namespace skytorch
