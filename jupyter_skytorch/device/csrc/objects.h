// Objects that the session keeps by a name.
#pragma once

#include "sink.h"

namespace at {
class Tensor;
}

namespace skytorch {

// Has the server keep the tensors' storages under the name, with the pickle that says what they are parts of. Answers with
// what the server replies.
std::string save_object(Sink& sink, std::string_view name, std::string_view pickle, const std::vector<at::Tensor>& tensors);

}  // namespace skytorch
