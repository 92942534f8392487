#include "memory.h"

#include <skytorch_wire/stats.h>
#include <unistd.h>

#include <fstream>

#include "host_memory.h"

namespace skytorch {

using wire::Memory;

namespace {

// Free and total bytes. What the system can free at once (its page cache) counts as free.
std::vector<int64_t> host_memory() {
  int64_t page = sysconf(_SC_PAGESIZE), total = sysconf(_SC_PHYS_PAGES) * page, available = sysconf(_SC_AVPHYS_PAGES) * page;
  std::ifstream lines("/proc/meminfo");
  for (std::string name, rest; lines >> name; std::getline(lines, rest)) {
    int64_t kibibytes;
    if (name == "MemAvailable:" && lines >> kibibytes) available = kibibytes << 10;
  }
  return {available, total};
}

std::vector<int64_t> numbers(const c10::CachingDeviceAllocator::DeviceStats& stats) {
  std::vector<int64_t> list;
  wire::each_stat(stats, [&](int64_t number) { list.push_back(number); });
  return list;
}

}  // namespace

std::vector<int64_t> ask_memory(Store& store, c10::Device device, Memory asked) {
  c10::DeviceAllocator* allocator = device.is_cpu() ? nullptr : c10::getDeviceAllocator(device.type());
  switch (asked) {
    case Memory::kStats: return numbers(allocator ? allocator->getDeviceStats(device.index()) : store.host_stats());
    case Memory::kInfo: {
      if (!allocator) return host_memory();
      auto [free, total] = allocator->getMemoryInfo(device.index());
      return {static_cast<int64_t>(free), static_cast<int64_t>(total)};
    }
    case Memory::kResetPeak: allocator ? allocator->resetPeakStats(device.index()) : store.reset_host_stats(true); return {};
    case Memory::kResetAccumulated:
      allocator ? allocator->resetAccumulatedStats(device.index()) : store.reset_host_stats(false);
      return {};
    case Memory::kEmptyCache:
      allocator ? allocator->emptyCache() : release_host_memory();
      return {};
  }
  throw wire::Malformed("an unknown question about memory");
}

}  // namespace skytorch
