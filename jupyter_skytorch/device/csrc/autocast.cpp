// Casts under autocast: the policies and lists of PyTorch's CUDA autocast, as boxed kernels over tables of names.
//
// PyTorch's own templates for this instantiate a wrapper per op and pull in all of ATen: 8 s of compile time. A boxed
// kernel casts what lies on the stack, whatever the op.
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

#include "devices.h"

// Of ATen/autocast_mode.h.
namespace at::autocast {
TORCH_API at::Tensor cached_cast(at::ScalarType to_type, const at::Tensor& arg, c10::DeviceType device_type);
TORCH_API at::ScalarType get_autocast_dtype(c10::DeviceType device_type);
}  // namespace at::autocast

namespace skytorch {

using c10::IValue;
using torch::jit::Stack;

namespace {

constexpr c10::DispatchKeySet kAutocast(c10::DispatchKey::AutocastPrivateUse1);

bool is_eligible(const IValue& value) {
  if (!value.isTensor() || !value.toTensor().defined()) return false;
  const at::Tensor& tensor = value.toTensor();
  return tensor.device().type() == kSky && tensor.is_floating_point() && tensor.scalar_type() != c10::kDouble;
}

// The op itself, its floating-point arguments being of one type. Its own calls aren't cast.
void call(const c10::OperatorHandle& op, Stack* stack, std::optional<c10::ScalarType> type) {
  c10::impl::ExcludeDispatchKeyGuard without_autocast(kAutocast);
  if (type) {
    for (size_t i = stack->size() - op.schema().arguments().size(); i < stack->size(); ++i) {
      IValue& value = (*stack)[i];
      if (value.isTensor()) {
        value = at::autocast::cached_cast(*type, value.toTensor(), kSky);
      } else if (value.isTensorList()) {
        c10::List<at::Tensor> cast;
        for (const at::Tensor& item : value.toTensorVector()) cast.push_back(at::autocast::cached_cast(*type, item, kSky));
        value = std::move(cast);
      }
    }
  }
  op.callBoxed(stack);
}

void lower_precision(const c10::OperatorHandle& op, Stack* stack) { call(op, stack, at::autocast::get_autocast_dtype(kSky)); }

void full_precision(const c10::OperatorHandle& op, Stack* stack) { call(op, stack, c10::kFloat); }

// Runs in full precision inside, and gives full precision unless the user says otherwise.
void full_precision_result(const c10::OperatorHandle& op, Stack* stack) {
  size_t first = stack->size() - op.schema().arguments().size();
  IValue& dtype = (*stack)[first + static_cast<size_t>(*op.schema().argumentIndexWithName("dtype"))];
  if (is_eligible((*stack)[first]) && dtype.isNone()) dtype = static_cast<int64_t>(c10::kFloat);
  call(op, stack, {});
}

// The same for overloads without a dtype, which go on as the ones that have it.
void full_precision_overload(const c10::OperatorHandle& op, Stack* stack) {
  const IValue& self = (*stack)[stack->size() - op.schema().arguments().size()];
  auto type = is_eligible(self) ? c10::kFloat : self.toTensor().scalar_type();
  std::string overload = op.schema().overload_name() == "Scalar" ? "ScalarOpt_dtype" : op.schema().overload_name() + "_dtype";
  stack->emplace_back(static_cast<int64_t>(type));
  call(c10::Dispatcher::singleton().findSchemaOrThrow(op.schema().name().c_str(), overload.c_str()), stack, {});
}

// The widest type among the arguments.
void promote(const c10::OperatorHandle& op, Stack* stack) {
  auto type = at::autocast::get_autocast_dtype(kSky);
  auto look = [&](const IValue& value) {
    if (!is_eligible(value)) return;
    auto own = value.toTensor().scalar_type();
    TORCH_CHECK(own == c10::kFloat || own == at::autocast::get_autocast_dtype(kSky), "Unexpected floating ScalarType in at::autocast::prioritize");
    if (own == c10::kFloat) type = own;
  };
  for (size_t i = stack->size() - op.schema().arguments().size(); i < stack->size(); ++i) {
    const IValue& value = (*stack)[i];
    if (value.isTensorList())
      for (const auto& item : value.toListRef()) look(item);
    else
      look(value);
  }
  call(op, stack, type);
}

// Its logarithms overflow in half precision, and casting its input comes too late.
void refuse(const c10::OperatorHandle&, Stack*) {
  TORCH_CHECK(false, "torch.nn.functional.binary_cross_entropy and torch.nn.BCELoss are unsafe to autocast: use "
                     "binary_cross_entropy_with_logits or torch.nn.BCEWithLogitsLoss, and leave out the sigmoid before it");
}

constexpr const char* kLowerPrecision[] = {
    "_convolution.deprecated", "_convolution", "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d.input",
    "conv_transpose3d.input", "convolution", "prelu", "addmm", "addmv", "addr", "matmul", "einsum", "mm", "mv", "linalg_vecdot", "linear",
    "addbmm", "baddbmm", "bmm", "chain_matmul", "linalg_multi_dot", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell", "lstm_cell", "gru_cell",
    "rnn_tanh_cell", "rnn_relu_cell", "_scaled_dot_product_flash_attention", "scaled_dot_product_attention"};

constexpr const char* kFullPrecision[] = {
    "acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal", "rsqrt", "sinh", "tan",
    "pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar", "softplus", "layer_norm", "native_layer_norm", "rms_norm", "group_norm",
    "frobenius_norm.dim", "nuclear_norm", "nuclear_norm.dim", "cosine_similarity", "poisson_nll_loss", "cosine_embedding_loss", "nll_loss",
    "nll_loss2d", "hinge_embedding_loss", "kl_div", "l1_loss", "smooth_l1_loss", "huber_loss", "mse_loss", "margin_ranking_loss",
    "multilabel_margin_loss", "soft_margin_loss", "triplet_margin_loss", "multi_margin_loss", "binary_cross_entropy_with_logits", "dist",
    "pdist", "cdist", "renorm", "logsumexp", "upsample_nearest1d", "_upsample_nearest_exact1d", "upsample_nearest2d",
    "_upsample_nearest_exact2d", "upsample_nearest3d", "_upsample_nearest_exact3d", "upsample_linear1d", "upsample_bilinear2d",
    "_upsample_bilinear2d_aa", "upsample_trilinear3d", "upsample_bicubic2d", "_upsample_bicubic2d_aa"};

constexpr const char* kFullPrecisionResult[] = {
    "prod", "prod.dim_int", "softmax.int", "log_softmax.int", "cumprod", "cumsum", "linalg_vector_norm", "linalg_matrix_norm",
    "linalg_matrix_norm.str_ord", "sum", "sum.dim_IntList"};

constexpr const char* kFullPrecisionOverload[] = {"norm.Scalar", "norm.ScalarOpt_dim"};

constexpr const char* kPromote[] = {"addcdiv", "addcmul", "atan2", "bilinear", "cross", "dot", "vdot", "grid_sampler", "index_put",
                                    "tensordot", "scatter_add"};

template <c10::BoxedKernel::BoxedKernelFunction* policy, size_t count>
void apply(torch::Library& library, const char* const (&names)[count]) {
  for (const char* name : names) library.impl(name, torch::CppFunction::makeFromBoxedFunction<policy>());
}

}  // namespace

TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, library) { library.fallback(torch::CppFunction::makeFallthrough()); }

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, library) {
  apply<&lower_precision>(library, kLowerPrecision);
  apply<&full_precision>(library, kFullPrecision);
  apply<&full_precision_result>(library, kFullPrecisionResult);
  apply<&full_precision_overload>(library, kFullPrecisionOverload);
  apply<&promote>(library, kPromote);
  library.impl("binary_cross_entropy", torch::CppFunction::makeFromBoxedFunction<&refuse>());
}

}  // namespace skytorch
