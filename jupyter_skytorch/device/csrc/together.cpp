// Reads that are known to come, asked for at once: a module that moves to the CPU, a file that is written. One round trip
// instead of one for each tensor.
#include "together.h"

#include <ATen/EmptyTensor.h>
#include <ATen/ops/empty.h>

#include <unordered_map>

#include "encoder.h"

namespace skytorch {

namespace {

// Of what is larger, the bytes cost more than the round trip; and copies are made of it twice.
constexpr size_t kMaxStorage = 1 << 20, kMaxTotal = 64 << 20;

struct Ahead {
  uint64_t ops = 0;  // that the session had issued
  std::unordered_map<const c10::StorageImpl*, at::Tensor> bytes;
};
thread_local std::unordered_map<Sink*, Ahead> ahead;

struct Expected {
  const c10::StorageImpl* storage;
  at::Tensor bytes;
  Answer answer;
  uint64_t sequence = 0;
};

void read_all(Sink& sink, std::deque<Expected>& expected, c10::ArrayRef<at::Tensor> sources) {
  for (size_t i = 0; i < sources.size(); ++i) {
    Expected& one = expected[i];
    one.answer.target = one.bytes.mutable_data_ptr();
    one.answer.target_bytes = one.bytes.nbytes();
    sink.admit();
    Encoder encoder(sink);
    encoder.entry().begin(wire::Record::kRead);
    encoder.tensor(sources[i]);
    encoder.entry().expect(one.answer);
    one.sequence = encoder.commit(i + 1 == sources.size());
  }
  // Replies come in order. An error of one is told when it is read by itself.
  sink.wait(expected.back().answer, expected.back().sequence);
}

}  // namespace

void read_ahead(const std::vector<at::Tensor>& tensors) {
  std::unordered_map<Sink*, std::vector<at::Tensor>> by_sink;
  std::unordered_map<const c10::StorageImpl*, bool> seen;
  size_t total = 0;
  for (const at::Tensor& tensor : tensors) {
    const auto* storage = tensor.storage().unsafeGetStorageImpl();
    const Handle& handle = handle_of(*storage);
    size_t bytes = storage->nbytes();
    if (!handle.announced || !bytes || bytes > kMaxStorage || total + bytes > kMaxTotal || !seen.emplace(storage, true).second) continue;
    total += bytes;
    at::Tensor whole = at::empty({0}, tensor.options().dtype(c10::kByte));
    whole.set_(tensor.storage(), 0, {static_cast<int64_t>(bytes)}, {1});
    by_sink[handle.sink].push_back(std::move(whole));
  }
  for (auto& [sink, sources] : by_sink) {
    std::deque<Expected> expected;
    for (const at::Tensor& source : sources)
      expected.push_back({source.storage().unsafeGetStorageImpl(), at::Tensor(at::detail::empty_cpu(source.sizes(), c10::kByte)), {}});
    try {
      read_all(*sink, expected, sources);
    } catch (...) {
      for (Expected& one : expected) sink->forget(one.sequence);
      throw;
    }
    Ahead& had = ahead[sink];
    had.ops = sink->ops();
    for (Expected& one : expected)
      if (one.answer.done && !one.answer.error) had.bytes.emplace(one.storage, std::move(one.bytes));
  }
}

void end_read_ahead() { ahead.clear(); }

bool was_read_ahead(const at::Tensor& source, const at::Tensor& target) {
  if (ahead.empty()) return false;
  auto had = ahead.find(handle_of(source).sink);
  if (had == ahead.end() || had->second.ops != had->first->ops() || !source.is_contiguous() || source.is_conj() || source.is_neg()) return false;
  auto found = had->second.bytes.find(source.storage().unsafeGetStorageImpl());
  if (found == had->second.bytes.end()) return false;
  size_t offset = static_cast<size_t>(source.storage_offset()) * source.element_size();
  if (offset + source.nbytes() > found->second.nbytes()) return false;
  std::memcpy(target.mutable_data_ptr(), static_cast<const char*>(found->second.const_data_ptr()) + offset, source.nbytes());
  return true;
}

void forget_read_ahead(const at::Tensor& written) {
  if (ahead.empty()) return;
  auto had = ahead.find(handle_of(written).sink);
  if (had != ahead.end()) had->second.bytes.erase(written.storage().unsafeGetStorageImpl());
}

}  // namespace skytorch
