// Reads that are known to come, asked for at once.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace skytorch {

// Reads the storages of sky tensors in one round trip, for the reads that this thread makes until `end_read_ahead`.
void read_ahead(const std::vector<at::Tensor>& tensors);
void end_read_ahead();
// Fills `target`, contiguous and on the CPU, with the elements of `source` if they were read ahead and no op has run since.
bool was_read_ahead(const at::Tensor& source, const at::Tensor& target);
// A storage that is written without an op.
void forget_read_ahead(const at::Tensor& written);

}  // namespace skytorch
