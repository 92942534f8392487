#include "parcels.h"

#include "interpreter.h"

namespace skytorch {

using wire::Malformed;

void Parcels::keep(uint64_t parcel, std::vector<SharedEntry> slots) {
  std::swap(by_record_[parcel], slots);
  release(std::move(slots));
}

void Parcels::keep_new(uint64_t parcel, std::vector<at::Tensor> slots) {
  std::vector<SharedEntry> made;
  for (at::Tensor& slot : slots) made.push_back(store_.make(std::move(slot)));
  keep(parcel, std::move(made));
}

SharedEntry Parcels::take(uint64_t parcel, uint64_t slot) {
  auto found = by_record_.find(parcel);
  if (found == by_record_.end()) throw Malformed("there is no parcel " + std::to_string(parcel));
  auto& slots = found->second;
  if (slot >= slots.size() || !slots[slot]) throw Malformed("parcel " + std::to_string(parcel) + " has nothing in slot " + std::to_string(slot));
  return std::exchange(slots[slot], {});
}

void Parcels::drop(uint64_t parcel) {
  auto found = by_record_.find(parcel);
  if (found == by_record_.end()) throw Malformed("there is no parcel " + std::to_string(parcel));
  release(std::move(found->second));
  by_record_.erase(found);
}

void Parcels::clear() {
  for (auto& [number, slots] : by_record_) release(std::move(slots));
  by_record_.clear();
}

void Parcels::release(std::vector<SharedEntry> slots) {
  for (auto& entry : slots)
    if (entry) store_.release(std::move(entry));
}

void Interpreter::adopt(wire::Reader& in) {
  uint64_t parcel = in.varint(), slot = in.varint(), id = in.varint();
  in.layout(layout_);
  if (store_.contains(id)) throw Malformed("storage " + std::to_string(id) + " exists already");
  SharedEntry entry = parcels_.take(parcel, slot);
  at::Tensor home;
  try {
    home = Store::view(*entry, layout_);
  } catch (...) {
    store_.release(std::move(entry));
    throw;
  }
  // A named object's storage has a home already, by which it may be in use under another number.
  bool named = entry->key;
  if (named && (home.sizes() != entry->home.sizes() || home.strides() != entry->home.strides() || home.dtype() != entry->home.dtype() ||
                home.storage_offset() != entry->home.storage_offset())) {
    store_.release(std::move(entry));
    throw Malformed("a storage of a named object keeps its home");
  }
  if (!named) entry->home = std::move(home);
  store_.adopt(id, std::move(entry));
}

}  // namespace skytorch
