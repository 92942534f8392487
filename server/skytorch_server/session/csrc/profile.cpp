#include "profile.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <chrono>

namespace skytorch {

namespace {

void note(c10::Event& event, c10::Device device) { event.record(c10::impl::VirtualGuardImpl(device.type()).getStream(device)); }

uint64_t elapsed(const c10::Event& began, const c10::Event& ended) {
  return static_cast<uint64_t>(std::max(0.0, began.elapsedTime(ended)) * 1e6);  // it is told in ms
}

const std::string other_ops = "(others)";
constexpr auto kTimed = c10::EventFlag::BACKEND_DEFAULT;  // PyTorch's own default keeps no time

}  // namespace

uint64_t Profile::now() {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

void Profile::kernel_begins(const at::Tensor& tensor) {
  c10::Device device = tensor.device();
  if (device.is_cpu() || device.is_meta()) return;
  if (!anchors_.contains(device)) {
    c10::Event event(device.type(), kTimed);
    note(event, device);
    event.synchronize();
    anchors_.emplace(device, Anchor{std::move(event), now()});
  }
  current_.push_back({c10::Event(device.type(), kTimed), c10::Event(device.type(), kTimed), 0, kNoEvent});
  note(current_.back().began, device);
}

void Profile::kernel_ends() {
  if (current_.empty()) return;
  note(current_.back().ended, current_.back().began.device());
}

void Profile::record(const std::string& name, int64_t cell, int64_t line, uint64_t began, uint64_t ended) {
  uint64_t index = sum_of({&name, cell, line});
  ++sums_[index].count;
  sums_[index].host += ended - began;
  bool kept = events_.size() < max_events_;
  if (kept) events_.push_back({index, began, ended - began});
  else ++dropped_;
  for (Kernel& kernel : current_) {
    if (!kernel.ended.was_marked_for_recording()) continue;  // it failed
    kernel.sum = index;
    if (kept) kernel.event = events_.size() - 1;
    kernels_.push_back(std::move(kernel));
  }
  current_.clear();
  if (kernels_.size() > kMaxKernels) settle(kMaxKernels / 2);
}

uint64_t Profile::sum_of(const Key& key) {
  auto found = index_.find(key);
  if (found != index_.end()) return found->second;
  Key kept = index_.size() < kMaxSums ? key : Key{&other_ops, 0, 0};
  auto [place, added] = index_.emplace(kept, sums_.size());
  if (added) sums_.push_back({kept});
  return place->second;
}

// Looks at the oldest events until so many remain.
void Profile::settle(size_t remaining) {
  while (kernels_.size() > remaining) {
    Kernel& kernel = kernels_.front();
    kernel.ended.synchronize();
    uint64_t took = elapsed(kernel.began, kernel.ended);
    sums_[kernel.sum].device += took;
    if (kernel.event != kNoEvent) {
      const Anchor& anchor = anchors_.at(kernel.began.device());
      Event& event = events_[kernel.event];
      event.device_began = anchor.time + elapsed(anchor.event, kernel.began);
      event.device += took;
    }
    kernels_.pop_front();
  }
}

void Profile::write(wire::Writer& out) {
  settle(0);
  out.varint(sums_.size());
  for (const Sum& sum : sums_) {
    out.text(*sum.key.name);
    out.zigzag(sum.key.cell);
    out.zigzag(sum.key.line);
    out.varint(sum.count);
    out.varint(sum.host);
    out.varint(sum.device);
  }
  out.varint(events_.size());
  for (const Event& event : events_) {
    out.varint(event.sum);
    out.varint(event.began);
    out.varint(event.host);
    out.varint(event.device_began);
    out.varint(event.device);
  }
  out.varint(dropped_);
}

}  // namespace skytorch
