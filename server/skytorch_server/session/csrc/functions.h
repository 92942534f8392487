// Functions of the user's, which Python runs on the session's storages.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

namespace skytorch {

class Functions {
 public:
  // What a function writes: stdout (1) or stderr (2), and what. Called from any thread, one at a time.
  using Output = std::function<void(uint64_t, std::string_view)>;

  ~Functions();

  // With the GIL held: `hook`(sequence, device, storages, parts, write) -> (reply, slots) runs them from now on, whose calls may have
  // so many bytes (0: any number).
  void serve(PyObject* hook, uint64_t max_bytes);
  bool served() const { return hook_ != nullptr; }
  uint64_t max_bytes() const { return max_bytes_; }
  bool too_large() const { return max_bytes_ && size_ > max_bytes_; }

  // Takes a part of the next call; throws wire::Malformed when it doesn't follow the last one.
  void part(uint64_t offset, std::string_view data);
  // How much of the next call is here.
  uint64_t size() const { return size_; }
  // The next call was not run, and is forgotten.
  void discard();

  struct Result {
    PyObject* reply = nullptr;  // bytes
    std::vector<at::Tensor> slots;
    Result() = default;
    Result(Result&& other) noexcept : reply(std::exchange(other.reply, nullptr)), slots(std::move(other.slots)) {}
    Result& operator=(Result&& other) noexcept {
      std::swap(reply, other.reply);
      slots.swap(other.slots);
      return *this;
    }
    ~Result();
    std::string_view bytes() const { return {PyBytes_AS_STRING(reply), static_cast<size_t>(PyBytes_GET_SIZE(reply))}; }
  };
  // Runs the call whose parts are here. Storages are given as all of their bytes.
  Result run(uint64_t sequence, c10::Device device, const std::vector<std::pair<uint64_t, at::Tensor>>& storages, Output output);

 private:
  PyObject* hook_ = nullptr;
  uint64_t max_bytes_ = 0;
  std::vector<PyObject*> parts_;  // bytes
  uint64_t size_ = 0;
};

}  // namespace skytorch
