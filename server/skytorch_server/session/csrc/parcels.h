// What came out of a record and is the client's to take: storages that it has no numbers for yet.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace skytorch {

// Each is known by the sequence number of the record that it came out of, and kept until it is dropped. A slot is a
// storage, given as all of its bytes.
class Parcels {
 public:
  void keep(uint64_t parcel, std::vector<at::Tensor> slots) { by_record_[parcel] = std::move(slots); }
  // Takes a slot out; throws wire::Malformed when there is nothing.
  at::Tensor take(uint64_t parcel, uint64_t slot);
  // Throws wire::Malformed when there is no such parcel.
  void drop(uint64_t parcel);

 private:
  std::unordered_map<uint64_t, std::vector<at::Tensor>> by_record_;
};

}  // namespace skytorch
