// The session's storages, by the client's ids.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <skytorch_wire/reader.h>

#include <memory>
#include <unordered_map>
#include <vector>

namespace skytorch {

struct Entry : std::enable_shared_from_this<Entry> {
  explicit Entry(at::Tensor home) : home(std::move(home)) {}

  at::Tensor home;           // the view that the storage was allocated as
  uint64_t key = 0;          // by which clients know it again, once a named object holds it
  uint64_t poisoned_by = 0;  // the record that should have written it and failed; 0: good
  uint64_t bytes = 0;        // as counted by the store
  bool in_host_memory = false;  // counted so
};

// Several numbers, and named objects, may stand for one entry.
using SharedEntry = std::shared_ptr<Entry>;

class Store {
 public:
  // The entry of a storage; throws wire::Malformed when the id isn't this session's.
  Entry& at(uint64_t id);
  Entry& put(uint64_t id, at::Tensor home);
  void erase(uint64_t id);
  // An entry without a number.
  SharedEntry make(at::Tensor home);
  // Gives an entry one more number.
  void adopt(uint64_t id, SharedEntry entry);
  // Who has held an entry beside its numbers holds it no longer.
  void release(SharedEntry entry);
  // Erases every number. What is poisoned and still held is so by `origin` from now on.
  void clear(uint64_t origin);
  // Gives the storage another size, keeping the bytes that fit.
  void resize(uint64_t id, int64_t bytes);

  // A tensor of `layout` in the storage; throws wire::Malformed when it doesn't fit.
  static at::Tensor view(const Entry& entry, const wire::Layout& layout);
  // Whether tensors of this dtype travel.
  static bool holds(c10::ScalarType type);
  // Throws wire::Malformed for numbers that name no dtype that this server handles.
  static c10::ScalarType dtype(uint8_t number);

  // Takes in that an op may have resized the storage.
  void count(Entry& entry);

  size_t size() const { return entries_.size(); }
  bool contains(uint64_t id) const { return entries_.contains(id); }
  uint64_t bytes() const { return bytes_; }
  // What the storages on the CPU take, as an allocator would count them: torch's own for the CPU counts nothing.
  c10::CachingDeviceAllocator::DeviceStats host_stats() const;
  void reset_host_stats(bool peak);

 private:
  void discount(const Entry& entry);

  std::unordered_map<uint64_t, SharedEntry> entries_;
  uint64_t bytes_ = 0;
  c10::CachingAllocator::Stat host_count_, host_bytes_;
};

}  // namespace skytorch
