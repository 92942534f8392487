// The sky devices of this process: each index is one remote device of one session, and is never used twice.
#pragma once

#include <c10/core/Device.h>

#include "sink.h"

namespace skytorch {

// The autograd engine sizes its tables once, by what the guard reports, so there is a fixed number of indexes.
constexpr int kMaxDevices = 64;
constexpr c10::DeviceType kSky = c10::DeviceType::PrivateUse1;

struct RemoteDevice {
  Sink* sink = nullptr;  // never freed: tensors may outlive their session
  uint8_t slot = 0;      // the session's number for it
  bool is_cuda = false;
};

// Adds a device to the session and names it to the server; its index. Throws when all indexes are used up.
c10::DeviceIndex open_device(Sink& sink, const std::string& type, int64_t index);
// The remote device of an index; -1 is the current one. Throws when there is none.
const RemoteDevice& remote_device(c10::DeviceIndex index);
// How many indexes were handed out; 0 when no session of theirs lives.
c10::DeviceIndex device_count();

c10::DeviceIndex current_device();
void set_current_device(c10::DeviceIndex index);  // of this thread
void choose_device(c10::DeviceIndex index);       // of threads that never chose

// Whether this process was forked off one that has sky devices. The parent's streams are over here.
bool in_forked_child();
void watch_forks();

}  // namespace skytorch
