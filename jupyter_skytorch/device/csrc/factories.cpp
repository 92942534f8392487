#include "factories.h"

#include <ATen/EmptyTensor.h>
#include <torch/library.h>

namespace skytorch {

namespace {

constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

at::Tensor with_home(at::TensorBase&& tensor) {
  handle_of(tensor).set_home(*tensor.unsafeGetTensorImpl());
  return at::Tensor(std::move(tensor));
}

c10::DeviceIndex index_of(std::optional<c10::Device> device) {
  return device && device->index() >= 0 ? device->index() : current_device();
}

at::Tensor empty(c10::IntArrayRef size, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout> layout,
                 std::optional<c10::Device> device, std::optional<bool>, std::optional<c10::MemoryFormat> format) {
  TORCH_CHECK_NOT_IMPLEMENTED(!layout || *layout == c10::kStrided, "sky tensors are strided, not ", *layout);
  return with_home(at::detail::empty_generic(size, &allocator_of(index_of(device)), kKeys, c10::dtype_or_default(dtype), format));
}

at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<c10::ScalarType> dtype,
                         std::optional<c10::Layout> layout, std::optional<c10::Device> device, std::optional<bool>) {
  TORCH_CHECK_NOT_IMPLEMENTED(!layout || *layout == c10::kStrided, "sky tensors are strided, not ", *layout);
  return make_tensor(size, stride, c10::dtype_or_default(dtype), index_of(device));
}

// What autograd makes of a gradient that is known to be zero: PyTorch materialises it where it must, so that the server
// never hears of it.
at::Tensor zeros_without_memory(c10::IntArrayRef size, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>,
                                std::optional<c10::Device> device, std::optional<bool>) {
  return at::Tensor(at::detail::empty_generic(size, &allocator_of(index_of(device)), kKeys | c10::DispatchKeySet(c10::DispatchKey::ZeroTensor),
                                              c10::dtype_or_default(dtype), std::nullopt));
}

// There are no nested sky tensors: a transformer encoder is told that this batch is not one to make them of, and takes
// the padding as a mask.
bool is_left_aligned(const at::Tensor&, const at::Tensor&) { return false; }

}  // namespace

at::Tensor make_contiguous(c10::IntArrayRef sizes, c10::ScalarType dtype, c10::DeviceIndex device) {
  return with_home(at::detail::empty_generic(sizes, &allocator_of(device), kKeys, dtype, std::nullopt));
}

at::Tensor make_tensor(c10::IntArrayRef sizes, c10::IntArrayRef strides, c10::ScalarType dtype, c10::DeviceIndex device) {
  return with_home(at::detail::empty_strided_generic(sizes, strides, &allocator_of(device), kKeys, dtype));
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("_efficientzerotensor", zeros_without_memory);
  library.impl("empty.memory_format", empty);
  library.impl("empty_strided", empty_strided);
  library.impl("_nested_tensor_from_mask_left_aligned", is_left_aligned);
}

}  // namespace skytorch
