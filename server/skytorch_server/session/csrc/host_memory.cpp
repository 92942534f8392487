#include "host_memory.h"

#include <c10/core/CPUAllocator.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "memory_limit.h"

namespace skytorch {

namespace {

constexpr size_t kLarge = 8 << 20;        // smaller blocks stay with malloc: see mallopt in module.cpp
constexpr size_t kMostKept = size_t{1} << 30;
constexpr size_t kShareOfMachine = 16;    // one part in so many of its memory is kept at most
constexpr size_t kSlack = 8;              // a block serves for a size that is smaller by one part in so many at most

thread_local int unlimited = 0;

class HostAllocator final : public c10::Allocator {
 public:
  explicit HostAllocator(c10::Allocator& base)
      : base_(base),
        most_kept_(std::min(kMostKept, static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGE_SIZE)) / kShareOfMachine)) {}

  c10::DataPtr allocate(size_t bytes) override {
    size_t held = held_.fetch_add(bytes, std::memory_order_relaxed);
    void* block;
    try {
      if (__builtin_expect(held + bytes > limit_.load(std::memory_order_relaxed), 0) && !unlimited) refuse_allocation(bytes, held);
      block = bytes < kLarge ? base_.allocate(bytes).release_context() : take(bytes);
    } catch (...) {
      held_.fetch_sub(bytes, std::memory_order_relaxed);
      throw;
    }
    held_.fetch_add(malloc_usable_size(block) - bytes, std::memory_order_relaxed);
    return {block, block, &give_back, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }
  void copy_data(void* target, const void* source, size_t bytes) const override { default_copy_data(target, source, bytes); }

  void limit(size_t bytes) {
    limit_.store(bytes, std::memory_order_relaxed);
    std::lock_guard lock(mutex_);
    most_kept_ = std::min(most_kept_, bytes / kShareOfMachine);
  }

  void release() {
    std::multimap<size_t, void*> kept;
    {
      std::lock_guard lock(mutex_);
      kept.swap(kept_);
      kept_bytes_ = 0;
    }
    for (auto& [bytes, block] : kept) base_.raw_deleter()(block);
  }

  static HostAllocator& instance() {
    static auto* allocator = new HostAllocator(*c10::GetDefaultCPUAllocator());  // tensors may outlive everything
    return *allocator;
  }

 private:
  void* take(size_t bytes) {
    void* block = nullptr;
    {
      std::lock_guard lock(mutex_);
      auto found = kept_.lower_bound(bytes);
      if (found != kept_.end() && found->first - bytes <= bytes / kSlack) {
        block = found->second;
        kept_bytes_ -= found->first;
        used_[block] = found->first;
        kept_.erase(found);
      }
    }
    if (!block) {
      try {
        block = base_.allocate(bytes).release_context();
      } catch (...) {
        release();  // what is kept may be what is missing
        block = base_.allocate(bytes).release_context();
      }
      std::lock_guard lock(mutex_);
      used_[block] = bytes;
    }
    return block;
  }

  static void give_back(void* block) {
    size_t bytes = malloc_usable_size(block);
    instance().held_.fetch_sub(bytes, std::memory_order_relaxed);
    if (bytes < kLarge) instance().base_.raw_deleter()(block);
    else instance().take_back(block);
  }

  void take_back(void* block) {
    std::vector<void*> given_up;
    {
      std::lock_guard lock(mutex_);
      auto found = used_.find(block);
      if (found == used_.end() || found->second > most_kept_) {
        given_up.push_back(block);
      } else {
        kept_.emplace(found->second, block);
        kept_bytes_ += found->second;
        // The smallest go first: they are the quickest to be had again.
        for (; kept_bytes_ > most_kept_; kept_.erase(kept_.begin())) {
          kept_bytes_ -= kept_.begin()->first;
          given_up.push_back(kept_.begin()->second);
        }
      }
      if (found != used_.end()) used_.erase(found);
    }
    for (void* each : given_up) base_.raw_deleter()(each);
  }

  c10::Allocator& base_;
  size_t most_kept_;
  std::mutex mutex_;
  std::unordered_map<void*, size_t> used_;
  std::multimap<size_t, void*> kept_;
  size_t kept_bytes_ = 0;
  // In use, as malloc counts it.
  std::atomic<size_t> held_{0}, limit_{SIZE_MAX};
};

}  // namespace

void keep_host_memory() { c10::SetCPUAllocator(&HostAllocator::instance(), 1); }

void release_host_memory() { HostAllocator::instance().release(); }

void limit_host_memory(size_t bytes) { HostAllocator::instance().limit(bytes); }

Unlimited::Unlimited() { ++unlimited; }
Unlimited::~Unlimited() { --unlimited; }

}  // namespace skytorch
