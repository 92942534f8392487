// The order in which an allocator's numbers travel.
#pragma once

namespace skytorch::wire {

// Calls `visit` with each number of a c10::CachingDeviceAllocator::DeviceStats, which both ends walk the same way. What only
// some versions of torch count is left out.
template <typename Stats, typename Visit>
void each_stat(Stats& stats, Visit visit) {
  auto each = [&](auto& stat) {
    visit(stat.current);
    visit(stat.peak);
    visit(stat.allocated);
    visit(stat.freed);
  };
  for (auto* pools : {&stats.allocation, &stats.segment, &stats.active, &stats.inactive_split, &stats.allocated_bytes,
                      &stats.reserved_bytes, &stats.active_bytes, &stats.inactive_split_bytes, &stats.requested_bytes})
    for (auto& stat : *pools) each(stat);
  each(stats.oversize_allocations);
  each(stats.oversize_segments);
  visit(stats.num_alloc_retries);
  visit(stats.num_ooms);
  visit(stats.num_sync_all_streams);
  visit(stats.num_device_alloc);
  visit(stats.num_device_free);
  visit(stats.max_split_size);
}

}  // namespace skytorch::wire
