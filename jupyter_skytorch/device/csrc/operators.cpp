#include "operators.h"

#include <skytorch_wire/format.h>

#include <memory>
#include <shared_mutex>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

namespace skytorch {

namespace {

std::atomic<uint32_t> next_index{1};

bool is_number(const c10::Type& type) {
  switch (type.kind()) {
    case c10::TypeKind::NumberType:
    case c10::TypeKind::FloatType: return true;
    case c10::TypeKind::OptionalType: return is_number(*type.castRaw<c10::OptionalType>()->getElementType());
    case c10::TypeKind::ListType: return is_number(*type.castRaw<c10::ListType>()->getElementType());
    default: return false;
  }
}

bool is_tensor_return(const c10::Type& type) {
  if (type.kind() == c10::TypeKind::TensorType) return true;
  return type.kind() == c10::TypeKind::ListType && type.castRaw<c10::ListType>()->getElementType()->kind() == c10::TypeKind::TensorType;
}

// The few ops whose results are as long as their numbers say.
const std::unordered_set<std::string_view> kShapedByNumbers = {"aten::arange", "aten::range"};

// Their statistics have other dtypes, or other sizes, on the CPU than on CUDA.
const std::unordered_set<std::string_view> kCudaMetadata = {
    "aten::native_batch_norm", "aten::_native_batch_norm_legit", "aten::_native_batch_norm_legit_no_training",
    "aten::_batch_norm_with_update", "aten::native_layer_norm", "aten::native_group_norm",
    "aten::_embedding_bag", "aten::_embedding_bag_forward_only",
};

}  // namespace

OpInfo::OpInfo(const c10::OperatorHandle& op) : handle(op), index(next_index.fetch_add(1)) {
  const auto& schema = op.schema();
  name = schema.name() + (schema.overload_name().empty() ? "" : "." + schema.overload_name());
  std::ostringstream text;
  text << schema;
  schema_hash = wire::schema_hash(text.str());
  arguments = schema.arguments().size();
  returns = schema.returns().size();
  bool shaped_by_numbers = kShapedByNumbers.contains(schema.name());
  fills_in_order = shaped_by_numbers || schema.name() == "aten::linspace" || schema.name() == "aten::logspace";
  for (const auto& argument : schema.arguments()) {
    value_free.push_back(!shaped_by_numbers && is_number(*argument.real_type()));
    is_output.push_back(argument.is_out());
    is_out = is_out || argument.is_out();
    if (argument.alias_info() && argument.alias_info()->isWrite()) written.push_back(is_output.size() - 1);
  }
  for (const auto& result : schema.returns()) {
    int place = -1;
    const auto* alias = result.alias_info();
    if (alias && alias->isWrite()) {
      for (size_t i = 0; i < arguments; ++i) {
        const auto* own = schema.arguments()[i].alias_info();
        if (own && own->isWrite() && own->beforeSets() == alias->beforeSets()) place = static_cast<int>(i);
      }
    } else if (alias) {
      returns_views = true;
    }
    returned_argument.push_back(place);
    if (place < 0) fresh = true;
    returns_tensor.push_back(is_tensor_return(*result.real_type()));
    always_ask = always_ask || !returns_tensor.back();
  }
  cuda_metadata = kCudaMetadata.contains(schema.name());
  if (op.hasTag(at::Tag::dynamic_output_shape) || op.hasTag(at::Tag::data_dependent_output)) always_ask = always_ask || fresh || is_out;
}

OpInfo& op_info(const c10::OperatorHandle& op) {
  static std::unordered_map<const c10::FunctionSchema*, std::unique_ptr<OpInfo>> infos;
  static std::shared_mutex mutex;
  thread_local const c10::FunctionSchema* last = nullptr;
  thread_local OpInfo* last_info = nullptr;
  const auto* key = &op.schema();
  if (key == last) return *last_info;
  OpInfo* info = nullptr;
  {
    std::shared_lock lock(mutex);
    auto found = infos.find(key);
    if (found != infos.end()) info = found->second.get();
  }
  if (!info) {
    auto made = std::make_unique<OpInfo>(op);
    std::unique_lock lock(mutex);
    info = infos.try_emplace(key, std::move(made)).first->second.get();
  }
  last = key;
  last_info = info;
  return *info;
}

}  // namespace skytorch
