#include "encoder.h"

#include <ATen/EmptyTensor.h>

#include "generator.h"

namespace skytorch {

using c10::IValue;
using wire::Value;

Encoder::~Encoder() {
  for (Handle* handle : introduced_) {
    handle->announced = false;
    entry_.withdraw_storage(handle->id);
  }
}

uint64_t Encoder::commit(bool urgent) {
  introduced_.clear();
  return entry_.commit(urgent);
}

void Encoder::announce(Handle& handle) {
  handle.announced = true;
  handle.id = entry_.new_storage();
  introduced_.push_back(&handle);
}

void Encoder::layout(const c10::TensorImpl& tensor) {
  auto type = static_cast<uint8_t>(c10::typeMetaToScalarType(tensor.dtype()));
  if (tensor.is_conj()) type |= wire::kLayoutConjugate;
  if (tensor.is_neg()) type |= wire::kLayoutNegative;
  out().layout(type, tensor.sizes(), tensor.strides(), tensor.is_contiguous(), tensor.storage_offset());
}

// PyTorch makes views that the server would take for an attack: unchecked ones, and those whose storage has shrunk.
void check_layout(const c10::TensorImpl& tensor) {
  auto type = c10::typeMetaToScalarType(tensor.dtype());
  TORCH_CHECK_NOT_IMPLEMENTED(!c10::isQIntType(type) && !c10::isBitsType(type), "sky tensors can't be of type ", type);
  TORCH_CHECK(static_cast<uint64_t>(tensor.dim()) <= wire::kMaxDims, "sky tensors can have ", wire::kMaxDims, " dimensions, not ", tensor.dim());
  // Others are as large as their storage at most.
  int64_t product = 1;
  bool too_large = false;
  if (tensor.numel() == 0)
    for (int64_t size : tensor.sizes()) too_large = too_large || __builtin_mul_overflow(product, std::max<int64_t>(size, 1), &product);
  TORCH_CHECK(!too_large, "sky tensors can't be of sizes ", tensor.sizes(), ": their product overflows");
  size_t bytes = tensor.unsafe_storage().nbytes(), reach;
  if (tensor.is_contiguous() && tensor.storage_offset() == 0) reach = static_cast<size_t>(tensor.numel()) * tensor.itemsize();
  else reach = at::detail::computeStorageNbytes(tensor.sizes(), tensor.strides(), tensor.itemsize(), tensor.storage_offset());
  TORCH_CHECK(reach <= bytes, "a tensor of sizes ", tensor.sizes(), ", strides ", tensor.strides(), " and storage offset ", tensor.storage_offset(),
              " is out of bounds for its storage of ", bytes, " bytes");
}

void Encoder::host_scalar(const at::Tensor& tensor) {
  out().tag(Value::kHostTensor);
  out().byte(static_cast<uint8_t>(tensor.scalar_type()));
  out().byte(0);  // no dimensions
  out().byte(tensor.unsafeGetTensorImpl()->is_wrapped_number());
  out().varint(tensor.element_size());
  out().raw(tensor.const_data_ptr(), tensor.element_size());
}

void Encoder::tensor(const at::Tensor& tensor) {
  if (!tensor.defined()) return out().tag(Value::kNone);
  const c10::TensorImpl& impl = *tensor.unsafeGetTensorImpl();
  if (impl.device_type() != kSky) {
    TORCH_CHECK(tensor.is_cpu() && tensor.dim() == 0, "Expected all tensors to be on the same device, but found at least two devices, sky and ",
                tensor.device(), "!");
    return host_scalar(tensor);
  }
  Handle& handle = handle_of(impl);
  TORCH_CHECK(handle.sink == &sink_, "Expected all tensors to be on the same device, but found sky devices of two Computes");
  if (!handle.announced) {
    out().tag(Value::kTensorNew);
    allocation(tensor);
  } else if (handle.is_home(impl)) {
    out().tag(Value::kTensorHome);
    out().varint(handle.id);
  } else {
    check_layout(impl);
    out().tag(Value::kTensorView);
    out().varint(handle.id);
    layout(impl);
  }
}

void Encoder::allocation(const at::Tensor& tensor) {
  const c10::TensorImpl& impl = *tensor.unsafeGetTensorImpl();
  Handle& handle = handle_of(impl);
  check_layout(impl);
  announce(handle);
  if (!handle.is_home(impl)) handle.set_home(impl);
  out().varint(handle.id);
  out().varint(handle.slot);
  out().varint(impl.unsafe_storage().nbytes());
  layout(impl);
}

void Encoder::output(const at::Tensor& tensor) {
  const c10::TensorImpl& impl = *tensor.unsafeGetTensorImpl();
  Handle& handle = handle_of(impl);
  announce(handle);
  handle.set_home(impl);
  out().tag(wire::Output::kTensor);
  out().varint(handle.id);
  layout(impl);
}

void Encoder::generator(const at::Generator& generator) {
  TORCH_CHECK(generator.device().type() == kSky, "Expected a 'sky' device type for generator but found '", generator.device().type(), "'");
  out().varint(generator_id(generator));
  out().varint(remote_device(generator.device().index()).slot);
}

void Encoder::value(const IValue& value) {
  auto list = [&](Value tag, const auto& items, auto&& put) {
    TORCH_CHECK(items.size() <= wire::kMaxListItems, "a list of ", items.size(), " items can't be sent to a sky device, only of ", wire::kMaxListItems);
    out().tag(tag);
    out().varint(items.size());
    for (const auto& item : items) put(item);
  };
  if (value.isTensor()) return tensor(value.toTensor());
  if (value.isNone()) return out().tag(Value::kNone);
  if (value.isInt()) {
    out().tag(Value::kInt);
    return out().zigzag(value.toInt());
  }
  if (value.isBool()) return out().tag(value.toBool() ? Value::kTrue : Value::kFalse);
  if (value.isDouble()) {
    out().tag(Value::kDouble);
    return out().real(value.toDouble());
  }
  if (value.isIntList()) return list(Value::kIntList, value.toIntVector(), [&](int64_t item) { out().zigzag(item); });
  // Holds what SymInt has no room for: numbers far below zero.
  if (value.isSymIntList())
    return list(Value::kIntList, value.toListRef(), [&](const IValue& item) { out().zigzag(item.toSymInt().guard_int(__FILE__, __LINE__)); });
  if (value.isTensorList()) return list(Value::kTensorList, value.toListRef(), [&](const IValue& item) { tensor(item.toTensor()); });
  if (value.isOptionalTensorList())
    return list(Value::kOptionalTensorList, value.toListRef(), [&](const IValue& item) { this->value(item); });
  if (value.isBoolList()) return list(Value::kBoolList, value.toBoolList(), [&](bool item) { out().byte(item); });
  if (value.isDoubleList()) return list(Value::kDoubleList, value.toDoubleVector(), [&](double item) { out().real(item); });
  if (value.isList()) return list(Value::kScalarList, value.toListRef(), [&](const IValue& item) { this->value(item); });
  if (value.isDevice()) {
    out().tag(Value::kDevice);
    return out().varint(remote_device(value.toDevice().index()).slot);
  }
  if (value.isString()) {
    TORCH_CHECK(value.toStringRef().size() <= wire::kMaxTextBytes, "a text of ", value.toStringRef().size(), " bytes can't be sent to a sky device");
    out().tag(Value::kString);
    return out().text(value.toStringRef());
  }
  if (value.isComplexDouble()) {
    auto number = value.toComplexDouble();
    out().tag(Value::kComplex);
    out().real(number.real());
    return out().real(number.imag());
  }
  if (value.isGenerator()) {
    if (!value.toGenerator().defined()) return out().tag(Value::kNone);
    out().tag(Value::kGenerator);
    return generator(value.toGenerator());
  }
  if (value.isSymInt()) {
    out().tag(Value::kInt);
    return out().zigzag(value.toSymInt().guard_int(__FILE__, __LINE__));
  }
  TORCH_CHECK_NOT_IMPLEMENTED(false, "an argument of type ", value.tagKind(), " can't be sent to a sky device");
}

}  // namespace skytorch
