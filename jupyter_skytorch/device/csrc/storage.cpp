#include "storage.h"

#include <c10/core/StorageImpl.h>
#include <sys/mman.h>

#include "memory.h"

namespace skytorch {

namespace {

std::atomic<uint64_t> next_address{1};

// Addresses lie in a range that is reserved and can't be touched: misuse faults instead of corrupting, and no two
// storages ever share an address.
constexpr uint64_t kGranule = 256;
uint64_t range_bytes = uint64_t{1} << 44;

char* reserve() {
  for (; range_bytes >= (uint64_t{1} << 32); range_bytes >>= 1) {
    void* range = mmap(nullptr, range_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range != MAP_FAILED) return static_cast<char*>(range);
  }
  TORCH_CHECK(false, "can't reserve addresses for sky storages: raise the limit on virtual memory (ulimit -v)");
}

void* new_address() {
  static char* range = reserve();
  return range + next_address.fetch_add(1, std::memory_order_relaxed) * kGranule % range_bytes;
}

void release(void* context) {
  auto* handle = static_cast<Handle*>(context);
  if (handle->announced && !in_forked_child()) handle->sink->free_storage(handle->id);
  delete handle;
}

class Allocator final : public c10::DeviceAllocator {
 public:
  // The registered allocator serves whatever device is current.
  explicit Allocator(c10::DeviceIndex index = -1) : index_(index) {}

  c10::DataPtr allocate(size_t) override {
    c10::DeviceIndex index = index_ < 0 ? current_device() : index_;
    const RemoteDevice& remote = remote_device(index);
    auto* handle = new Handle{remote.sink, 0, index, remote.slot};
    return {new_address(), handle, &release, c10::Device(kSky, index)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void*, const void*, std::size_t) const override { TORCH_CHECK(false, "sky storages have no memory here"); }

  // What torch.accelerator asks about memory.
  bool initialized() override { return device_count() > 0; }
  void emptyCache(c10::MempoolId_t) override {
    for (c10::DeviceIndex i = 0; i < device_count(); ++i)
      if (!remote_device(i).sink->stopped()) tell_memory(i, wire::Memory::kEmptyCache);
  }
  void recordStream(const c10::DataPtr&, c10::Stream) override {}  // a session has one stream
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex index) override { return memory_stats(index); }
  void resetAccumulatedStats(c10::DeviceIndex index) override { tell_memory(index, wire::Memory::kResetAccumulated); }
  void resetPeakStats(c10::DeviceIndex index) override { tell_memory(index, wire::Memory::kResetPeak); }
  std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex index) override { return memory_info(index); }

 private:
  const c10::DeviceIndex index_;
};

}  // namespace

Handle& handle_of(const c10::StorageImpl& storage) {
  auto* handle = static_cast<Handle*>(storage.data_ptr().get_context());
  TORCH_CHECK(handle && storage.data_ptr().get_deleter() == &release, "this storage isn't a sky storage");
  return *handle;
}

Handle& handle_of(const c10::TensorImpl& tensor) {
  const auto* storage = tensor.unsafe_storage().unsafeGetStorageImpl();
  TORCH_CHECK(storage, "this tensor has no sky storage");
  return handle_of(*storage);
}

bool Handle::is_home(const c10::TensorImpl& tensor) const {
  if (!has_home || tensor.dim() != dims || tensor.storage_offset() != 0 ||
      static_cast<uint8_t>(c10::typeMetaToScalarType(tensor.dtype())) != dtype || !tensor.is_contiguous() || tensor.is_conj() || tensor.is_neg())
    return false;
  auto shape = tensor.sizes();
  for (int i = 0; i < dims; ++i)
    if (shape[i] != sizes[i]) return false;
  return true;
}

void Handle::set_home(const c10::TensorImpl& tensor) {
  auto shape = tensor.sizes();
  has_home = shape.size() <= std::size(sizes) && tensor.storage_offset() == 0 && tensor.is_contiguous();
  if (!has_home) return;
  dtype = static_cast<uint8_t>(c10::typeMetaToScalarType(tensor.dtype()));
  dims = static_cast<uint8_t>(shape.size());
  std::copy(shape.begin(), shape.end(), sizes);
}

c10::Allocator& allocator_of(c10::DeviceIndex index) {
  static std::array<std::unique_ptr<Allocator>, kMaxDevices> allocators = [] {
    std::array<std::unique_ptr<Allocator>, kMaxDevices> made;
    for (int i = 0; i < kMaxDevices; ++i) made[i] = std::make_unique<Allocator>(static_cast<c10::DeviceIndex>(i));
    return made;
  }();
  TORCH_CHECK(index >= 0 && index < kMaxDevices, "sky:", static_cast<int>(index), " doesn't exist");
  return *allocators[index];
}

void resize_storage(c10::StorageImpl& storage, size_t bytes) {
  Handle& handle = handle_of(storage);
  handle.sink->admit();
  storage.set_nbytes(bytes);
  handle.has_home = false;
  if (!handle.announced) return;  // its first record will tell the size
  Sink::Entry entry(*handle.sink, wire::Record::kResize);
  entry.out().varint(handle.id);
  entry.out().varint(bytes);
  entry.commit();
}

void register_allocator() {
  static Allocator allocator;
  c10::SetAllocator(kSky, &allocator);
}

}  // namespace skytorch
