#include "parcels.h"

#include "interpreter.h"

namespace skytorch {

using wire::Malformed;

at::Tensor Parcels::take(uint64_t parcel, uint64_t slot) {
  auto found = by_record_.find(parcel);
  if (found == by_record_.end()) throw Malformed("there is no parcel " + std::to_string(parcel));
  auto& slots = found->second;
  if (slot >= slots.size() || !slots[slot].defined()) throw Malformed("parcel " + std::to_string(parcel) + " has nothing in slot " + std::to_string(slot));
  return std::exchange(slots[slot], {});
}

void Parcels::drop(uint64_t parcel) {
  if (!by_record_.erase(parcel)) throw Malformed("there is no parcel " + std::to_string(parcel));
}

void Interpreter::adopt(wire::Reader& in) {
  uint64_t parcel = in.varint(), slot = in.varint(), id = in.varint();
  in.layout(layout_);
  if (store_.contains(id)) throw Malformed("storage " + std::to_string(id) + " exists already");
  store_.put(id, Store::view(Entry{parcels_.take(parcel, slot)}, layout_));
}

}  // namespace skytorch
