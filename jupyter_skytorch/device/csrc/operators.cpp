#include "operators.h"

#include <skytorch_wire/format.h>

#include <memory>
#include <shared_mutex>
#include <sstream>
#include <unordered_map>

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

// "mean.out" -> "mean.dim": the overload without out= that takes the same arguments.
void find_functional(OpInfo& info) {
  const auto& schema = info.handle.schema();
  std::string overload = schema.overload_name();
  std::vector<std::string> candidates;
  if (overload.ends_with("_out")) candidates.push_back(overload.substr(0, overload.size() - 4));
  candidates.insert(candidates.end(), {"", "Tensor", "default", "dim", "self", "values", "start_step", "Scalar"});
  for (const auto& candidate : candidates) {
    auto op = c10::Dispatcher::singleton().findSchema({schema.name(), candidate});
    if (!op || op->schema().is_mutable()) continue;
    std::vector<int> places;
    size_t inputs = 0;
    bool fits = true;
    for (const auto& wanted : op->schema().arguments()) {
      auto found = schema.argumentIndexWithName(wanted.name());
      if (found) ++inputs;
      else if (!wanted.default_value()) fits = false;
      places.push_back(found ? *found : -1);
    }
    size_t own = 0;
    for (bool output : info.is_output) own += !output;
    if (!fits || inputs != own) continue;
    info.functional = *op;
    info.functional_arguments = std::move(places);
    return;
  }
}

}  // namespace

OpInfo::OpInfo(const c10::OperatorHandle& op) : handle(op), index(next_index.fetch_add(1)) {
  const auto& schema = op.schema();
  name = schema.name() + (schema.overload_name().empty() ? "" : "." + schema.overload_name());
  std::ostringstream text;
  text << schema;
  schema_hash = wire::schema_hash(text.str());
  arguments = schema.arguments().size();
  returns = schema.returns().size();
  // The few ops whose results are as long as their numbers say.
  bool shaped_by_numbers = schema.name() == "aten::arange" || schema.name() == "aten::range";
  for (const auto& argument : schema.arguments()) {
    value_free.push_back(!shaped_by_numbers && is_number(*argument.real_type()));
    is_output.push_back(argument.is_out());
    is_out = is_out || argument.is_out();
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
  if (op.hasTag(at::Tag::dynamic_output_shape) || op.hasTag(at::Tag::data_dependent_output)) always_ask = always_ask || fresh;
  if (is_out) find_functional(*this);
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
