// The device guard: which sky device is current, and waiting for it. There is one stream a session, so stream and event
// calls have nothing to do.
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "devices.h"

namespace skytorch {

// Waits until the server has done everything issued to the device, and raises what went wrong there.
void synchronize(c10::DeviceIndex index) {
  Sink& sink = *remote_device(index).sink;
  sink.admit();
  Answer answer;
  uint64_t sequence;
  {
    Sink::Entry entry(sink, wire::Record::kSync);
    entry.expect(answer);
    sequence = entry.commit(true);
  }
  sink.wait(answer, sequence);
}

namespace {

using c10::Device;
using c10::Stream;

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kSky; }
  Device exchangeDevice(Device device) const override {
    Device before = getDevice();
    set_current_device(device.index());
    return before;
  }
  Device getDevice() const override { return Device(kSky, current_device()); }
  void setDevice(Device device) const override { set_current_device(device.index()); }
  void uncheckedSetDevice(Device device) const noexcept override { set_current_device(device.index()); }
  Stream getStream(Device device) const override { return Stream(Stream::DEFAULT, device); }
  Stream getDefaultStream(Device device) const override { return Stream(Stream::DEFAULT, device); }
  Stream getNewStream(Device device, int) const override { return Stream(Stream::DEFAULT, device); }
  Stream exchangeStream(Stream stream) const override { return Stream(Stream::DEFAULT, stream.device()); }
  c10::DeviceIndex deviceCount() const noexcept override { return kMaxDevices; }
  void record(void**, const Stream&, c10::DeviceIndex, c10::EventFlag) const override {}
  void block(void*, const Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, c10::DeviceIndex) const noexcept override {}
  bool queryStream(const Stream&) const override { return true; }
  void synchronizeStream(const Stream& stream) const override { synchronize(stream.device_index()); }
  void synchronizeEvent(void*) const override {}
  void synchronizeDevice(c10::DeviceIndex index) const override { synchronize(index); }
};

}  // namespace

void register_guard() { static c10::impl::DeviceGuardImplRegistrar registrar(kSky, new Guard); }

}  // namespace skytorch
