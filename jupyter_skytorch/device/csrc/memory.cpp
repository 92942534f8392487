#include "memory.h"

#include <skytorch_wire/stats.h>

namespace skytorch {

using wire::Memory;

namespace {

void question(Sink::Entry& entry, const RemoteDevice& remote, Memory asked) {
  entry.out().varint(remote.slot);
  entry.out().tag(asked);
}

// Asks, waits, and has `take` take the numbers of the answer, one by one.
template <typename Take>
void ask(c10::DeviceIndex index, Memory asked, Take take) {
  const RemoteDevice& remote = remote_device(index);
  remote.sink->admit();
  Answer answer;
  uint64_t sequence;
  {
    Sink::Entry entry(*remote.sink, wire::Record::kMemory);
    question(entry, remote, asked);
    entry.expect(answer);
    sequence = entry.commit(true);
  }
  remote.sink->wait(answer, sequence);
  wire::Reader in(answer.data.data(), answer.data.size());
  in.count();
  take([&] {
    TORCH_CHECK(static_cast<wire::Value>(in.byte()) == wire::Value::kInt, "the server answered with something else than numbers");
    return in.zigzag();
  });
}

}  // namespace

c10::CachingDeviceAllocator::DeviceStats memory_stats(c10::DeviceIndex index) {
  c10::CachingDeviceAllocator::DeviceStats stats;
  ask(index, Memory::kStats, [&](auto next) { wire::each_stat(stats, [&](int64_t& number) { number = next(); }); });
  return stats;
}

std::pair<size_t, size_t> memory_info(c10::DeviceIndex index) {
  std::pair<size_t, size_t> info;
  ask(index, Memory::kInfo, [&](auto next) {
    info.first = static_cast<size_t>(next());
    info.second = static_cast<size_t>(next());
  });
  return info;
}

void tell_memory(c10::DeviceIndex index, Memory asked) {
  const RemoteDevice& remote = remote_device(index);
  remote.sink->admit();
  Sink::Entry entry(*remote.sink, wire::Record::kMemory);
  question(entry, remote, asked);
  entry.commit();
}

}  // namespace skytorch
