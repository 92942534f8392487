#include "shapes.h"

#include <ATen/ExpandUtils.h>

#include <cmath>

#include "devices.h"

namespace skytorch {

using c10::IValue;
using Arguments = c10::ArrayRef<IValue>;
using Rule = std::optional<Results> (*)(Arguments);

bool is_plain(const c10::TensorImpl& tensor) {
  return tensor.device_type() == kSky && tensor.is_contiguous() && !tensor.is_conj() && !tensor.is_neg();
}

namespace {

bool is_plain(const at::Tensor& tensor) { return tensor.defined() && skytorch::is_plain(*tensor.unsafeGetTensorImpl()); }

// Sky tensors, contiguous, all of one of the types that CPU and CUDA treat alike.
bool are_plain_floats(std::initializer_list<const at::Tensor*> tensors) {
  c10::ScalarType type = (*tensors.begin())->scalar_type();
  if (type != c10::kFloat && type != c10::kDouble) return false;
  for (const at::Tensor* tensor : tensors)
    if (tensor->defined() && (!is_plain(*tensor) || tensor->scalar_type() != type)) return false;
  return true;
}

Metadata contiguous(c10::ScalarType dtype, c10::IntArrayRef sizes) {
  Metadata result{Metadata::Kind::kTensor, dtype, c10::DimVector(sizes), c10::DimVector(sizes.size()), {}};
  int64_t stride = 1;
  for (size_t i = sizes.size(); i-- > 0; stride *= std::max<int64_t>(sizes[i], 1)) result.strides[i] = stride;
  return result;
}

Metadata like(const at::Tensor& tensor) { return contiguous(tensor.scalar_type(), tensor.sizes()); }

Metadata like_if(bool wanted, const at::Tensor& tensor) { return wanted && tensor.defined() ? like(tensor) : Metadata{}; }

at::Tensor optional_tensor(const IValue& value) { return value.isTensor() ? value.toTensor() : at::Tensor(); }

std::optional<Results> same_as_input(Arguments a) {
  if (!is_plain(a[0].toTensor())) return {};
  return Results{like(a[0].toTensor())};
}

std::optional<Results> real_as_input(Arguments a) {
  if (a[0].toTensor().is_complex()) return {};
  return same_as_input(a);
}

std::optional<Results> same_as_list(Arguments a) {
  Metadata list;
  list.kind = Metadata::Kind::kList;
  for (const auto& item : a[0].toListRef()) {
    if (!are_plain_floats({&item.toTensor()})) return {};
    list.items.push_back(like(item.toTensor()));
  }
  return Results{list};
}

std::optional<Results> reduced_to_one(Arguments a) {
  if (!is_plain(a[0].toTensor()) || a[0].toTensor().numel() == 0) return {};
  return Results{contiguous(a[0].toTensor().scalar_type(), {})};
}

std::optional<Results> where(Arguments a) {
  const auto &condition = a[0].toTensor(), &self = a[1].toTensor(), &other = a[2].toTensor();
  if (!is_plain(condition) || !is_plain(self) || !is_plain(other) || self.scalar_type() != other.scalar_type()) return {};
  auto sizes = at::infer_size_dimvector(at::infer_size_dimvector(condition.sizes(), self.sizes()), other.sizes());
  return Results{contiguous(self.scalar_type(), sizes)};
}

// (input, weight, bias?, stride, padding, dilation, transposed, output_padding, groups)
std::optional<Results> convolution(Arguments a) {
  const auto &input = a[0].toTensor(), &weight = a[1].toTensor();
  at::Tensor bias = optional_tensor(a[2]);
  auto stride = a[3].toIntVector(), padding = a[4].toIntVector(), dilation = a[5].toIntVector();
  bool transposed = a[6].toBool();
  int64_t groups = a[8].toInt(), spatial = input.dim() - 2;
  bool fits = !transposed && spatial >= 1 && weight.dim() == input.dim() && groups >= 1 &&
              input.size(1) == weight.size(1) * groups && weight.size(0) % groups == 0 && input.numel() && weight.numel() &&
              (!bias.defined() || (bias.dim() == 1 && bias.size(0) == weight.size(0)));
  for (const auto* list : {&stride, &padding, &dilation}) fits = fits && static_cast<int64_t>(list->size()) == spatial;
  if (!fits || !are_plain_floats({&input, &weight, &bias})) return {};
  c10::DimVector sizes{input.size(0), weight.size(0)};
  for (int64_t i = 0; i < spatial; ++i) {
    int64_t reach = dilation[i] * (weight.size(i + 2) - 1) + 1, room = input.size(i + 2) + 2 * padding[i] - reach;
    if (stride[i] < 1 || dilation[i] < 1 || padding[i] < 0 || room < 0) return {};
    sizes.push_back(room / stride[i] + 1);
  }
  return Results{contiguous(input.scalar_type(), sizes)};
}

// (grad_output, input, weight, bias_sizes?, ..., output_mask)
std::optional<Results> convolution_backward(Arguments a) {
  const auto &gradient = a[0].toTensor(), &input = a[1].toTensor(), &weight = a[2].toTensor();
  auto mask = a[10].toBoolList();
  if (a[7].toBool() || !are_plain_floats({&gradient, &input, &weight}) || input.numel() == 0) return {};
  Metadata bias = mask[2] ? contiguous(input.scalar_type(), {weight.size(0)}) : Metadata{};
  return Results{like_if(mask[0], input), like_if(mask[1], weight), bias};
}

// (input, normalized_shape, weight?, bias?, eps)
std::optional<Results> layer_norm(Arguments a) {
  const auto& input = a[0].toTensor();
  at::Tensor weight = optional_tensor(a[2]), bias = optional_tensor(a[3]);
  auto shape = a[1].toIntVector();
  int64_t kept = input.dim() - static_cast<int64_t>(shape.size());
  if (shape.empty() || kept < 0 || !are_plain_floats({&input, &weight, &bias}) || input.sizes().slice(kept) != c10::IntArrayRef(shape)) return {};
  for (const auto* parameter : {&weight, &bias})
    if (parameter->defined() && parameter->sizes() != c10::IntArrayRef(shape)) return {};
  c10::DimVector sizes(input.sizes());
  for (int64_t i = kept; i < input.dim(); ++i) sizes[i] = 1;
  auto statistics = contiguous(input.scalar_type(), sizes);
  return Results{like(input), statistics, statistics};
}

// (grad_out, input, normalized_shape, mean, rstd, weight?, bias?, output_mask)
std::optional<Results> layer_norm_backward(Arguments a) {
  const auto &gradient = a[0].toTensor(), &input = a[1].toTensor();
  at::Tensor weight = optional_tensor(a[5]), bias = optional_tensor(a[6]);
  auto mask = a[7].toBoolList();
  if (!are_plain_floats({&gradient, &input, &weight, &bias})) return {};
  return Results{like_if(mask[0], input), like_if(mask[1], weight), like_if(mask[2], bias)};
}

// (input, weight?, bias?, running_mean?, running_var?, training, momentum, eps)
std::optional<Results> batch_norm(Arguments a) {
  const auto& input = a[0].toTensor();
  at::Tensor weight = optional_tensor(a[1]), bias = optional_tensor(a[2]), mean = optional_tensor(a[3]), var = optional_tensor(a[4]);
  if (input.dim() < 2 || !are_plain_floats({&input, &weight, &bias, &mean, &var})) return {};
  auto statistics = contiguous(input.scalar_type(), {a[5].toBool() ? input.size(1) : 0});
  return Results{like(input), statistics, statistics};
}

// (grad_out, input, weight?, ..., train, eps, output_mask)
std::optional<Results> batch_norm_backward(Arguments a) {
  const auto &gradient = a[0].toTensor(), &input = a[1].toTensor();
  at::Tensor weight = optional_tensor(a[2]);
  auto mask = a[9].toBoolList();
  if (input.dim() < 2 || !are_plain_floats({&gradient, &input, &weight})) return {};
  auto parameter = [&](bool wanted) { return wanted ? contiguous(input.scalar_type(), {input.size(1)}) : Metadata{}; };
  return Results{like_if(mask[0], input), parameter(mask[1]), parameter(mask[2])};
}

// (input_gates, hidden_gates, cx, input_bias?, hidden_bias?)
std::optional<Results> lstm_cell(Arguments a) {
  const auto &gates = a[0].toTensor(), &cell = a[2].toTensor();
  if (!is_plain(gates) || !is_plain(cell)) return {};
  return Results{like(cell), like(cell), like(gates)};
}

// (grad_hy?, grad_cy?, cx, cy, workspace, has_bias)
std::optional<Results> lstm_cell_backward(Arguments a) {
  const auto &cell = a[2].toTensor(), &workspace = a[4].toTensor();
  if (!is_plain(cell) || !is_plain(workspace) || workspace.dim() != 2) return {};
  Metadata bias = a[5].toBool() ? contiguous(workspace.scalar_type(), {workspace.size(1)}) : Metadata{};
  return Results{like(workspace), like(cell), bias};
}

// (input_gates, hidden_gates, hx, input_bias?, hidden_bias?)
std::optional<Results> gru_cell(Arguments a) {
  const auto& hidden = a[2].toTensor();
  if (!is_plain(hidden) || hidden.dim() != 2) return {};
  return Results{like(hidden), contiguous(hidden.scalar_type(), {hidden.size(0), hidden.size(1) * 5})};
}

// (grad_hy, workspace, has_bias)
std::optional<Results> gru_cell_backward(Arguments a) {
  const auto& gradient = a[0].toTensor();
  if (!is_plain(gradient) || gradient.dim() != 2) return {};
  auto type = gradient.scalar_type();
  int64_t gates = gradient.size(1) * 3;
  Metadata all = contiguous(type, {gradient.size(0), gates}), bias = a[2].toBool() ? contiguous(type, {gates}) : Metadata{};
  return Results{all, all, like(gradient), bias, bias};
}

// (self, target, reduction): PyTorch's meta kernel has a dimension too much for one sample.
std::optional<Results> multilabel_margin_loss(Arguments a) {
  const auto &self = a[0].toTensor(), &target = a[1].toTensor();
  if (self.dim() != 1 || target.sizes() != self.sizes()) return {};
  return Results{contiguous(self.scalar_type(), {}), contiguous(self.scalar_type(), target.sizes())};
}

// (self, dim, index)
std::optional<Results> index_select(Arguments a) {
  const auto &self = a[0].toTensor(), &index = a[2].toTensor();
  if (!is_plain(self) || !is_plain(index) || index.dim() > 1 || self.dim() == 0) return {};
  int64_t dim = a[1].toInt() < 0 ? a[1].toInt() + self.dim() : a[1].toInt();
  if (dim < 0 || dim >= self.dim()) return {};
  c10::DimVector sizes(self.sizes());
  sizes[dim] = index.numel();
  return Results{contiguous(self.scalar_type(), sizes)};
}

// (grad_output, indices, num_weights, padding_idx, scale_grad_by_freq)
std::optional<Results> embedding_backward(Arguments a) {
  const auto& gradient = a[0].toTensor();
  if (!is_plain(gradient) || gradient.dim() == 0) return {};
  return Results{contiguous(gradient.scalar_type(), {a[2].toInt(), gradient.size(-1)})};
}

// (self, num_samples, replacement, generator?)
std::optional<Results> multinomial(Arguments a) {
  const auto& self = a[0].toTensor();
  int64_t samples = a[1].toInt();
  bool fits = is_plain(self) && at::isFloatingType(self.scalar_type()) && (self.dim() == 1 || self.dim() == 2) && samples > 0 &&
              (a[2].toBool() || samples <= self.size(-1));
  if (!fits) return {};
  c10::DimVector sizes(self.sizes());
  sizes.back() = samples;
  return Results{contiguous(c10::kLong, sizes)};
}

// Dimensions 1 and 2 lie in memory the other way round.
Metadata swapped(c10::ScalarType dtype, c10::IntArrayRef sizes) {
  c10::DimVector inner(sizes);
  std::swap(inner[1], inner[2]);
  Metadata result = contiguous(dtype, inner);
  result.sizes = c10::DimVector(sizes);
  std::swap(result.strides[1], result.strides[2]);
  return result;
}

// (query, key, value, ...), of shape (batch, heads, length, width)
std::optional<Results> attention_on_cpu(Arguments a) {
  const auto& query = a[0].toTensor();
  if (query.dim() != 4) return {};
  auto statistics = query.scalar_type() == c10::kDouble ? c10::kDouble : c10::kFloat;
  return Results{swapped(query.scalar_type(), query.sizes()), swapped(statistics, query.sizes().slice(0, 3))};
}

// (grad_out, query, key, value, ...)
std::optional<Results> attention_on_cpu_backward(Arguments a) {
  Results results;
  for (int i = 1; i <= 3; ++i) {
    if (a[i].toTensor().dim() != 4) return {};
    results.push_back(swapped(a[i].toTensor().scalar_type(), a[i].toTensor().sizes()));
  }
  return results;
}

// (self, bins, range?, weight?, density): the edges along each dimension
std::optional<Results> histogram_edges(Arguments a) {
  Metadata list;
  list.kind = Metadata::Kind::kList;
  for (int64_t bins : a[1].toIntVector()) list.items.push_back(contiguous(a[0].toTensor().scalar_type(), {bins + 1}));
  return Results{list};
}

// (start, end, step, out): as many steps as fit, counted in integers where the results are int64, as PyTorch does.
std::optional<Results> arange(Arguments a) {
  double count;
  if (a[3].toTensor().scalar_type() == c10::kLong) {
    int64_t start = a[0].toScalar().toLong(), end = a[1].toScalar().toLong(), step = a[2].toScalar().toLong(), span;
    if (step == 0 || __builtin_sub_overflow(end, start, &span) || (span != 0 && (span > 0) != (step > 0))) return {};
    count = static_cast<double>(span / step + (span % step != 0));
  } else {
    double start = a[0].toScalar().toDouble(), end = a[1].toScalar().toDouble(), step = a[2].toScalar().toDouble();
    count = std::ceil((end - start) / step);
  }
  if (!(count >= 0 && count < 1e18)) return {};
  return Results{contiguous(a[3].toTensor().scalar_type(), {static_cast<int64_t>(count)})};
}

const std::unordered_map<std::string_view, Rule>& rules() {
  static const std::unordered_map<std::string_view, Rule> table = {
      {"aten::relu", same_as_input},
      {"aten::abs", real_as_input},
      {"aten::_foreach_sqrt", same_as_list},
      {"aten::_foreach_neg", same_as_list},
      {"aten::_foreach_abs", same_as_list},
      {"aten::_foreach_add.Scalar", same_as_list},
      {"aten::_foreach_mul.Scalar", same_as_list},
      {"aten::_foreach_div.Scalar", same_as_list},
      {"aten::min", reduced_to_one},
      {"aten::max", reduced_to_one},
      {"aten::where.self", where},
      {"aten::where.self_out", where},
      {"aten::convolution", convolution},
      {"aten::convolution_backward", convolution_backward},
      {"aten::native_layer_norm", layer_norm},
      {"aten::native_layer_norm_backward", layer_norm_backward},
      {"aten::native_batch_norm", batch_norm},
      {"aten::native_batch_norm_backward", batch_norm_backward},
      {"aten::_thnn_fused_lstm_cell", lstm_cell},
      {"aten::_thnn_fused_lstm_cell_backward_impl", lstm_cell_backward},
      {"aten::_thnn_fused_gru_cell", gru_cell},
      {"aten::_thnn_fused_gru_cell_backward", gru_cell_backward},
      {"aten::multilabel_margin_loss_forward", multilabel_margin_loss},
      {"aten::index_select", index_select},
      {"aten::embedding_dense_backward", embedding_backward},
      {"aten::multinomial", multinomial},
      {"aten::arange.start_out", arange},
      {"aten::_scaled_dot_product_flash_attention_for_cpu", attention_on_cpu},
      {"aten::_scaled_dot_product_flash_attention_for_cpu_backward", attention_on_cpu_backward},
      {"aten::_histogramdd_bin_edges", histogram_edges},
  };
  return table;
}

}  // namespace

std::optional<Results> shape_by_rule(const OpInfo& info, Arguments arguments) {
  auto rule = rules().find(info.name);
  return rule == rules().end() ? std::nullopt : rule->second(arguments);
}

}  // namespace skytorch
