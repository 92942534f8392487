// Storages of sky tensors: a handle with an id, and an address that means nothing but is nobody else's.
#pragma once

#include <ATen/core/TensorBase.h>
#include <c10/core/Allocator.h>

#include "devices.h"

namespace skytorch {

struct Handle {
  Sink* sink;
  uint64_t id;  // on the wire, once announced
  c10::DeviceIndex index;
  uint8_t slot;
  bool announced = false;  // the server knows it
  // The contiguous view that the server knows it as ("home"), so that most tensors travel as an id alone.
  bool has_home = false;
  uint8_t dtype = 0, dims = 0;
  int64_t sizes[5];

  bool is_home(const c10::TensorImpl& tensor) const;
  void set_home(const c10::TensorImpl& tensor);
};

// The handle of a sky tensor's storage.
Handle& handle_of(const c10::TensorImpl& tensor);
inline Handle& handle_of(const at::TensorBase& tensor) { return handle_of(*tensor.unsafeGetTensorImpl()); }
Handle& handle_of(const c10::StorageImpl& storage);

c10::Allocator& allocator_of(c10::DeviceIndex index);
// Gives a storage another size, here and on the server.
void resize_storage(c10::StorageImpl& storage, size_t bytes);
void register_allocator();

}  // namespace skytorch
