// Which kernel scaled_dot_product_attention takes.
//
// PyTorch asks the device before it takes the op apart. A CPU server has a fused kernel, and PyTorch's choice for the CPU
// looks at descriptions alone. For a CUDA server the choice is PyTorch's default, matrix products and a softmax.
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/native/transformers/attention.h>
#include <ATen/native/transformers/sdp_utils_cpp.h>

#include "devices.h"

namespace skytorch {

namespace {

int64_t choose(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const std::optional<at::Tensor>& mask, double dropout,
               bool causal, std::optional<double> scale, bool grouped) {
  if (remote_device(query.device().index()).is_cuda) return static_cast<int64_t>(sdp::SDPBackend::math);
  static auto op = c10::Dispatcher::singleton().findSchemaOrThrow("aten::_fused_sdp_choice", "");
  torch::jit::Stack stack{query, key, value, mask, dropout, causal, scale, grouped};
  op.callBoxedForDispatchKey(c10::DispatchKey::CPU, stack);
  return stack.back().toInt();
}

}  // namespace

}  // namespace skytorch

namespace at::native {

REGISTER_PRIVATEUSE1_DISPATCH(_fused_sdp_choice_stub, &skytorch::choose)

}  // namespace at::native
