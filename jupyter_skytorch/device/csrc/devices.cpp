#include "devices.h"

#include <c10/util/Exception.h>
#include <pthread.h>

#include <array>

namespace skytorch {

namespace {

std::mutex mutex;
std::array<RemoteDevice, kMaxDevices> devices;
std::atomic<int> opened{0};
std::unordered_map<Sink*, uint8_t> slots;
thread_local c10::DeviceIndex current = -1;
// What threads that never chose use: the newest device, or the one that was chosen for the process.
std::atomic<c10::DeviceIndex> chosen{0};
std::atomic<bool> forked{false};

}  // namespace

c10::DeviceIndex open_device(Sink& sink, const std::string& type, int64_t index) {
  std::lock_guard lock(mutex);
  int place = opened.load();
  TORCH_CHECK(place < kMaxDevices, "all ", kMaxDevices, " sky devices of this process were used: restart the kernel");
  uint8_t slot = slots[&sink]++;
  {
    Sink::Entry entry(sink, wire::Record::kDefineDevice);
    entry.out().varint(slot);
    entry.out().text(type);
    entry.out().varint(static_cast<uint64_t>(index));
    entry.commit();
  }
  devices[place] = {&sink, slot, type == "cuda"};
  opened.store(place + 1);
  return static_cast<c10::DeviceIndex>(place);
}

const RemoteDevice& remote_device(c10::DeviceIndex index) {
  if (index < 0) index = current_device();
  int count = opened.load(std::memory_order_acquire);
  TORCH_CHECK(count > 0, "there is no sky device yet: run %sky connect, or jupyter_skytorch.connect()");
  TORCH_CHECK(index < count, "sky:", static_cast<int>(index), " doesn't exist; there ", count == 1 ? "is " : "are ", count,
              " sky device", count == 1 ? "" : "s");
  if (__builtin_expect(forked.load(std::memory_order_relaxed), 0))
    devices[index].sink->admit();  // raises what is wrong with it
  return devices[index];
}

c10::DeviceIndex device_count() {
  int count = opened.load(std::memory_order_acquire);
  for (int i = 0; i < count; ++i)
    if (!devices[i].sink->stopped()) return static_cast<c10::DeviceIndex>(count);
  return 0;
}

c10::DeviceIndex current_device() { return current >= 0 ? current : chosen.load(std::memory_order_relaxed); }

void set_current_device(c10::DeviceIndex index) { current = index; }

void choose_device(c10::DeviceIndex index) {
  current = -1;
  chosen.store(index);
}

bool in_forked_child() { return forked.load(); }

namespace {

void each_sink(void (*use)(Sink&)) {
  for (auto& [sink, count] : slots) use(*sink);
}

void after_fork_in_child() {
  if (!slots.empty()) forked.store(true);
  lens.after_fork(true);
  each_sink([](Sink& sink) { sink.after_fork(true); });
  mutex.unlock();
}

}  // namespace

void watch_forks() {
  auto before = [] {
    mutex.lock();
    each_sink([](Sink& sink) { sink.before_fork(); });
    lens.before_fork();
  };
  auto after = [] {
    lens.after_fork(false);
    each_sink([](Sink& sink) { sink.after_fork(false); });
    mutex.unlock();
  };
  pthread_atfork(before, after, after_fork_in_child);
}

}  // namespace skytorch
