#include "generator.h"

#include <ATen/EmptyTensor.h>
#include <c10/core/GeneratorImpl.h>

#include <array>

namespace skytorch {

namespace {

std::atomic<uint64_t> next_generator{1};

class SkyGenerator final : public c10::GeneratorImpl {
 public:
  SkyGenerator(c10::DeviceIndex index, uint64_t id)
      : GeneratorImpl(c10::Device(kSky, index), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1)), id_(id) {}
  ~SkyGenerator() override {
    if (id_ && !in_forked_child()) remote_device(device().index()).sink->free_generator(id_);
  }

  uint64_t id() const { return id_; }

  void set_current_seed(uint64_t seed) override {
    seed_ = seed;
    Sink& sink = *remote().sink;
    sink.admit();
    Sink::Entry entry(sink, wire::Record::kSeed);
    name(entry);
    entry.out().varint(seed);
    entry.commit();
  }
  uint64_t current_seed() const override { return seed_; }
  uint64_t seed() override {
    set_current_seed(c10::detail::getNonDeterministicRandom());
    return seed_;
  }
  void set_offset(uint64_t) override { TORCH_CHECK_NOT_IMPLEMENTED(false, "sky generators have no offset"); }
  uint64_t get_offset() const override { TORCH_CHECK_NOT_IMPLEMENTED(false, "sky generators have no offset"); }

  void set_state(const c10::TensorImpl& state) override {
    TORCH_CHECK_TYPE(state.device().is_cpu() && state.dtype() == caffe2::TypeMeta::Make<uint8_t>() && state.is_contiguous(),
                     "RNG state must be a torch.ByteTensor on the CPU");
    TORCH_CHECK(static_cast<uint64_t>(state.numel()) <= wire::kMaxGeneratorStateBytes, "RNG state is wrong size");
    // The states of CPU and CUDA generators both begin with the seed.
    if (state.numel() >= static_cast<int64_t>(sizeof seed_)) std::memcpy(&seed_, state.data(), sizeof seed_);
    Sink& sink = *remote().sink;
    sink.admit();
    Sink::Entry entry(sink, wire::Record::kSetState);
    name(entry);
    entry.out().text({static_cast<const char*>(state.data()), static_cast<size_t>(state.numel())});
    entry.commit();
  }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    Sink& sink = *remote().sink;
    sink.admit();
    Answer answer;
    uint64_t sequence;
    {
      Sink::Entry entry(sink, wire::Record::kGetState);
      name(entry);
      entry.expect(answer);
      sequence = entry.commit(true);
    }
    sink.wait(answer, sequence);
    auto state = at::detail::empty_cpu({static_cast<int64_t>(answer.data.size())}, c10::kByte);
    std::memcpy(state.mutable_data_ptr(), answer.data.data(), answer.data.size());
    return state.getIntrusivePtr();
  }

 private:
  SkyGenerator* clone_impl() const override {
    auto* copy = new SkyGenerator(device().index(), next_generator.fetch_add(1));
    copy->set_state(*get_state());
    return copy;
  }
  const RemoteDevice& remote() const { return remote_device(device().index()); }
  void name(Sink::Entry& entry) const {
    entry.out().varint(id_);
    entry.out().varint(remote().slot);
  }

  const uint64_t id_;
  uint64_t seed_ = c10::default_rng_seed_val;
};

}  // namespace

uint64_t generator_id(const at::Generator& generator) {
  return static_cast<const SkyGenerator*>(generator.unsafeGetGeneratorImpl())->id();
}

const at::Generator& default_generator(c10::DeviceIndex index) {
  static std::array<at::Generator, kMaxDevices> generators;
  static std::mutex mutex;
  if (index < 0) index = current_device();
  remote_device(index);
  std::lock_guard lock(mutex);
  if (!generators[index].defined()) generators[index] = at::make_generator<SkyGenerator>(index, 0);
  return generators[index];
}

at::Generator new_generator(c10::DeviceIndex index) {
  if (index < 0) index = current_device();
  remote_device(index);
  return at::make_generator<SkyGenerator>(index, next_generator.fetch_add(1));
}

}  // namespace skytorch
