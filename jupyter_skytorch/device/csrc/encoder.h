// From an op's arguments to the values of a record.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/ivalue.h>

#include "storage.h"

namespace skytorch {

// Raises for views that the server would refuse.
void check_layout(const c10::TensorImpl& tensor);

class Encoder {
 public:
  explicit Encoder(Sink& sink) : sink_(sink), entry_(sink) {}
  // A record that is given up was never told, nor were the storages that it introduced.
  ~Encoder();

  Sink::Entry& entry() { return entry_; }
  wire::Writer& out() { return entry_.out(); }
  void value(const c10::IValue& value);
  void tensor(const at::Tensor& tensor);
  // The storage, slot, size and layout of a tensor whose storage is new to the server.
  void allocation(const at::Tensor& tensor);
  // A fresh result, which becomes known by this record.
  void output(const at::Tensor& tensor);
  void generator(const at::Generator& generator);
  // Numbers a storage that the server is about to know.
  void announce(Handle& handle);
  void layout(const c10::TensorImpl& tensor);
  uint64_t commit(bool urgent = false);

 private:
  void host_scalar(const at::Tensor& tensor);

  Sink& sink_;
  Sink::Entry entry_;
  c10::SmallVector<Handle*, 4> introduced_;
};

}  // namespace skytorch
