// From the values of a record to the arguments of an op.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/ivalue.h>
#include <skytorch_wire/reader.h>

#include <array>
#include <exception>
#include <optional>
#include <unordered_map>
#include <vector>

#include "operators.h"
#include "store.h"

namespace skytorch {

// The remote devices that the client has named, by slot.
class Devices {
 public:
  // Naming a slot again is fine if it is the same device.
  void define(uint64_t slot, std::string_view type, int64_t index);
  c10::Device at(uint64_t slot) const;
  // Waits until all of them have done what they were given.
  void synchronize() const;

 private:
  std::array<std::optional<c10::Device>, 256> by_slot_;
};

// Generators by the client's ids; 0 is the device's default one.
class Generators {
 public:
  at::Generator get(uint64_t id, c10::Device device);
  void erase(uint64_t id) { by_id_.erase(id); }

 private:
  std::unordered_map<uint64_t, at::Generator> by_id_;
};

// The storages that one op touches.
struct Touched {
  struct Item {
    Entry* entry;
    Access access;
    bool fresh;  // allocated by this very record
    bool whole;  // the view covers all of its storage
    bool home;   // it is the entry's own tensor
    c10::DimVector sizes;  // of an output, before the op
    at::Tensor output;     // that isn't home
    bool conjugate = false;  // the output is a conjugate view
  };
  std::vector<Item> items;
  std::exception_ptr failure;  // why memory for one of them could not be had
  void clear() {
    items.clear();
    failure = nullptr;
  }
};

class Values {
 public:
  Values(Store& store, Devices& devices, Generators& generators) : store_(store), devices_(devices), generators_(generators) {}

  // The arguments of `op`, in its schema's order; trailing ones that are left out get their defaults.
  void arguments(wire::Reader& in, const Operator& op, std::vector<c10::IValue>& stack, Touched& touched);
  // One tensor, read.
  at::Tensor tensor(wire::Reader& in, Touched& touched);
  // An argument of `op` that is none of the session's tensors.
  c10::IValue constant(wire::Reader& in, wire::Value tag, const Operator& op, size_t i);
  // Throws wire::Malformed when the op's schema gives the argument no default.
  static c10::IValue left_out(const Operator& op, size_t i);
  // Throws wire::Malformed when the op's argument can't be a value of this kind.
  static void check(const Operator& op, size_t i, wire::Value tag);

 private:
  c10::IValue value(wire::Reader& in, wire::Value tag, Access access, Touched& touched);
  at::Tensor tensor(wire::Reader& in, wire::Value tag, Access access, Touched& touched);
  at::Tensor host_tensor(wire::Reader& in);
  c10::IValue scalar(wire::Reader& in, wire::Value tag);

  Store& store_;
  Devices& devices_;
  Generators& generators_;
  wire::Layout layout_;
};

// A fresh, uninitialised tensor of the layout, whose storage has `bytes` bytes.
at::Tensor allocate(const wire::Layout& layout, uint64_t bytes, c10::Device device);
// A stand-in for memory that could not be had, so that later records still find the storage's shape.
at::Tensor placeholder(const wire::Layout& layout);
// So many bytes from an offset on.
wire::Layout bytes_layout(int64_t offset, int64_t size);

}  // namespace skytorch
