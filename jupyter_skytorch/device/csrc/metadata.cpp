#include "metadata.h"

#include <ATen/EmptyTensor.h>

#include <bit>
#include <memory>
#include <shared_mutex>

#include "devices.h"
#include "shapes.h"

namespace skytorch {

using c10::IValue;

// In python_errors.cpp: whether the exception being handled says that there is no such kernel.
bool is_not_implemented();

namespace {

constexpr size_t kCacheEntries = 16384;

// The part of the arguments that the results' metadata can depend on, as bytes.
class Signature {
 public:
  explicit Signature(std::string& key) : key_(key) { key_.clear(); }

  void number(int64_t value) { key_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void tag(char value) { key_.push_back(value); }
  void tensor(const at::Tensor& tensor) {
    if (!tensor.defined()) return tag('u');
    const auto& impl = *tensor.unsafeGetTensorImpl();
    tag(impl.device_type() == kSky ? 't' : 'c');
    tag(static_cast<char>(static_cast<int>(c10::typeMetaToScalarType(impl.dtype())) | impl.is_conj() << 6 | impl.is_neg() << 7));
    tag(static_cast<char>(impl.dim() | (impl.is_wrapped_number() ? 0x80 : 0)));
    for (int64_t size : impl.sizes()) number(size);
    if (impl.is_contiguous()) return;
    tag('s');
    for (int64_t stride : impl.strides()) number(stride);
  }
  void value(const IValue& value, bool value_free) {
    if (value.isTensor()) return tensor(value.toTensor());
    if (value.isNone()) return tag('n');
    if (value.isInt()) {
      tag('i');
      if (!value_free) number(value.toInt());
      return;
    }
    if (value.isBool()) return tag(value_free ? 'b' : value.toBool() ? 'T' : 'F');
    if (value.isDouble()) {
      tag('d');
      if (!value_free) number(std::bit_cast<int64_t>(value.toDouble()));
      return;
    }
    if (value.isComplexDouble()) return tag('z');
    if (value.isList()) {
      auto items = value.toListRef();
      tag('[');
      number(static_cast<int64_t>(items.size()));
      for (const auto& item : items) this->value(item, value_free);
      return;
    }
    if (value.isString()) {
      tag('"');
      number(static_cast<int64_t>(value.toStringRef().size()));
      key_ += value.toStringRef();
      return;
    }
    tag('?');  // devices and generators
  }

 private:
  std::string& key_;
};

at::Tensor to_meta(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.device().type() != kSky) return tensor;
  at::Tensor meta(at::detail::empty_strided_meta(tensor.sizes(), tensor.strides(), tensor.scalar_type()));
  meta._set_conj(tensor.is_conj());
  meta._set_neg(tensor.is_neg());
  return meta;
}

IValue to_meta(const IValue& value) {
  if (value.isTensor()) return to_meta(value.toTensor());
  if (value.isTensorList()) {
    c10::List<at::Tensor> list;
    for (const auto& item : value.toListRef()) list.push_back(to_meta(item.toTensor()));
    return list;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> list;
    for (const auto& item : value.toListRef())
      list.push_back(item.isNone() ? std::optional<at::Tensor>() : std::optional<at::Tensor>(to_meta(item.toTensor())));
    return list;
  }
  if (value.isDevice()) return c10::Device(c10::kMeta);
  if (value.isGenerator()) return IValue();
  return value;
}

Metadata describe(const IValue& value) {
  Metadata result;
  if (value.isTensor() && value.toTensor().defined()) {
    const auto& tensor = value.toTensor();
    result = {Metadata::Kind::kTensor, tensor.scalar_type(), c10::DimVector(tensor.sizes()), c10::DimVector(tensor.strides()), {}};
  } else if (value.isTensorList()) {
    result.kind = Metadata::Kind::kList;
    for (const auto& item : value.toListRef()) result.items.push_back(describe(item));
  }
  return result;
}

// Whether the op has a meta kernel for such arguments, and ran it.
bool run_meta(const c10::OperatorHandle& op, torch::jit::Stack& stack) {
  try {
    op.callBoxed(stack);
    return true;
  } catch (...) {
    if (is_not_implemented()) return false;
    throw;
  }
}

std::shared_ptr<const Results> describe_all(c10::ArrayRef<IValue> values) {
  auto results = std::make_shared<Results>();
  for (const auto& value : values) results->push_back(describe(value));
  return results;
}

// What is known already, by op, kind of device and the arguments' metadata.
std::unordered_map<std::string, std::shared_ptr<const Results>> known;
std::shared_mutex known_mutex;

bool meta_tells(const OpInfo& info, c10::DeviceIndex device) { return !info.cuda_metadata || remote_device(device).is_cuda; }

void make_key(std::string& key, OpInfo& info, c10::ArrayRef<IValue> arguments, c10::DeviceIndex device) {
  Signature signature(key);
  signature.number(info.index);
  signature.tag(meta_tells(info, device));
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (!info.is_output[i]) signature.value(arguments[i], info.value_free[i]);
    else if (arguments[i].isTensor()) signature.number(static_cast<int64_t>(arguments[i].toTensor().scalar_type()));
  }
}

void keep(const std::string& key, std::shared_ptr<const Results> results) {
  std::unique_lock lock(known_mutex);
  if (known.size() >= kCacheEntries) known.clear();
  known[key] = std::move(results);
}

template <typename Run>
std::shared_ptr<const Results> cached(OpInfo& info, c10::ArrayRef<IValue> arguments, c10::DeviceIndex device, Run run) {
  thread_local std::string key;
  make_key(key, info, arguments, device);
  {
    std::shared_lock lock(known_mutex);
    auto found = known.find(key);
    if (found != known.end()) return found->second;
  }
  std::string own_key = key;  // running a meta kernel may come back here
  std::shared_ptr<const Results> results;
  if (auto ruled = shape_by_rule(info, arguments)) results = std::make_shared<Results>(std::move(*ruled));
  else if (meta_tells(info, device)) results = run();
  keep(own_key, results);
  return results;
}

}  // namespace

std::shared_ptr<const Results> infer(OpInfo& info, c10::ArrayRef<IValue> arguments, c10::DeviceIndex device) {
  return cached(info, arguments, device, [&] {
    torch::jit::Stack stack;
    for (const auto& argument : arguments) stack.push_back(to_meta(argument));
    return run_meta(info.handle, stack) ? describe_all(stack) : nullptr;
  });
}

void remember(OpInfo& info, c10::ArrayRef<IValue> arguments, c10::DeviceIndex device, c10::ArrayRef<IValue> results) {
  if (meta_tells(info, device)) return;
  std::string key;
  make_key(key, info, arguments, device);
  keep(key, describe_all(results));
}

std::shared_ptr<const Results> infer_outputs(OpInfo& info, c10::ArrayRef<IValue> arguments, c10::DeviceIndex device) {
  return cached(info, arguments, device, [&] {
    // Some meta kernels leave the output as it is: this is the shape to know that by.
    constexpr std::array<int64_t, 2> kUntouched{0, 0};
    torch::jit::Stack stack;
    std::vector<IValue> outputs;
    for (size_t i = 0; i < arguments.size(); ++i) {
      bool empty = info.is_output[i] && arguments[i].isTensor();
      stack.push_back(empty ? at::Tensor(at::detail::empty_meta(kUntouched, arguments[i].toTensor().scalar_type())) : to_meta(arguments[i]));
      if (info.is_output[i]) outputs.push_back(stack.back());
    }
    std::shared_ptr<const Results> unknown;
    if (!run_meta(info.handle, stack)) return unknown;
    for (const auto& output : outputs)
      if (output.isTensor() && output.toTensor().sizes() == c10::IntArrayRef(kUntouched)) return unknown;
    return describe_all(outputs);
  });
}

}  // namespace skytorch
