// What was sent over a network, so that it need not be sent again while the server has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>

namespace skytorch {

// Remembers where data went by its size and a sample of it, which cost nothing next to sending it. That two tensors are the
// same is then found out by a hash of the whole, here and on the server, of what its storage holds at that time: so neither
// end has to notice writes, and a wrong memory costs time only.
class Sent {
 public:
  struct Place {
    uint64_t storage, offset;
  };
  void remember(const char* data, size_t bytes, Place place);
  // Where such data went last.
  std::optional<Place> find(const char* data, size_t bytes);
  void forget(Place place);

 private:
  struct Item {
    uint64_t sample;
    size_t bytes;
    Place place;
  };
  std::mutex mutex_;
  std::deque<Item> items_;
};

}  // namespace skytorch
