#include "operators.h"

#include <skytorch_wire/reader.h>

#include <set>
#include <sstream>

namespace skytorch {

namespace {

using wire::Malformed;
using wire::Value;

constexpr uint32_t kTensor = mask(Value::kTensorHome, Value::kTensorView, Value::kTensorNew, Value::kHostTensor);
constexpr uint32_t kScalar = mask(Value::kFalse, Value::kTrue, Value::kInt, Value::kDouble, Value::kComplex);

// Which values a schema's type takes; 0 for types that don't travel (storages, names, dictionaries).
uint32_t accepted(const c10::Type& type) {
  switch (type.kind()) {
    case c10::TypeKind::OptionalType: {
      const auto& inner = *type.castRaw<c10::OptionalType>()->getElementType();
      uint32_t values = accepted(inner);
      return values ? values | mask(Value::kNone) : 0;
    }
    case c10::TypeKind::TensorType: return kTensor;
    case c10::TypeKind::NumberType: return kScalar;
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType: return mask(Value::kInt);
    case c10::TypeKind::FloatType: return mask(Value::kDouble, Value::kInt);
    case c10::TypeKind::BoolType:
    case c10::TypeKind::SymBoolType: return mask(Value::kFalse, Value::kTrue);
    case c10::TypeKind::ComplexType: return mask(Value::kComplex);
    case c10::TypeKind::StringType: return mask(Value::kString);
    case c10::TypeKind::DeviceObjType: return mask(Value::kDevice);
    case c10::TypeKind::GeneratorType: return mask(Value::kGenerator, Value::kNone);
    case c10::TypeKind::ListType: {
      const auto& item = *type.castRaw<c10::ListType>()->getElementType();
      switch (item.kind()) {
        case c10::TypeKind::TensorType: return mask(Value::kTensorList);
        case c10::TypeKind::OptionalType: return mask(Value::kOptionalTensorList);
        case c10::TypeKind::IntType:
        case c10::TypeKind::SymIntType: return mask(Value::kIntList);
        case c10::TypeKind::FloatType: return mask(Value::kDoubleList);
        case c10::TypeKind::BoolType: return mask(Value::kBoolList);
        case c10::TypeKind::NumberType: return mask(Value::kScalarList);
        default: return 0;
      }
    }
    default: return 0;
  }
}

// Ops that would do something else than compute on the session's tensors, or that trust their input blindly. Tensors of
// other layouts than strided are made by nobody: torch doesn't look at the indices that it is given for sparse ones, and
// nothing that reads them does.
bool forbidden(std::string_view name) {
  static const std::set<std::string_view> exact = {
      "aten::record_stream", "aten::_make_dep_token", "aten::_assert_async", "aten::_assert_async.msg",
      "aten::_functional_assert_async.msg", "aten::_print", "aten::sym_constrain_range", "aten::_unsafe_masked_index",
      "aten::_unsafe_masked_index_put_accumulate", "aten::embedding_backward", "aten::_embedding_bag_backward"};
  if (exact.contains(name)) return true;
  for (std::string_view part : {"from_file", "pin_memory", "sparse", "to_dense", "coalesce", "nested", "mkldnn", "_cudnn_init_dropout_state"})
    if (name.find(part) != std::string_view::npos) return true;
  return false;
}

bool is_layout(const c10::Type& type) {
  if (type.kind() == c10::TypeKind::OptionalType) return is_layout(*type.castRaw<c10::OptionalType>()->getElementType());
  return type.kind() == c10::TypeKind::LayoutType;
}

// Random and filling ops that write all of self and read none of it.
bool overwrites_self(const std::string& name) {
  static const std::set<std::string> names = {
      "aten::copy_", "aten::fill_", "aten::zero_", "aten::normal_", "aten::uniform_", "aten::random_", "aten::bernoulli_",
      "aten::exponential_", "aten::cauchy_", "aten::geometric_", "aten::log_normal_"};
  return names.contains(name);
}

Access access(const c10::FunctionSchema& schema, const c10::Argument& argument, size_t index) {
  const auto* alias = argument.alias_info();
  if (!alias || !alias->isWrite()) return Access::kRead;
  if (argument.is_out()) return Access::kOverwrite;
  return index == 0 && overwrites_self(schema.name()) ? Access::kOverwrite : Access::kUpdate;
}

}  // namespace

Operator& Operators::find(std::string_view name) {
  auto known = by_name_.find(std::string(name));
  if (known != by_name_.end()) return *known->second;
  if (!name.starts_with("aten::")) throw Malformed("op " + std::string(name) + " is not one of aten's");
  size_t dot = name.find('.');
  std::string base(name.substr(0, dot)), overload(dot == std::string_view::npos ? "" : name.substr(dot + 1));
  auto handle = c10::Dispatcher::singleton().findSchema({base, overload});
  if (!handle) throw Malformed("op " + std::string(name) + " is unknown to torch here");
  if (forbidden(name) || handle->hasTag(at::Tag::inplace_view))
    throw Malformed("op " + std::string(name) + " is not allowed over the wire");
  auto op = std::make_unique<Operator>(Operator{std::string(name), *handle, {}, {}, {}});
  const auto& schema = handle->schema();
  for (size_t i = 0; i < schema.arguments().size(); ++i) {
    const auto& argument = schema.arguments()[i];
    uint32_t accepts = accepted(*argument.type());
    if (!accepts) throw Malformed("op " + std::string(name) + " takes a " + argument.type()->str() + ", which doesn't travel");
    op->arguments.push_back({access(schema, argument, i), accepts, is_layout(*argument.real_type())});
  }
  return *(by_name_[std::string(name)] = std::move(op));
}

void Operators::define(uint64_t index, std::string_view name, uint64_t schema_hash) {
  if (by_index_.size() <= index) by_index_.resize(index + 1);
  std::string refusal;
  try {
    Operator& op = find(name);
    std::ostringstream schema;
    schema << op.handle->schema();
    if (wire::schema_hash(schema.str()) == schema_hash) {
      by_index_[index] = &op;
      return;
    }
    refusal = "op " + op.name + " has another schema in the client's torch than in the server's: " + schema.str();
  } catch (const Malformed& error) {
    refusal = error.what();
  }
  refused_.push_back(std::make_unique<Operator>(Operator{std::string(name), {}, std::move(refusal), {}, {}}));
  by_index_[index] = refused_.back().get();
}

void Operators::renumber() {
  by_index_.clear();
  refused_.clear();
}

Operator& Operators::at(uint64_t index) {
  if (index >= by_index_.size() || !by_index_[index]) throw Malformed("op number " + std::to_string(index) + " was never defined");
  return *by_index_[index];
}

}  // namespace skytorch
