// What libFuzzer calls: the decoder of the stream's frames, alone, as the session's process uses it.
#include <skytorch_wire/segment.h>
#include <skytorch_wire/structure.h>

#include <cstdlib>
#include <memory>

using namespace skytorch::wire;

namespace {

// A frame: a protobuf envelope whose records are walked.
void frame(Reader message) {
  while (!message.done()) {
    EnvelopeField field = read_envelope_field(message);
    if (!field.bytes.empty()) Structure::check(Reader(field.bytes.data(), field.bytes.size()));
  }
}

// Parts of a lane, as the records of shared memory name them: none is larger than the lane.
void lane(Reader in) {
  constexpr SegmentShape shape{4096, 8};
  static auto memory = std::make_unique<char[]>(shape.bytes());
  Drain drain(memory.get(), shape, true);
  while (!in.done())
    if (drain.part(in) > shape.slot_bytes * shape.slots) std::abort();
}

// A view: what it says about its own size never overflows.
void layout(Reader in) {
  Layout layout;
  while (!in.done()) {
    in.layout(layout);
    if (layout.numel() < 0 || layout.extent() < 0) std::abort();
  }
}

template <typename Decode>
void attempt(Decode decode, Reader in) {
  try {
    decode(in);
  } catch (const Malformed&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Reader in(data, size);
  attempt(frame, in);
  attempt([](Reader records) { Structure::check(records); }, in);
  attempt(lane, in);
  attempt(layout, in);
  return 0;
}
