#include "settings.h"

#include <ATen/Context.h>
#include <c10/core/DefaultDtype.h>

#include <functional>
#include <map>
#include <variant>
#include <vector>

namespace skytorch {

using at::Context;
using wire::Malformed;
using wire::Value;

namespace {

using Given = std::variant<bool, int64_t, std::string>;
using Setter = std::function<void(const std::vector<Given>&)>;

// A setter that checks how many values it is given, and of which types, before it calls `set` with them.
template <typename... Values, size_t... I>
Setter checked(std::function<void(Values...)> set, std::index_sequence<I...>) {
  return [set](const std::vector<Given>& given) {
    TORCH_CHECK(given.size() == sizeof...(Values), "takes ", sizeof...(Values), " values, not ", given.size());
    TORCH_CHECK_TYPE((std::holds_alternative<std::decay_t<Values>>(given[I]) && ...), "was given a value of the wrong type");
    set(std::get<std::decay_t<Values>>(given[I])...);
  };
}
template <typename... Values>
Setter setter(void (*set)(Values...)) {
  return checked(std::function<void(Values...)>(set), std::index_sequence_for<Values...>{});
}
template <typename... Values>
Setter setter(void (Context::*set)(Values...)) {
  auto call = [set](Values... values) { (at::globalContext().*set)(values...); };
  return checked(std::function<void(Values...)>(call), std::index_sequence_for<Values...>{});
}

void set_fp32_precision(const std::string& backend, const std::string& op, const std::string& precision) {
  at::globalContext().setFloat32Precision(at::str2backend(backend), at::str2op(op), at::str2precision(precision));
}

void set_default_dtype(const std::string& name) {
  for (auto type : {c10::kFloat, c10::kDouble, c10::kHalf, c10::kBFloat16})
    if (name == c10::getDtypeNames(type).first) return c10::set_default_dtype(c10::scalarTypeToTypeMeta(type));
  TORCH_CHECK_TYPE(false, "only floating-point types are supported as the default type, not ", name);
}

// By the name of Python's setter, torch._C._set_NAME. What is set is the process's, and so the session's own.
const std::map<std::string_view, Setter>& setters() {
  static const std::map<std::string_view, Setter> table{
      {"cublas_allow_bf16_reduced_precision_reduction", setter(&Context::setAllowBF16ReductionCuBLAS)},
      {"cublas_allow_fp16_accumulation", setter(&Context::setAllowFP16AccumulationCuBLAS)},
      {"cublas_allow_fp16_reduced_precision_reduction", setter(&Context::setAllowFP16ReductionCuBLAS)},
      {"cublas_allow_tf32", setter(&Context::setAllowTF32CuBLAS)},
      {"cudnn_allow_tf32", setter(&Context::setAllowTF32CuDNN)},
      {"cudnn_benchmark", setter(&Context::setBenchmarkCuDNN)},
      {"cudnn_deterministic", setter(&Context::setDeterministicCuDNN)},
      {"cudnn_enabled", setter(&Context::setUserEnabledCuDNN)},
      {"default_dtype", setter(&set_default_dtype)},
      {"deterministic_algorithms", setter(&Context::setDeterministicAlgorithms)},
      {"deterministic_fill_uninitialized_memory", setter(&Context::setDeterministicFillUninitializedMemory)},
      {"float32_matmul_precision", setter(&Context::setFloat32MatmulPrecision)},
      {"fp32_precision", setter(&set_fp32_precision)},
      {"math_sdp_allow_fp16_bf16_reduction", setter(&Context::setAllowFP16BF16ReductionMathSDP)},
      {"mkldnn_deterministic", setter(&Context::setDeterministicMkldnn)},
      {"mkldnn_enabled", setter(&Context::setUserEnabledMkldnn)},
      {"onednn_allow_tf32", setter(&Context::setAllowTF32OneDNN)},
      {"sdp_use_cudnn", setter(&Context::setSDPUseCuDNN)},
      {"sdp_use_flash", setter(&Context::setSDPUseFlash)},
      {"sdp_use_math", setter(&Context::setSDPUseMath)},
      {"sdp_use_mem_efficient", setter(&Context::setSDPUseMemEfficient)},
  };
  return table;
}

Given read_value(wire::Reader& in) {
  switch (static_cast<Value>(in.byte())) {
    case Value::kFalse: return false;
    case Value::kTrue: return true;
    case Value::kInt: return in.zigzag();
    case Value::kString: return std::string(in.text(wire::kMaxNameBytes));
    default: throw Malformed("a setting's value of an unknown kind");
  }
}

}  // namespace

void apply_setting(wire::Reader& in) {
  std::string name(in.text(wire::kMaxNameBytes));
  std::vector<Given> given(in.bounded(wire::kMaxSettingValues, "the number of a setting's values"));
  for (auto& value : given) value = read_value(in);
  auto found = setters().find(name);
  TORCH_CHECK_NOT_IMPLEMENTED(found != setters().end(), "the server doesn't know the setting ", name);
  try {
    found->second(given);
  } catch (const c10::Error& error) {
    TORCH_CHECK(false, "the server's torch refuses the setting ", name, ": ", error.what_without_backtrace());
  }
}

}  // namespace skytorch
