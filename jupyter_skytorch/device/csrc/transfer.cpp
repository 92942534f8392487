// Bytes between this machine and the server.
#include <ATen/EmptyTensor.h>
#include <ATen/ExpandUtils.h>
#include <ATen/MemoryOverlap.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <sys/mman.h>
#include <torch/library.h>

#include "copies.h"
#include "encoder.h"
#include "factories.h"
#include "together.h"

namespace skytorch {

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack);

namespace {

// Up to here data travels among the ops; above, in frames of its own.
constexpr size_t kSmall = 16 << 10;
// From here on a read may come through shared memory.
constexpr size_t kLarge = 128 << 10;

bool is_sky(const at::Tensor& tensor) { return tensor.device().type() == kSky; }

// Writes a contiguous CPU tensor over a sky tensor that is contiguous and has as many bytes.
void upload(const at::Tensor& source, const at::Tensor& target) {
  size_t bytes = source.nbytes();
  if (!bytes) return;
  Handle& handle = handle_of(target);
  Sink& sink = *handle.sink;
  sink.admit();
  forget_read_ahead(target);
  if (!handle.announced) {
    Encoder encoder(sink);
    encoder.entry().begin(wire::Record::kAllocate);
    encoder.allocation(target);
    encoder.commit();
  }
  uint64_t offset = static_cast<uint64_t>(target.storage_offset()) * target.element_size();
  const auto* data = static_cast<const char*>(source.const_data_ptr());
  if (bytes > kSmall) {
    sink.write_bulk(handle.id, offset, data, bytes);
  } else {
    Sink::Entry entry(sink, wire::Record::kWrite);
    entry.out().varint(handle.id);
    entry.out().varint(offset);
    entry.out().text({data, bytes});
    entry.commit();
  }
  sink.count_upload(bytes);
}

// Huge pages for a large target: faulting it in by small ones takes longer than filling it.
void prefer_huge_pages(void* data, size_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr uintptr_t kHuge = 2 << 20;
  uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kHuge - 1) / kHuge * kHuge;
  uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) / kHuge * kHuge;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // advice: failing is no error
#endif
}

// Has the kernel provide the pages of a target, beside the thread that fills it: that takes as long as filling them.
void populate([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes) {
#if defined(__linux__) && defined(MADV_POPULATE_WRITE)
  WithoutGil without;
  constexpr uintptr_t kPage = 4096, kStep = 8 << 20;
  uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kPage - 1) / kPage * kPage;
  uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) / kPage * kPage;
  for (; begin < end; begin += kStep)
    if (madvise(reinterpret_cast<void*>(begin), std::min(kStep, end - begin), MADV_POPULATE_WRITE)) return;
#endif
}

// Reads the elements of a sky tensor into a contiguous CPU tensor of the same shape and dtype.
void download(const at::Tensor& source, const at::Tensor& target) {
  if (!source.numel()) return;
  if (was_read_ahead(source, target)) return;
  prefer_huge_pages(target.mutable_data_ptr(), target.nbytes());
  Sink& sink = *handle_of(source).sink;
  sink.admit();
  bool shared = target.nbytes() >= kLarge && sink.shares();
  Answer answer;
  answer.target = target.mutable_data_ptr();
  answer.target_bytes = target.nbytes();
  uint64_t sequence;
  {
    Encoder encoder(sink);
    encoder.entry().begin(shared ? wire::Record::kReadShared : wire::Record::kRead);
    encoder.tensor(source);
    encoder.entry().expect(answer);
    sequence = encoder.commit(true);
  }
  if (shared) populate(answer.target, answer.target_bytes);
  sink.wait(answer, sequence);
}

at::Tensor downloaded(const at::Tensor& source) {
  at::Tensor target(at::detail::empty_cpu(source.sizes(), source.scalar_type()));
  download(source, target);
  return target;
}

void copy_on_server(const at::Tensor& source, const at::Tensor& target, bool non_blocking) {
  static auto op = c10::Dispatcher::singleton().findSchemaOrThrow("aten::copy_", "");
  torch::jit::Stack stack{target, source, non_blocking};
  fallback(op, &stack);
}

// What PyTorch's own devices find out while they set up the copy.
void check_copy(const at::Tensor& source, const at::Tensor& target) {
  if (source.sizes() != target.sizes()) {
    auto sizes = at::infer_size_dimvector(target.sizes(), source.sizes());
    TORCH_CHECK(target.sizes() == c10::IntArrayRef(sizes), "output with shape ", target.sizes(), " doesn't match the broadcast shape ",
                c10::IntArrayRef(sizes));
  }
  at::assert_no_internal_overlap(target);
  if (source.has_storage() && target.has_storage() && source.device() == target.device()) at::assert_no_partial_overlap(target, source);
}

at::Tensor copy_from(const at::Tensor& source, const at::Tensor& target, bool non_blocking);

// From one Compute to another: between their servers, else through here.
void copy_across(const at::Tensor& source, const at::Tensor& target, bool non_blocking) {
  bool narrow_there = target.element_size() < source.element_size();
  at::Tensor ready = (narrow_there ? source.to(target.scalar_type()) : source).contiguous().resolve_conj().resolve_neg();
  at::Tensor landed = carried(ready, target.device().index());
  if (!landed.defined()) {
    copy_from(downloaded(ready), target, non_blocking);
    return;
  }
  forget_read_ahead(target);
  if (!becomes(landed, target)) copy_on_server(landed, target, non_blocking);
}

at::Tensor copy_from(const at::Tensor& source, const at::Tensor& target, bool non_blocking) {
  check_copy(source, target);
  if (is_sky(source) && is_sky(target)) {
    if (handle_of(source).sink == handle_of(target).sink) copy_on_server(source, target, non_blocking);
    else copy_across(source, target, non_blocking);
    return target;
  }
  if (is_sky(source)) {
    TORCH_CHECK(target.is_cpu(), "copies from sky go to the CPU or to sky, not to ", target.device());
    bool direct = target.is_contiguous() && target.scalar_type() == source.scalar_type() && target.sizes() == source.sizes() &&
                  !target.is_conj() && !target.is_neg();
    if (direct) download(source, target);
    else at::Tensor(target).copy_(downloaded(source));
    return target;
  }
  TORCH_CHECK(source.is_cpu(), "copies to sky come from the CPU or from sky, not from ", source.device());
  // The conversion is done on the side where it makes fewer bytes travel.
  bool narrow_here = target.element_size() <= source.element_size();
  at::Tensor ready = (narrow_here ? source.to(target.scalar_type()) : source).contiguous().resolve_conj().resolve_neg();
  bool plain = target.is_contiguous() && ready.scalar_type() == target.scalar_type() && ready.sizes() == target.sizes() &&
               !target.is_conj() && !target.is_neg();
  if (plain) {
    upload(ready, target);
    return target;
  }
  at::Tensor staged = make_tensor(ready.sizes(), ready.strides(), ready.scalar_type(), target.device().index());
  upload(ready, staged);
  copy_on_server(staged, target, non_blocking);
  return target;
}

at::Tensor copy_from_and_resize(const at::Tensor& source, const at::Tensor& target) {
  target.resize_(source.sizes());
  return copy_from(source, target, false);
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("_copy_from", copy_from);
  library.impl("_copy_from_and_resize", copy_from_and_resize);
}

// Copies see conjugate and negative views as they are: PyTorch resolves such views by copying them.
void leave_views(torch::Library& library) {
  library.impl("_copy_from", torch::CppFunction::makeFallthrough());
  library.impl("_copy_from_and_resize", torch::CppFunction::makeFallthrough());
}
TORCH_LIBRARY_IMPL(aten, Conjugate, library) { leave_views(library); }
TORCH_LIBRARY_IMPL(aten, Negative, library) { leave_views(library); }

}  // namespace skytorch
