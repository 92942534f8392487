// The cells of recurrent networks as one op each, on the CPU too: clients use them as with CUDA, where PyTorch has
// kernels for them. Same arithmetic, in the same order, as PyTorch's CPU cells.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/sigmoid_backward.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/tanh_backward.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

namespace skytorch {

namespace {

using at::Tensor;
using Maybe = std::optional<Tensor>;

Tensor with_bias(const Tensor& gates, const Maybe& bias) { return bias && bias->defined() ? gates + *bias : gates; }

Tensor or_zero(const Maybe& gradient, const Tensor& like) { return gradient && gradient->defined() ? *gradient : at::zeros_like(like); }

// (batch, parts x width) -> that many of (batch, width)
std::vector<Tensor> parts(const Tensor& joined, int64_t count) {
  TORCH_CHECK(joined.dim() == 2 && joined.size(1) % count == 0, "a recurrent cell takes ", count, " joined matrices, not a tensor of sizes ", joined.sizes());
  return joined.chunk(count, 1);
}

// -> hy, cy, workspace: the four gates
std::tuple<Tensor, Tensor, Tensor> lstm_cell(const Tensor& input_gates, const Tensor& hidden_gates, const Tensor& cx, const Maybe& input_bias,
                                             const Maybe& hidden_bias) {
  auto gates = parts(with_bias(input_gates, input_bias) + with_bias(hidden_gates, hidden_bias), 4);
  Tensor in = at::sigmoid(gates[0]), forget = at::sigmoid(gates[1]), cell = at::tanh(gates[2]), out = at::sigmoid(gates[3]);
  Tensor cy = forget * cx + in * cell;
  return {out * at::tanh(cy), cy, at::cat({in, forget, cell, out}, 1)};
}

// -> the gradients of the gates, of cx and of the biases
std::tuple<Tensor, Tensor, Tensor> lstm_cell_backward(const Maybe& grad_hy, const Maybe& grad_cy, const Tensor& cx, const Tensor& cy,
                                                      const Tensor& workspace, bool has_bias) {
  auto gates = parts(workspace, 4);
  const Tensor &in = gates[0], &forget = gates[1], &cell = gates[2], &out = gates[3];
  Tensor hidden = or_zero(grad_hy, cy), active = at::tanh(cy);
  Tensor grad = or_zero(grad_cy, cy) + at::tanh_backward(hidden * out, active);
  Tensor grad_gates = at::cat({at::sigmoid_backward(grad * cell, in), at::sigmoid_backward(grad * cx, forget),
                               at::tanh_backward(grad * in, cell), at::sigmoid_backward(hidden * active, out)}, 1);
  return {grad_gates, grad * forget, has_bias ? grad_gates.sum(0) : Tensor()};
}

// -> hy, workspace: the three gates, hx and the hidden part of the new gate
std::tuple<Tensor, Tensor> gru_cell(const Tensor& input_gates, const Tensor& hidden_gates, const Tensor& hx, const Maybe& input_bias,
                                    const Maybe& hidden_bias) {
  auto from_input = parts(with_bias(input_gates, input_bias), 3), from_hidden = parts(with_bias(hidden_gates, hidden_bias), 3);
  Tensor reset = at::sigmoid(from_hidden[0] + from_input[0]), update = at::sigmoid(from_hidden[1] + from_input[1]);
  Tensor fresh = at::tanh(from_input[2] + from_hidden[2] * reset);
  return {(hx - fresh) * update + fresh, at::cat({reset, update, fresh, hx, from_hidden[2]}, 1)};
}

// -> the gradients of the input's and the hidden gates, of hx and of both biases
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> gru_cell_backward(const Tensor& grad_hy, const Tensor& workspace, bool has_bias) {
  auto kept = parts(workspace, 5);
  const Tensor &reset = kept[0], &update = kept[1], &fresh = kept[2], &hx = kept[3], &hidden = kept[4];
  Tensor grad_fresh = at::tanh_backward(grad_hy - grad_hy * update, fresh);
  Tensor grad_update = at::sigmoid_backward(grad_hy * (hx - fresh), update);
  Tensor grad_reset = at::sigmoid_backward(grad_fresh * hidden, reset);
  Tensor of_input = at::cat({grad_reset, grad_update, grad_fresh}, 1);
  Tensor of_hidden = at::cat({grad_reset, grad_update, grad_fresh * reset}, 1);
  return {of_input, of_hidden, grad_hy * update, has_bias ? of_input.sum(0) : Tensor(), has_bias ? of_hidden.sum(0) : Tensor()};
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, CPU, library) {
  library.impl("_thnn_fused_lstm_cell", lstm_cell);
  library.impl("_thnn_fused_lstm_cell_backward_impl", lstm_cell_backward);
  library.impl("_thnn_fused_gru_cell", gru_cell);
  library.impl("_thnn_fused_gru_cell_backward", gru_cell_backward);
}

}  // namespace skytorch
