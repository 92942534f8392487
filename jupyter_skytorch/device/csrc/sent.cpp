#include "sent.h"

#include <algorithm>
#include <string_view>

namespace skytorch {

namespace {

constexpr size_t kMostItems = 256;
constexpr size_t kSamples = 256, kSampleBytes = 64;

// Of pieces that lie evenly over the data, its ends among them. At least kSampleBytes of data.
uint64_t sample(const char* data, size_t bytes) {
  uint64_t hash = 0;
  size_t last = bytes - kSampleBytes;
  for (size_t i = 0; i < kSamples; ++i) {
    size_t at = last / (kSamples - 1) * i;
    if (i + 1 == kSamples) at = last;
    hash = hash * 0x9e3779b97f4a7c15ull + std::hash<std::string_view>()({data + at, kSampleBytes});
  }
  return hash;
}

}  // namespace

void Sent::remember(const char* data, size_t bytes, Place place) {
  uint64_t found = sample(data, bytes);
  forget(place);
  std::lock_guard lock(mutex_);
  items_.push_back({found, bytes, place});
  if (items_.size() > kMostItems) items_.pop_front();
}

std::optional<Sent::Place> Sent::find(const char* data, size_t bytes) {
  {
    std::lock_guard lock(mutex_);
    if (std::none_of(items_.begin(), items_.end(), [&](const Item& item) { return item.bytes == bytes; })) return {};
  }
  uint64_t wanted = sample(data, bytes);
  std::lock_guard lock(mutex_);
  auto found = std::find_if(items_.rbegin(), items_.rend(), [&](const Item& item) { return item.bytes == bytes && item.sample == wanted; });
  if (found == items_.rend()) return {};
  return found->place;
}

void Sent::forget(Place place) {
  std::lock_guard lock(mutex_);
  std::erase_if(items_, [&](const Item& item) { return item.place.storage == place.storage && item.place.offset == place.offset; });
}

}  // namespace skytorch
