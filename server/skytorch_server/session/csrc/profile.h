// What the records of a session cost while its client profiles it: by op and line, and one by one, a bounded number.
//
// A CPU op is timed by the clock around it. An op of another device returns before it has run, so its time is taken by two
// events in the device's stream, which are looked at later: nothing waits for the device, unless thousands of ops behind.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <skytorch_wire/writer.h>

#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

namespace skytorch {

class Profile {
 public:
  // Keeps the first `max_events` events; the sums are of all.
  explicit Profile(uint64_t max_events) : max_events_(max_events) {}

  static uint64_t now();

  // Around the kernel of an op that works on `tensor`.
  void kernel_begins(const at::Tensor& tensor);
  void kernel_ends();
  // A record was executed. `name` is kept by the caller as long as the profile lives.
  void record(const std::string& name, int64_t cell, int64_t line, uint64_t began, uint64_t ended);
  // Waits for the devices' events, and writes everything.
  void write(wire::Writer& out);

 private:
  struct Key {
    const std::string* name;
    int64_t cell, line;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const {
      return std::hash<const void*>()(key.name) ^ (static_cast<size_t>(key.line) * 0x9e3779b97f4a7c15ull) ^ (static_cast<size_t>(key.cell) << 17);
    }
  };
  struct Sum {
    Key key;
    uint64_t count = 0, host = 0, device = 0;  // ns
  };
  struct Event {
    uint64_t sum, began, host, device_began = 0, device = 0;  // ns; device_began is on this process's clock
  };
  // Two events in a stream; what lies between is the time of the record that noted them.
  struct Kernel {
    c10::Event began, ended;
    uint64_t sum, event;  // event: kNoEvent for one that isn't kept
  };
  // A moment by both clocks.
  struct Anchor {
    c10::Event event;
    uint64_t time;
  };
  static constexpr uint64_t kNoEvent = UINT64_MAX;
  static constexpr size_t kMaxSums = 1 << 16, kMaxKernels = 4096;

  uint64_t sum_of(const Key& key);
  void settle(size_t remaining);

  const uint64_t max_events_;
  std::unordered_map<Key, uint64_t, KeyHash> index_;
  std::vector<Sum> sums_;
  std::vector<Event> events_;
  uint64_t dropped_ = 0;
  std::vector<Kernel> current_;  // of the record that is executed
  std::deque<Kernel> kernels_;   // not looked at yet
  std::unordered_map<c10::Device, Anchor> anchors_;
};

}  // namespace skytorch
