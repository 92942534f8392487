#include "objects.h"

#include "encoder.h"

namespace skytorch {

std::string save_object(Sink& sink, std::string_view name, std::string_view pickle, const std::vector<at::Tensor>& tensors) {
  sink.admit();
  Answer answer;
  uint64_t sequence;
  {
    Encoder encoder(sink);
    encoder.entry().begin(wire::Record::kSave);
    encoder.out().text(name);
    encoder.out().text(pickle);
    encoder.out().varint(tensors.size());
    for (const at::Tensor& tensor : tensors) encoder.tensor(tensor);
    encoder.entry().expect(answer);
    sequence = encoder.commit(true);
  }
  sink.wait(answer, sequence);
  return std::move(answer.data);
}

}  // namespace skytorch
