// The boxed fallback: every op without a kernel of its own comes here, is written down, and is done for the caller.
//
// PyTorch's composite kernels run before it, so most ops arrive in their out= form with the results' metadata worked
// out by PyTorch itself. For the others the meta kernels tell, and where these can't, the server does.
#include <torch/library.h>

#include "encoder.h"
#include "factories.h"
#include "metadata.h"

namespace skytorch {

using c10::IValue;
using torch::jit::Stack;

namespace {

// The session that a call belongs to: that of its first sky tensor, else of its device or generator.
Sink& sink_of(c10::ArrayRef<IValue> arguments) {
  auto of_tensor = [](const at::Tensor& tensor) { return tensor.defined() && tensor.device().type() == kSky ? handle_of(tensor).sink : nullptr; };
  for (const auto& argument : arguments) {
    Sink* sink = nullptr;
    if (argument.isTensor()) sink = of_tensor(argument.toTensor());
    else if (argument.isTensorList() || argument.isOptionalTensorList()) {
      for (const auto& item : argument.toListRef())
        if (item.isTensor() && (sink = of_tensor(item.toTensor()))) break;
    }
    if (sink) return *sink;
  }
  for (const auto& argument : arguments)
    if (argument.isDevice() && argument.toDevice().type() == kSky) return *remote_device(argument.toDevice().index()).sink;
  return *remote_device(-1).sink;
}

c10::DeviceIndex device_of(c10::ArrayRef<IValue> arguments) {
  auto of_tensor = [](const at::Tensor& tensor) { return tensor.defined() && tensor.device().type() == kSky; };
  for (const auto& argument : arguments) {
    if (argument.isTensor() && of_tensor(argument.toTensor())) return argument.toTensor().device().index();
    if (argument.isTensorList() || argument.isOptionalTensorList())
      for (const auto& item : argument.toListRef())
        if (item.isTensor() && of_tensor(item.toTensor())) return item.toTensor().device().index();
  }
  for (const auto& argument : arguments)
    if (argument.isDevice() && argument.toDevice().index() >= 0) return argument.toDevice().index();
  return current_device();
}

// Index tensors may lie on the CPU, as with CUDA.
void move_indices(c10::ArrayRef<IValue> arguments, Stack& stack, size_t first) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (!arguments[i].isOptionalTensorList()) continue;
    bool any = false;
    for (const auto& item : arguments[i].toListRef()) any = any || (item.isTensor() && item.toTensor().defined() && item.toTensor().is_cpu());
    if (!any) continue;
    c10::Device device(kSky, device_of(arguments));
    c10::List<std::optional<at::Tensor>> moved;
    for (const auto& item : arguments[i].toListRef())
      moved.push_back(item.isNone() ? std::optional<at::Tensor>() : std::optional<at::Tensor>(item.toTensor().to(device)));
    stack[first + i] = moved;
  }
}

void warn_of_resizing(const at::Tensor& out, c10::IntArrayRef sizes) {
  if (out.numel() == 0) return;
  TORCH_WARN("An output with one or more elements was resized since it had shape ", out.sizes(), ", which does not match the required output shape ", sizes,
             ". This behavior is deprecated, and in a future PyTorch release outputs will not be resized unless they have zero elements. "
             "You can explicitly reuse an out tensor t by resizing it, inplace, to zero elements with t.resize_(0).");
}

// Gives an output the place in its storage that the result will have; the server's op does the same.
void restride(const at::Tensor& out, c10::IntArrayRef sizes, c10::IntArrayRef strides) {
  out.unsafeGetTensorImpl()->set_sizes_and_strides(sizes, strides, out.storage_offset());
}

// out= arguments of another shape than the result are resized, as PyTorch's own devices do. False when only the server
// can tell the shape.
bool fit_outputs(OpInfo& info, c10::ArrayRef<IValue> arguments) {
  bool needed = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (!info.is_output[i] || !arguments[i].isTensor()) continue;
    const auto& out = arguments[i].toTensor();
    // What a composite kernel just made has the right shape, and so has the input of an in-place op; what else has been
    // used before, is empty, or is known to Python, may not.
    bool in_place = arguments[0].isTensor() && out.is_same(arguments[0].toTensor());
    bool just_made = out.numel() != 0 && !handle_of(out).announced && !out.unsafeGetTensorImpl()->pyobj_slot()->load_pyobj();
    needed = needed || !(in_place || just_made);
  }
  if (!needed) return true;
  if (info.always_ask) return false;
  auto results = infer_outputs(info, arguments, device_of(arguments));
  if (!results) return false;
  size_t next = 0;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (!info.is_output[i]) continue;
    const auto& result = (*results)[next++];
    if (result.kind != Metadata::Kind::kTensor) continue;
    const auto& out = arguments[i].toTensor();
    bool fits = info.fills_in_order ? out.numel() == c10::multiply_integers(result.sizes) : out.sizes() == c10::IntArrayRef(result.sizes);
    if (fits) continue;
    warn_of_resizing(out, result.sizes);
    out.resize_(result.sizes);
    restride(out, result.sizes, result.strides);
  }
  return true;
}

IValue make_result(const Metadata& result, c10::DeviceIndex device) {
  switch (result.kind) {
    case Metadata::Kind::kTensor: return make_tensor(result.sizes, result.strides, result.dtype, device);
    case Metadata::Kind::kList: {
      c10::List<at::Tensor> list;
      for (const auto& item : result.items) list.push_back(make_result(item, device).toTensor());
      return list;
    }
    default: return at::Tensor();
  }
}

void encode_result(Encoder& encoder, const IValue& value) {
  if (value.isTensorList()) {
    auto items = value.toListRef();
    encoder.out().tag(wire::Output::kList);
    encoder.out().varint(items.size());
    for (const auto& item : items) encode_result(encoder, item);
  } else if (value.toTensor().defined()) {
    encoder.output(value.toTensor());
  } else {
    encoder.out().tag(wire::Output::kSkip);
  }
}

// A tensor of the CPU travels by value: what is written to it would be lost.
void check_written(const OpInfo& info, c10::ArrayRef<IValue> arguments) {
  auto check = [](const IValue& item) {
    TORCH_CHECK(!item.isTensor() || !item.toTensor().defined() || item.toTensor().device().type() == kSky,
                "Expected all tensors to be on the same device, but found at least two devices, sky and ", item.toTensor().device(), "!");
  };
  for (size_t i : info.written) {
    if (arguments[i].isTensorList())
      for (const auto& item : arguments[i].toListRef()) check(item);
    else check(arguments[i]);
  }
}

void encode_call(Encoder& encoder, OpInfo& info, wire::Record record, c10::ArrayRef<IValue> arguments) {
  encoder.entry().define_op(info.index, info.name, info.schema_hash);
  encoder.entry().begin(record);
  encoder.out().varint(info.index);
  encoder.out().varint(arguments.size());
  for (const auto& argument : arguments) encoder.value(argument);
}

void replace(Stack& stack, size_t count, c10::SmallVector<IValue, 4>& results) {
  stack.resize(stack.size() - count);
  for (auto& result : results) stack.push_back(std::move(result));
}

// Takes over the shape that the server has given a tensor, and the size of its storage there.
void adopt(const at::Tensor& tensor, c10::IntArrayRef sizes, c10::IntArrayRef strides, uint64_t bytes) {
  Handle& handle = handle_of(tensor);
  auto& impl = *tensor.unsafeGetTensorImpl();
  bool home = handle.is_home(impl);
  if (tensor.sizes() != sizes) {
    warn_of_resizing(tensor, sizes);
    restride(tensor, sizes, strides);
  }
  tensor.storage().set_nbytes(bytes);
  if (home) handle.set_home(impl);
}

// The server tells what came out: shapes that depend on data, and results that aren't tensors.
void ask(Sink& sink, OpInfo& info, Stack& stack) {
  size_t first = stack.size() - info.arguments;
  c10::ArrayRef<IValue> arguments(stack.data() + first, info.arguments);
  c10::DeviceIndex device = device_of(arguments);
  c10::SmallVector<IValue, 4> results;
  // Storages for the results exist before their sizes do.
  c10::SmallVector<at::Tensor, 4> reserved;
  Answer answer;
  if (info.is_out) answer.asked = &info.name;
  uint64_t sequence;
  {
    Encoder encoder(sink);
    encode_call(encoder, info, wire::Record::kAsk, arguments);
    encoder.out().varint(info.returns);
    for (size_t i = 0; i < info.returns; ++i) {
      reserved.emplace_back();
      if (info.returned_argument[i] >= 0 || !info.returns_tensor[i]) {
        encoder.out().tag(wire::Output::kSkip);
        continue;
      }
      answer.asked = &info.name;
      reserved.back() = make_tensor({0}, {1}, c10::kByte, device);
      Handle& handle = handle_of(reserved.back());
      encoder.announce(handle);  // freeing it must reach the server, whatever comes of it
      handle.has_home = false;
      encoder.out().tag(wire::Output::kAsked);
      encoder.out().varint(handle.id);
    }
    encoder.entry().expect(answer);
    sequence = encoder.commit(true);
  }
  sink.count_op();
  sink.wait(answer, sequence);
  wire::Reader in(answer.data.data(), answer.data.size());
  TORCH_CHECK(in.varint() == info.returns, "the server answered ", info.name, " with another number of results");
  for (size_t i = 0; i < info.returns; ++i) {
    auto tag = static_cast<wire::Value>(in.byte());
    switch (tag) {
      case wire::Value::kTrue: results.emplace_back(true); break;
      case wire::Value::kFalse: results.emplace_back(false); break;
      case wire::Value::kInt: results.emplace_back(in.zigzag()); break;
      case wire::Value::kDouble: results.emplace_back(in.real()); break;
      case wire::Value::kComplex: {
        double real = in.real();
        results.emplace_back(c10::complex<double>(real, in.real()));
        break;
      }
      case wire::Value::kTensorView: {
        in.varint();
        wire::Layout layout;
        in.layout(layout);
        uint64_t bytes = in.varint();
        c10::IntArrayRef sizes(layout.sizes.data(), layout.dims), strides(layout.strides.data(), layout.dims);
        if (info.returned_argument[i] >= 0) {
          results.emplace_back(stack[first + static_cast<size_t>(info.returned_argument[i])]);
          adopt(results.back().toTensor(), sizes, strides, bytes);
        } else {
          auto& impl = *reserved[i].unsafeGetTensorImpl();
          at::Tensor typed(at::detail::make_tensor<c10::TensorImpl>(c10::Storage(reserved[i].storage()), impl.key_set(),
                                                                    c10::scalarTypeToTypeMeta(static_cast<c10::ScalarType>(layout.dtype))));
          adopt(typed, sizes, strides, bytes);
          handle_of(typed).set_home(*typed.unsafeGetTensorImpl());
          results.emplace_back(std::move(typed));
        }
        break;
      }
      default:
        if (info.returned_argument[i] >= 0) results.emplace_back(stack[first + static_cast<size_t>(info.returned_argument[i])]);
        else results.emplace_back(at::Tensor());
    }
  }
  remember(info, arguments, device, results);
  replace(stack, info.arguments, results);
}

}  // namespace

void fallback(const c10::OperatorHandle& op, Stack* stack) {
  OpInfo& info = op_info(op);
  size_t first = stack->size() - info.arguments;
  c10::ArrayRef<IValue> arguments(stack->data() + first, info.arguments);
  TORCH_CHECK_NOT_IMPLEMENTED(!info.returns_views || info.name == "aten::_to_copy", info.name, " returns a view and isn't available on sky devices");
  check_written(info, arguments);
  Sink& sink = sink_of(arguments);
  sink.admit();
  move_indices(arguments, *stack, first);
  if (info.is_out && !fit_outputs(info, arguments)) return ask(sink, info, *stack);
  std::shared_ptr<const Results> metadata;
  c10::DeviceIndex device = info.fresh ? device_of(arguments) : c10::DeviceIndex(0);
  if (info.fresh) {
    if (!info.always_ask) metadata = infer(info, arguments, device);
    if (!metadata) return ask(sink, info, *stack);
  }
  c10::SmallVector<IValue, 4> results;
  for (size_t i = 0; i < info.returns; ++i) {
    int place = info.returned_argument[i];
    results.push_back(place >= 0 ? arguments[place] : make_result((*metadata)[i], device));
  }
  {
    Encoder encoder(sink);
    encode_call(encoder, info, wire::Record::kOp, arguments);
    if (info.fresh) {
      encoder.out().varint(info.returns);
      for (size_t i = 0; i < info.returns; ++i) {
        if (info.returned_argument[i] >= 0) encoder.out().tag(wire::Output::kSkip);
        else encode_result(encoder, results[i]);
      }
    } else {
      encoder.out().varint(0);
    }
    encoder.commit();
  }
  sink.count_op();
  replace(*stack, info.arguments, results);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) { library.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }

// Ops whose composite kernel would take them apart, or make an error of them, before the fallback could see them.
void register_whole(const std::vector<std::string>& names) {
  static auto* library = new torch::Library(torch::Library::IMPL, "aten", c10::DispatchKey::PrivateUse1, __FILE__, __LINE__);
  for (const auto& name : names) library->impl(name.c_str(), torch::CppFunction::makeFromBoxedFunction<&fallback>());
}

namespace {

class Borrowed final : public c10::OperatorKernel {
 public:
  explicit Borrowed(c10::DispatchKey lender) : lender_(lender) {}
  void operator()(const c10::OperatorHandle& op, c10::DispatchKeySet, Stack* stack) { op.redispatchBoxed(lender_, stack); }

 private:
  const c10::DispatchKeySet lender_;
};

}  // namespace

// Gives ops the kernels that they have for another key: such as are made of other ops, and know no device.
void borrow_kernels(const std::vector<std::string>& names, const std::string& from, const std::string& to) {
  static auto* libraries = new std::vector<torch::Library>;
  auto& library = libraries->emplace_back(torch::Library::IMPL, "aten", c10::parseDispatchKey(to), __FILE__, __LINE__);
  for (const auto& name : names)
    library.impl(name.c_str(), torch::CppFunction::makeFromBoxedFunctor(std::make_unique<Borrowed>(c10::parseDispatchKey(from))));
}

}  // namespace skytorch
