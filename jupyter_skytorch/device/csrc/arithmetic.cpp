// The four ops that loops are made of, in their plain form: same shape and type, or a number. PyTorch's composite kernels
// would set up an iterator to find out what is evident here, which is half the cost of such an op. All else goes to them.
#include <torch/library.h>  // first: the next ones don't include all that they use

#include <ATen/ops/add_compositeexplicitautogradnonfunctional_dispatch.h>
#include <ATen/ops/div_compositeexplicitautogradnonfunctional_dispatch.h>
#include <ATen/ops/mul_compositeexplicitautogradnonfunctional_dispatch.h>
#include <ATen/ops/sub_compositeexplicitautogradnonfunctional_dispatch.h>

#include "encoder.h"
#include "factories.h"
#include "operators.h"
#include "shapes.h"

namespace skytorch {

namespace {

namespace composite = at::compositeexplicitautogradnonfunctional;
using at::Tensor;
using c10::Scalar;

OpInfo& find(const char* name) { return op_info(c10::Dispatcher::singleton().findSchemaOrThrow(name, "Tensor")); }

// Whether the result is evidently of self's shape, type and layout.
bool is_evident(const Tensor& self, const Tensor& other, const Scalar* alpha) {
  const auto &a = *self.unsafeGetTensorImpl(), &b = *other.unsafeGetTensorImpl();
  c10::ScalarType type = self.scalar_type();
  if (!at::isFloatingType(type) || !is_plain(a) || (alpha && alpha->isComplex())) return false;
  if (b.is_wrapped_number()) return b.device_type() == c10::DeviceType::CPU && !c10::isComplexType(other.scalar_type());
  return is_plain(b) && other.scalar_type() == type && a.sizes() == b.sizes() && self.device() == other.device();
}

// `result` is undefined for an in-place op.
void issue(OpInfo& info, const Tensor& self, const Tensor& other, const Scalar* alpha, const Tensor& result) {
  Sink& sink = *handle_of(self).sink;
  Encoder encoder(sink);
  encoder.entry().define_op(info.index, info.name, info.schema_hash);
  encoder.entry().begin(wire::Record::kOp);
  encoder.out().varint(info.index);
  encoder.out().varint(alpha ? 3 : 2);
  encoder.tensor(self);
  encoder.tensor(other);
  if (alpha) encoder.value(*alpha);
  encoder.out().varint(result.defined());
  if (result.defined()) encoder.output(result);
  encoder.commit();
  sink.count_op();
}

Tensor made(OpInfo& info, const Tensor& self, const Tensor& other, const Scalar* alpha) {
  handle_of(self).sink->admit();
  Tensor result = make_contiguous(self.sizes(), self.scalar_type(), self.device().index());
  issue(info, self, other, alpha, result);
  return result;
}

Tensor& updated(OpInfo& info, Tensor& self, const Tensor& other, const Scalar* alpha) {
  handle_of(self).sink->admit();
  issue(info, self, other, alpha, Tensor());
  return self;
}

Tensor add(const Tensor& self, const Tensor& other, const Scalar& alpha) {
  static OpInfo& info = find("aten::add");
  return is_evident(self, other, &alpha) ? made(info, self, other, &alpha) : composite::add(self, other, alpha);
}
Tensor& add_(Tensor& self, const Tensor& other, const Scalar& alpha) {
  static OpInfo& info = find("aten::add_");
  return is_evident(self, other, &alpha) ? updated(info, self, other, &alpha) : composite::add_(self, other, alpha);
}
Tensor sub(const Tensor& self, const Tensor& other, const Scalar& alpha) {
  static OpInfo& info = find("aten::sub");
  return is_evident(self, other, &alpha) ? made(info, self, other, &alpha) : composite::sub(self, other, alpha);
}
Tensor& sub_(Tensor& self, const Tensor& other, const Scalar& alpha) {
  static OpInfo& info = find("aten::sub_");
  return is_evident(self, other, &alpha) ? updated(info, self, other, &alpha) : composite::sub_(self, other, alpha);
}
Tensor mul(const Tensor& self, const Tensor& other) {
  static OpInfo& info = find("aten::mul");
  return is_evident(self, other, nullptr) ? made(info, self, other, nullptr) : composite::mul(self, other);
}
Tensor& mul_(Tensor& self, const Tensor& other) {
  static OpInfo& info = find("aten::mul_");
  return is_evident(self, other, nullptr) ? updated(info, self, other, nullptr) : composite::mul_(self, other);
}
Tensor div(const Tensor& self, const Tensor& other) {
  static OpInfo& info = find("aten::div");
  return is_evident(self, other, nullptr) ? made(info, self, other, nullptr) : composite::div(self, other);
}
Tensor& div_(Tensor& self, const Tensor& other) {
  static OpInfo& info = find("aten::div_");
  return is_evident(self, other, nullptr) ? updated(info, self, other, nullptr) : composite::div_(self, other);
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("add.Tensor", add);
  library.impl("add_.Tensor", add_);
  library.impl("sub.Tensor", sub);
  library.impl("sub_.Tensor", sub_);
  library.impl("mul.Tensor", mul);
  library.impl("mul_.Tensor", mul_);
  library.impl("div.Tensor", div);
  library.impl("div_.Tensor", div_);
}

}  // namespace skytorch
