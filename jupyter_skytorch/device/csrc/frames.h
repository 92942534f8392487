// How a frame is a protobuf message.
#pragma once

#include <cstddef>
#include <cstdint>

namespace skytorch {

// Field numbers of StreamRequest in service.proto.
enum RequestField : uint32_t { kFirstSequence = 2, kRepliesReceived = 3, kRecords = 5 };

constexpr size_t kFrameBytes = 256 << 10;   // of ops
constexpr size_t kQueueBytes = 32 << 20;    // wait to be sent
constexpr size_t kKeptBytes = 128 << 20;    // and are kept until they are executed, those that wait included

}  // namespace skytorch
