// How a frame is a protobuf message.
#pragma once

#include <cstdint>

namespace skytorch {

// Field numbers of StreamRequest in service.proto.
enum RequestField : uint32_t { kFirstSequence = 2, kRecords = 5 };

}  // namespace skytorch
