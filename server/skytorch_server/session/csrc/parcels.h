// What came out of a record and is the client's to take: storages that it has no numbers for yet.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "store.h"

namespace skytorch {

// Each is known by the sequence number of the record that it came out of, and kept until it is dropped. A slot is a storage.
class Parcels {
 public:
  explicit Parcels(Store& store) : store_(store) {}

  void keep(uint64_t parcel, std::vector<SharedEntry> slots);
  // Of new storages, each given as all of its bytes.
  void keep_new(uint64_t parcel, std::vector<at::Tensor> slots);
  // Takes a slot out; throws wire::Malformed when there is nothing.
  SharedEntry take(uint64_t parcel, uint64_t slot);
  // Throws wire::Malformed when there is no such parcel.
  void drop(uint64_t parcel);
  void clear();
  size_t size() const { return by_record_.size(); }

 private:
  void release(std::vector<SharedEntry> slots);

  Store& store_;
  std::unordered_map<uint64_t, std::vector<SharedEntry>> by_record_;
};

}  // namespace skytorch
