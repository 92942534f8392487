// What PyTorch asks of a backend: devices, generators, pinned memory, resizing.
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/CPUAllocator.h>

#include "generator.h"
#include "storage.h"

namespace skytorch {

namespace {

// There is no device to pin memory for. What is asked to be pinned is ordinary memory that answers as if it were.
class PinnedAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    c10::DataPtr data = c10::GetCPUAllocator()->allocate(bytes);
    auto* begin = static_cast<char*>(data.get());
    if (!begin) return data;
    std::lock_guard lock(mutex());
    blocks()[begin] = begin + bytes;
    return {begin, new c10::DataPtr(std::move(data)), &release, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* target, const void* source, std::size_t bytes) const override { default_copy_data(target, source, bytes); }

  static bool owns(const void* pointer) {
    auto* at = static_cast<const char*>(pointer);
    std::lock_guard lock(mutex());
    auto after = blocks().upper_bound(at);
    return after != blocks().begin() && at < std::prev(after)->second;
  }

 private:
  static void release(void* context) {
    auto* data = static_cast<c10::DataPtr*>(context);
    {
      std::lock_guard lock(mutex());
      blocks().erase(static_cast<const char*>(data->get()));
    }
    delete data;
  }
  // Never destroyed: tensors may outlive whatever is.
  static std::mutex& mutex() {
    static auto* mutex = new std::mutex;
    return *mutex;
  }
  static std::map<const char*, const char*>& blocks() {
    static auto* blocks = new std::map<const char*, const char*>;
    return *blocks;
  }
};

struct Hooks final : at::PrivateUse1HooksInterface {
  void init() const override {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return device_count() > 0; }
  bool hasPrimaryContext(c10::DeviceIndex index) const override { return index < device_count(); }
  c10::DeviceIndex deviceCount() const override { return device_count(); }
  c10::DeviceIndex getCurrentDevice() const override { return current_device(); }
  void setCurrentDevice(c10::DeviceIndex index) const override { set_current_device(index); }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex index) const override {
    c10::DeviceIndex before = current_device();
    set_current_device(index);
    return before;
  }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex index) const override { return exchangeDevice(index); }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex index) const override { return default_generator(index); }
  at::Generator getNewGenerator(c10::DeviceIndex index) const override { return new_generator(index); }
  at::Device getDeviceFromPtr(void*) const override { return at::Device(kSky, current_device()); }
  bool isPinnedPtr(const void* pointer) const override { return PinnedAllocator::owns(pointer); }
  c10::Allocator* getPinnedMemoryAllocator() const override {
    static PinnedAllocator allocator;
    return &allocator;
  }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override {
    resize_storage(*storage.unsafeGetStorageImpl(), bytes);
  }
};

}  // namespace

void register_hooks() { at::RegisterPrivateUse1HooksInterface(new Hooks); }

}  // namespace skytorch
