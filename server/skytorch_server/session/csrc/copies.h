// Tensors from session to session, without the client: what is expected here, and what is sent. Python has the sockets.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace skytorch {

class Copies {
 public:
  // What was expected: all of its bytes, or why they didn't come.
  struct Arrival {
    at::Tensor memory;
    int64_t bytes = 0;
    std::string failure;
  };

  ~Copies();

  // With the GIL held: `hook` has the methods that are called here.
  void serve(PyObject* hook);
  // Gives out a ticket for `memory`, which is none where it could not be had. Throws wire::Malformed for one that is out.
  void expect(uint64_t ticket, at::Tensor memory, int64_t bytes, const std::string& failure, uint64_t seconds, std::string_view secret);
  // These take a ticket back; both throw wire::Malformed when it isn't out.
  Arrival receive(uint64_t ticket);
  void withdraw(uint64_t ticket);
  // No ticket was ever given out.
  void clear();
  // Brings bytes to the session that expects them; what became of it, as replied. Returns when they are there, or not.
  std::string send(uint64_t sequence, uint64_t ticket, std::string_view secret, std::string_view destination, const at::Tensor& bytes);

 private:
  Arrival take(uint64_t ticket);

  PyObject* hook_ = nullptr;
  std::unordered_map<uint64_t, Arrival> open_;
};

}  // namespace skytorch
