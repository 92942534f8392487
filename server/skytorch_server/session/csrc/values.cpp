#include "values.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/EmptyTensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "host_memory.h"
#include "memory_limit.h"

namespace skytorch {

using c10::IValue;
using wire::Malformed;
using wire::Reader;
using wire::Value;

void Devices::define(uint64_t slot, std::string_view type, int64_t index) {
  if (slot >= by_slot_.size()) throw Malformed("device slot " + std::to_string(slot) + " is out of range");
  c10::Device device(c10::kCPU);
  if (type == "cuda") {
    if (!at::hasCUDA() || index >= at::globalContext().getAcceleratorHooksInterface(c10::kCUDA).deviceCount())
      throw Malformed("there is no device cuda:" + std::to_string(index) + " here");
    at::globalContext().lazyInitDevice(c10::kCUDA);
    limit_cuda_memory(static_cast<int>(index));
    device = c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
  } else if (type != "cpu") {
    throw Malformed("device type " + std::string(type) + " is not known here");
  }
  if (by_slot_[slot] && *by_slot_[slot] != device) throw Malformed("device slot " + std::to_string(slot) + " is another device");
  by_slot_[slot] = device;
}

c10::Device Devices::at(uint64_t slot) const {
  if (slot >= by_slot_.size() || !by_slot_[slot]) throw Malformed("device slot " + std::to_string(slot) + " was never defined");
  return *by_slot_[slot];
}

void Devices::synchronize() const {
  for (const auto& device : by_slot_)
    if (device && !device->is_cpu()) c10::impl::VirtualGuardImpl(device->type()).synchronizeDevice(device->index());
}

at::Generator Generators::get(uint64_t id, c10::Device device) {
  if (id == 0) return at::globalContext().defaultGenerator(device);
  auto& generator = by_id_[id];
  if (!generator.defined())
    generator = device.is_cpu() ? at::make_generator<at::CPUGeneratorImpl>()
                                : at::globalContext().getAcceleratorHooksInterface(device.type()).getNewGenerator(device.index());
  if (generator.device().type() != device.type()) throw Malformed("a generator of another device");
  return generator;
}

at::Tensor allocate(const wire::Layout& layout, uint64_t bytes, c10::Device device) {
  auto type = Store::dtype(layout.dtype);
  auto item = static_cast<int64_t>(c10::elementSize(type));
  int64_t extent;
  if (__builtin_mul_overflow(layout.extent(), item, &extent) || static_cast<uint64_t>(extent) > bytes || bytes > INT64_MAX)
    throw Malformed("a view reaches past the end of its storage");
  at::TensorOptions options = at::TensorOptions().dtype(type).device(device);
  c10::IntArrayRef sizes(layout.sizes.data(), layout.dims), strides(layout.strides.data(), layout.dims);
  if (static_cast<uint64_t>(extent) == bytes) return at::empty_strided(sizes, strides, options);
  // A storage with more room than its first view: padding, or the tail of a resized one.
  auto whole = at::empty({static_cast<int64_t>(bytes)}, options.dtype(c10::kByte));
  return Store::view(Entry{whole}, layout);
}

wire::Layout bytes_layout(int64_t offset, int64_t size) {
  wire::Layout layout;
  layout.dtype = static_cast<uint8_t>(c10::kByte);
  layout.dims = 1;
  layout.offset = offset;
  layout.sizes[0] = size;
  layout.strides[0] = 1;
  return layout;
}

at::Tensor placeholder(const wire::Layout& layout) {
  return at::empty_strided(c10::IntArrayRef(layout.sizes.data(), layout.dims), c10::IntArrayRef(layout.strides.data(), layout.dims),
                           at::TensorOptions().dtype(Store::dtype(layout.dtype)).device(c10::kMeta));
}

at::Tensor Values::host_tensor(Reader& in) {
  wire::Layout layout;
  in.layout(layout);
  bool wrapped = in.byte() != 0;
  auto type = Store::dtype(layout.dtype);
  if (!layout.contiguous || layout.offset) throw Malformed("a tensor given by value is contiguous");
  std::string_view data = in.text(wire::kMaxHostTensorBytes);
  if (static_cast<uint64_t>(layout.numel()) > wire::kMaxHostTensorBytes ||
      data.size() != static_cast<uint64_t>(layout.numel()) * c10::elementSize(type))
    throw Malformed("a tensor given by value has another size than its data");
  Unlimited unlimited;
  at::Tensor tensor(at::detail::empty_cpu(c10::IntArrayRef(layout.sizes.data(), layout.dims), type));
  if (!data.empty()) std::memcpy(tensor.mutable_data_ptr(), data.data(), data.size());
  if (wrapped && layout.dims == 0) tensor.unsafeGetTensorImpl()->set_wrapped_number(true);
  return tensor;
}

namespace {

void touch_home(Touched& touched, Entry& entry, Access access, bool fresh) {
  bool whole = entry.home.nbytes() == entry.bytes;
  touched.items.push_back({&entry, access, fresh, whole, true, {}, {}, false});
  if (access == Access::kOverwrite) touched.items.back().sizes = entry.home.sizes();
}

}  // namespace

at::Tensor Values::tensor(Reader& in, Value tag, Access access, Touched& touched) {
  if (tag == Value::kHostTensor) {
    if (access != Access::kRead) throw Malformed("a tensor given by value can't be written");
    return host_tensor(in);
  }
  uint64_t id = in.varint();
  switch (tag) {
    case Value::kTensorHome: {
      Entry& entry = store_.at(id);
      touch_home(touched, entry, access, false);
      return entry.home;
    }
    case Value::kTensorView: {
      Entry& entry = store_.at(id);
      in.layout(layout_);
      auto view = Store::view(entry, layout_);
      touched.items.push_back({&entry, access, false, view.nbytes() == entry.home.storage().nbytes(), false, {}, {}, layout_.conjugate});
      if (access == Access::kOverwrite) touched.items.back().output = view;
      return view;
    }
    case Value::kTensorNew: {
      c10::Device device = devices_.at(in.varint());
      uint64_t bytes = in.varint();
      in.layout(layout_);
      at::Tensor fresh;
      try {
        fresh = allocate(layout_, bytes, device);
      } catch (const Malformed&) {
        throw;
      } catch (...) {
        touched.failure = std::current_exception();
        fresh = placeholder(layout_);
      }
      Entry& entry = store_.put(id, std::move(fresh));
      touch_home(touched, entry, access, true);
      if (layout_.conjugate || layout_.negative) return Store::view(entry, layout_);
      return entry.home;
    }
    default: throw Malformed("a tensor was expected");
  }
}

IValue Values::scalar(Reader& in, Value tag) {
  switch (tag) {
    case Value::kFalse: return false;
    case Value::kTrue: return true;
    case Value::kInt: return in.zigzag();
    case Value::kDouble: return in.real();
    case Value::kComplex: {
      double real = in.real();
      return c10::complex<double>(real, in.real());
    }
    default: throw Malformed("a number was expected");
  }
}

IValue Values::value(Reader& in, Value tag, Access access, Touched& touched) {
  auto next = [&] { return static_cast<Value>(in.byte()); };
  switch (tag) {
    case Value::kNone: return IValue();
    case Value::kIntList: {
      uint64_t n = in.count();
      c10::List<int64_t> list;
      list.reserve(n);
      for (uint64_t i = 0; i < n; ++i) list.push_back(in.zigzag());
      return list;
    }
    case Value::kTensorList: {
      uint64_t n = in.count(2);
      c10::List<at::Tensor> list;
      list.reserve(n);
      for (uint64_t i = 0; i < n; ++i) list.push_back(tensor(in, next(), access, touched));
      return list;
    }
    case Value::kOptionalTensorList: {
      uint64_t n = in.count();
      c10::List<std::optional<at::Tensor>> list;
      list.reserve(n);
      for (uint64_t i = 0; i < n; ++i) {
        Value item = next();
        list.push_back(item == Value::kNone ? std::optional<at::Tensor>() : tensor(in, item, access, touched));
      }
      return list;
    }
    case Value::kBoolList: {
      uint64_t n = in.count();
      c10::List<bool> list;
      list.reserve(n);
      for (uint64_t i = 0; i < n; ++i) list.push_back(in.byte() != 0);
      return list;
    }
    case Value::kDoubleList: {
      uint64_t n = in.count(8);
      c10::List<double> list;
      list.reserve(n);
      for (uint64_t i = 0; i < n; ++i) list.push_back(in.real());
      return list;
    }
    case Value::kScalarList: {
      uint64_t n = in.count();
      c10::impl::GenericList list(c10::NumberType::get());
      list.reserve(n);
      for (uint64_t i = 0; i < n; ++i) list.push_back(scalar(in, next()));
      return list;
    }
    case Value::kDevice: return devices_.at(in.varint());
    case Value::kString: return std::string(in.text(wire::kMaxTextBytes));
    case Value::kGenerator: {
      uint64_t id = in.varint();
      return generators_.get(id, devices_.at(in.varint()));
    }
    case Value::kTensorHome:
    case Value::kTensorView:
    case Value::kTensorNew:
    case Value::kHostTensor: return tensor(in, tag, access, touched);
    default: return scalar(in, tag);
  }
}

namespace {

// A float argument may be written as 1; a layout is a number too.
void fit(IValue& value, const Operator& op, size_t i) {
  const auto& argument = op.arguments[i];
  if (!value.isInt()) return;
  if (argument.layout && value.toInt() != static_cast<int64_t>(c10::kStrided))
    throw Malformed("op " + op.name + " is to make a tensor that isn't strided, which is not allowed over the wire");
  if (argument.accepts >> static_cast<uint8_t>(Value::kDouble) & 1 && !(argument.accepts >> static_cast<uint8_t>(Value::kComplex) & 1))
    value = static_cast<double>(value.toInt());
}

}  // namespace

void Values::check(const Operator& op, size_t i, Value tag) {
  if (static_cast<uint8_t>(tag) >= 32 || !(op.arguments[i].accepts >> static_cast<uint8_t>(tag) & 1))
    throw Malformed("argument " + std::to_string(i) + " of op " + op.name + " has the wrong type");
}

IValue Values::left_out(const Operator& op, size_t i) {
  if (!op.handle) throw Malformed(op.name + " lacks its argument " + std::to_string(i));
  const auto& argument = op.handle->schema().arguments()[i];
  if (!argument.default_value()) throw Malformed("op " + op.name + " lacks its argument " + argument.name());
  return *argument.default_value();
}

IValue Values::constant(Reader& in, Value tag, const Operator& op, size_t i) {
  check(op, i, tag);
  static_assert(static_cast<uint8_t>(Value::kTensorHome) == 1 && static_cast<uint8_t>(Value::kTensorNew) == 3);
  bool tensors = tag == Value::kTensorList || tag == Value::kOptionalTensorList;
  if (tensors || (tag >= Value::kTensorHome && tag <= Value::kTensorNew)) throw Malformed("a storage is named where there is none");
  Touched none;
  IValue decoded = value(in, tag, Access::kRead, none);
  fit(decoded, op, i);
  return decoded;
}

void Values::arguments(Reader& in, const Operator& op, std::vector<IValue>& stack, Touched& touched) {
  uint64_t given = in.count();
  // A refused op has no arguments that we know of: its record is read to its end, and then answered with the refusal.
  bool refused = !op.refusal.empty();
  size_t known = refused ? given : op.arguments.size();
  if (given > known) throw Malformed("op " + op.name + " takes " + std::to_string(known) + " arguments, not " + std::to_string(given));
  for (uint64_t i = 0; i < given; ++i) {
    auto tag = static_cast<Value>(in.byte());
    if (refused) {
      value(in, tag, tag == Value::kHostTensor ? Access::kRead : Access::kUpdate, touched);
      continue;
    }
    const auto& argument = op.arguments[i];
    check(op, i, tag);
    IValue decoded = value(in, tag, argument.access, touched);
    fit(decoded, op, i);
    stack.push_back(std::move(decoded));
  }
  for (size_t i = given; i < known; ++i) stack.push_back(left_out(op, i));
}

at::Tensor Values::tensor(Reader& in, Touched& touched) {
  return tensor(in, static_cast<Value>(in.byte()), Access::kRead, touched);
}

}  // namespace skytorch
