// Large data through memory that a client on the same machine has mapped, instead of through the stream.
#include <ATen/ops/from_blob.h>

#include <system_error>

#include "interpreter.h"

namespace skytorch {

using wire::Malformed;
using wire::Reader;
using wire::Reply;

namespace {

// Where slots take longer to come free, data goes through the stream, which waits in its own way.
constexpr std::chrono::milliseconds kRoomPatience{50};
// For a client that has begun to fill free slots, and does nothing else until it is done.
constexpr std::chrono::milliseconds kChunkPatience{60'000};

void copy_out(const at::Tensor& bytes, char* target) {
  if (bytes.is_cpu()) std::memcpy(target, bytes.const_data_ptr(), bytes.nbytes());
  else at::from_blob(target, bytes.sizes(), at::kByte).copy_(bytes);
}

}  // namespace

void Interpreter::share() {
  replies_.tag(Reply::kSegment);
  replies_.varint(sequence_);
  try {
    segment_ = std::make_unique<Segment>(++last_segment_);
    segment_->describe(replies_);
  } catch (const std::system_error&) {  // the client goes on without
    segment_.reset();
    replies_.varint(0);
  }
}

Segment& Interpreter::own_segment(uint64_t number) {
  if (!segment_ || segment_->number() != number) throw Malformed("segment " + std::to_string(number) + " is not this session's");
  return *segment_;
}

void Interpreter::mapped(Reader& in) {
  Segment& segment = own_segment(in.varint());
  if (in.bounded(1, "whether a segment is mapped")) segment.mapped();
  else segment_.reset();
}

void Interpreter::write_shared(Reader& in) {
  Segment& segment = own_segment(in.varint());
  if (!segment.is_mapped()) throw Malformed("data came through a segment that isn't mapped");
  uint64_t id = in.varint();
  int64_t offset = in.nonnegative();
  wire::Drain& lane = segment.up();
  uint64_t size = lane.part(in);
  counters_.shared_in.fetch_add(size, std::memory_order_relaxed);
  for (uint64_t done = 0; done < size;) {
    const char* chunk = lane.next(kChunkPatience);
    if (!chunk) throw Malformed("the client stopped in the middle of a chunk");
    uint64_t part = std::min(size - done, lane.slot_bytes());
    write_bytes(id, offset + static_cast<int64_t>(done), {chunk, part});
    lane.emptied();
    done += part;
  }
}

void Interpreter::tell_shared(uint64_t offset, uint64_t size, uint64_t total, uint32_t place, ReplyPort& port) {
  replies_.tag(Reply::kDataShared);
  replies_.varint(sequence_);
  replies_.varint(offset);
  replies_.varint(total);
  replies_.varint(place);
  replies_.varint(size);
  counters_.shared_out.fetch_add(size, std::memory_order_relaxed);
  flush(port);
}

void Interpreter::data_shared(const at::Tensor& tensor, ReplyPort& port) {
  if (!segment_ || !segment_->is_mapped()) {
    at::Tensor here = tensor.cpu();
    return data(here.const_data_ptr(), here.nbytes(), port);
  }
  wire::Filler& lane = segment_->down();
  uint64_t total = tensor.nbytes();
  at::Tensor flat = tensor.reshape({-1}).view(at::kByte);
  auto piece = [&](uint64_t offset, uint64_t size) { return flat.narrow(0, static_cast<int64_t>(offset), static_cast<int64_t>(size)); };
  for (uint64_t offset = 0; offset < total;) {
    uint64_t part = std::min(total - offset, lane.part_bytes());
    if (!lane.room(part, kRoomPatience)) {
      part = std::min<uint64_t>(total - offset, chunk_bytes_);
      chunk(piece(offset, part).cpu().const_data_ptr(), offset, part, total, port);
      offset += part;
      continue;
    }
    // Told at once, so that the client copies while this goes on; but what a device fails to copy is never told of.
    uint32_t place = lane.place();
    bool on_device = !tensor.is_cpu();
    if (!on_device) tell_shared(offset, part, total, place, port);
    for (uint64_t done = 0; done < part;) {
      uint64_t size = std::min(part - done, lane.slot_bytes());
      copy_out(piece(offset + done, size), lane.next());
      lane.filled();
      done += size;
    }
    if (on_device) tell_shared(offset, part, total, place, port);
    offset += part;
  }
}

}  // namespace skytorch
