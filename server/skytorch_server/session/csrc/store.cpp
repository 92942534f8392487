#include "store.h"

#include <ATen/core/ATen_fwd.h>
#include <ATen/ops/empty.h>

namespace skytorch {

using wire::Malformed;

Entry& Store::at(uint64_t id) {
  auto found = entries_.find(id);
  if (found == entries_.end()) throw Malformed("storage " + std::to_string(id) + " is not in this session");
  return *found->second;
}

Entry& Store::put(uint64_t id, at::Tensor home) {
  auto [place, fresh] = entries_.try_emplace(id);
  if (!fresh) throw Malformed("storage " + std::to_string(id) + " exists already");
  place->second = make(std::move(home));
  return *place->second;
}

SharedEntry Store::make(at::Tensor home) {
  auto entry = std::make_shared<Entry>(std::move(home));
  count(*entry);
  return entry;
}

void Store::erase(uint64_t id) {
  at(id);
  auto found = entries_.find(id);
  release(std::move(found->second));
  entries_.erase(found);
}

void Store::adopt(uint64_t id, SharedEntry entry) {
  if (!entries_.try_emplace(id, std::move(entry)).second) throw Malformed("storage " + std::to_string(id) + " exists already");
}

void Store::release(SharedEntry entry) {
  if (entry.use_count() == 1) discount(*entry);
}

void Store::clear(uint64_t origin) {
  for (auto& [id, entry] : entries_) {
    if (entry->poisoned_by) entry->poisoned_by = origin;
    release(std::move(entry));
  }
  entries_.clear();
}

void Store::resize(uint64_t id, int64_t bytes) {
  Entry& entry = at(id);
  auto options = entry.home.options().dtype(c10::kByte);
  at::Tensor fresh = at::empty({bytes}, options);
  int64_t kept = std::min<int64_t>(bytes, static_cast<int64_t>(entry.home.storage().nbytes()));
  wire::Layout head;
  head.dtype = static_cast<uint8_t>(c10::kByte);
  head.dims = 1;
  head.sizes[0] = kept;
  head.strides[0] = 1;
  if (kept) fresh.narrow(0, 0, kept).copy_(view(entry, head));
  entry.home = std::move(fresh);
  count(entry);
}

bool Store::holds(c10::ScalarType type) {
  return type < c10::ScalarType::NumOptions && type != c10::ScalarType::Undefined && !c10::isQIntType(type) && !c10::isBitsType(type);
}

c10::ScalarType Store::dtype(uint8_t number) {
  auto type = static_cast<c10::ScalarType>(number);
  if (!holds(type))
    throw Malformed("dtype " + std::to_string(number) + " is not handled here");
  return type;
}

at::Tensor Store::view(const Entry& entry, const wire::Layout& layout) {
  auto type = caffe2::TypeMeta::fromScalarType(dtype(layout.dtype));
  int64_t extent_bytes;
  if (__builtin_mul_overflow(layout.extent(), static_cast<int64_t>(type.itemsize()), &extent_bytes) ||
      extent_bytes > static_cast<int64_t>(entry.home.storage().nbytes()))
    throw Malformed("a view reaches past the end of its storage");
  auto tensor = at::detail::make_tensor<c10::TensorImpl>(c10::Storage(entry.home.storage()), entry.home.key_set(), type);
  if (layout.conjugate && !tensor.is_complex()) throw Malformed("a conjugate view of numbers that aren't complex");
  tensor._set_conj(layout.conjugate);
  tensor._set_neg(layout.negative);
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides(c10::IntArrayRef(layout.sizes.data(), layout.dims),
                                                      c10::IntArrayRef(layout.strides.data(), layout.dims), layout.offset);
  return tensor;
}

void Store::count(Entry& entry) {
  uint64_t bytes = entry.home.storage().nbytes();
  bool in_host_memory = entry.home.is_cpu();
  if (bytes == entry.bytes && in_host_memory == entry.in_host_memory) return;
  discount(entry);
  entry.bytes = bytes;
  bytes_ += bytes;
  entry.in_host_memory = in_host_memory;
  if (!entry.in_host_memory) return;
  host_count_.increase(1);
  host_bytes_.increase(entry.bytes);
}

void Store::discount(const Entry& entry) {
  bytes_ -= entry.bytes;
  if (!entry.in_host_memory) return;
  host_count_.decrease(1);
  host_bytes_.decrease(entry.bytes);
}

c10::CachingDeviceAllocator::DeviceStats Store::host_stats() const {
  constexpr auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  c10::CachingDeviceAllocator::DeviceStats stats;
  stats.allocation[all] = stats.active[all] = host_count_;
  // There is no cache: what is reserved is what is allocated.
  stats.allocated_bytes[all] = stats.active_bytes[all] = stats.requested_bytes[all] = stats.reserved_bytes[all] = host_bytes_;
  return stats;
}

void Store::reset_host_stats(bool peak) {
  for (auto* stat : {&host_count_, &host_bytes_}) peak ? stat->reset_peak() : stat->reset_accumulated();
}

}  // namespace skytorch
