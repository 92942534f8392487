// Numbers for storages on the wire: always the lowest that is free, so that a loop that does the same again sends the
// same bytes again, and numbers stay short.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace skytorch {

class Numbers {
 public:
  // From 1 on.
  uint64_t take() {
    while (first_ < free_.size() && !free_[first_]) ++first_;
    if (first_ == free_.size()) free_.push_back(~uint64_t{0});
    uint64_t& word = free_[first_];
    auto bit = static_cast<uint64_t>(std::countr_zero(word));
    word &= word - 1;
    return first_ * 64 + bit + 1;
  }
  void give_back(uint64_t number) {
    size_t place = (number - 1) / 64;
    free_[place] |= uint64_t{1} << (number - 1) % 64;
    if (place < first_) first_ = place;
  }

 private:
  std::vector<uint64_t> free_;  // a bit each
  size_t first_ = 0;            // no word before this one has a bit
};

}  // namespace skytorch
