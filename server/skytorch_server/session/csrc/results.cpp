// What becomes of an op's results: they are given to the storages that the client named for them, or told to it.
#include <ATen/ops/empty_strided.h>

#include <algorithm>

#include "interpreter.h"

namespace skytorch {

using c10::IValue;
using wire::Malformed;
using wire::Output;
using wire::Reader;
using wire::Value;

void Interpreter::bind(Reader& in, const IValue* result, bool ask) {
  switch (static_cast<Output>(in.byte())) {
    case Output::kSkip:
      if (ask && result) answer(*result, 0);
      return;
    case Output::kTensor: {
      uint64_t id = in.varint();
      in.layout(layout_);
      if (!result) return bind_poisoned(id, &layout_);
      return bind_tensor(id, &layout_, result->isTensor() ? result->toTensor() : at::Tensor());
    }
    case Output::kAsked: {
      uint64_t id = in.varint();
      if (!result || !result->isTensor() || !result->toTensor().defined()) {
        bind_poisoned(id, nullptr);
        if (result) answer(*result, 0);
        return;
      }
      bind_tensor(id, nullptr, result->toTensor());
      return answer(store_.at(id).home, id);
    }
    case Output::kList: {
      uint64_t n = in.count();
      bool fits = result && result->isTensorList() && result->toTensorList().size() == n;
      std::vector<IValue> items;
      if (fits)
        for (const at::Tensor& item : result->toTensorVector()) items.emplace_back(item);
      for (uint64_t i = 0; i < n; ++i) bind(in, fits ? &items[i] : nullptr, ask);
      TORCH_CHECK(fits || !result, current_->name, " returned another number of tensors than the client expects");
      return;
    }
    default: throw Malformed("an output of an unknown kind");
  }
}

void Interpreter::bind_tensor(uint64_t id, const wire::Layout* layout, const at::Tensor& result) {
  at::Tensor tensor;
  try {
    tensor = own_tensor(layout, result);
  } catch (...) {
    bind_poisoned(id, layout);  // the client has the storage, whatever became of its contents
    throw;
  }
  store_.put(id, std::move(tensor));
}

// The result in memory of its own, in the layout that the client expects if there is one.
at::Tensor Interpreter::own_tensor(const wire::Layout* layout, const at::Tensor& result) {
  TORCH_CHECK_NOT_IMPLEMENTED(!result.defined() || result.layout() == c10::kStrided, current_->name, " returned a tensor of layout ", result.layout(),
                              ", which a sky device can't hold");
  TORCH_CHECK_NOT_IMPLEMENTED(!result.defined() || Store::holds(result.scalar_type()), current_->name, " returned a tensor of dtype ",
                              result.scalar_type(), ", which a sky device can't hold");
  at::Tensor tensor = result.defined() ? result.resolve_conj().resolve_neg() : result;
  // An op may return its very argument, or a view of it.
  bool shared = tensor.defined() && (tensor.storage().use_count() > 1 || std::any_of(touched_.items.begin(), touched_.items.end(), [&](const auto& item) {
                  return item.entry->home.is_same(tensor);
                }));
  if (!layout) {
    bool own = !shared && !tensor.storage_offset() && tensor.is_non_overlapping_and_dense();
    return own ? tensor : tensor.clone();
  }
  c10::IntArrayRef sizes(layout->sizes.data(), layout->dims), strides(layout->strides.data(), layout->dims);
  auto type = Store::dtype(layout->dtype);
  TORCH_CHECK(tensor.defined() && tensor.sizes() == sizes && tensor.scalar_type() == type, current_->name, " returned ",
              tensor.defined() ? c10::str(tensor.scalar_type(), tensor.sizes()) : "nothing", " on the server, where the client expects ", type, sizes);
  // The layout that the user was told is the layout that is delivered; and no two storages share memory.
  bool same_layout = tensor.strides() == strides || tensor.numel() <= 1;
  if (!same_layout || shared || tensor.storage_offset()) {
    at::Tensor copy = at::empty_strided(sizes, strides, tensor.options());
    copy.copy_(tensor);
    tensor = std::move(copy);
  }
  if (tensor.strides() != strides) tensor.unsafeGetTensorImpl()->set_sizes_and_strides(sizes, strides);
  return tensor;
}

void Interpreter::bind_poisoned(uint64_t id, const wire::Layout* layout) {
  wire::Layout none = bytes_layout(0, 0);
  store_.put(id, placeholder(layout ? *layout : none)).poisoned_by = poison_ ? poison_ : origin_;
}

void Interpreter::answer(const IValue& value, uint64_t id) {
  if (value.isBool()) {
    answer_.tag(value.toBool() ? Value::kTrue : Value::kFalse);
  } else if (value.isInt()) {
    answer_.tag(Value::kInt);
    answer_.zigzag(value.toInt());
  } else if (value.isDouble()) {
    answer_.tag(Value::kDouble);
    answer_.real(value.toDouble());
  } else if (value.isComplexDouble()) {
    auto number = value.toComplexDouble();
    answer_.tag(Value::kComplex);
    answer_.real(number.real());
    answer_.real(number.imag());
  } else if (value.isTensor() && value.toTensor().defined()) {
    const at::Tensor& tensor = value.toTensor();
    answer_.tag(Value::kTensorView);
    answer_.varint(id);
    answer_.layout(static_cast<uint8_t>(tensor.scalar_type()), tensor.sizes(), tensor.strides(), tensor.is_contiguous(), 0);
    answer_.varint(tensor.storage().nbytes());
  } else {
    answer_.tag(Value::kNone);
  }
}

}  // namespace skytorch
