// What each line of a cell cost, as this end sees it. Always on, so it is paid where the line changes and where something
// is waited for, and not at each op.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>

namespace skytorch {

// A place in the user's program.
struct Mark {
  int64_t line = 0, cell = 0;
  bool operator==(const Mark&) const = default;
};

struct MarkHash {
  size_t operator()(const Mark& mark) const {
    return static_cast<size_t>(static_cast<uint64_t>(mark.line) + (static_cast<uint64_t>(mark.cell) << 20));
  }
};

// Costs by line, a bounded number of them: what is over goes to line 0.
template <typename Cost>
class Lines {
 public:
  Cost& operator[](const Mark& mark) {
    Recent& recent = recent_[static_cast<size_t>(mark.line) % kRecent];
    if (!recent.cost || !(recent.mark == mark)) {
      auto found = costs_.find(mark);
      recent = {mark, found != costs_.end() ? &found->second : &costs_[costs_.size() < kMaxLines ? mark : Mark{}]};
    }
    return *recent.cost;
  }
  auto begin() const { return costs_.begin(); }
  auto end() const { return costs_.end(); }

 private:
  static constexpr size_t kMaxLines = 1 << 16, kRecent = 16;
  struct Recent {
    Mark mark;
    Cost* cost = nullptr;  // in `costs_`, where it stays
  };
  std::unordered_map<Mark, Cost, MarkHash> costs_;
  std::array<Recent, kRecent> recent_{};
};

// What was issued.
struct Issued {
  uint64_t ops = 0, bytes = 0, uploads = 0, upload_bytes = 0;
};

// What was waited for.
struct Waited {
  uint64_t sync_points = 0, nanoseconds = 0, bytes = 0;
  uint64_t asks = 0;                   // of the sync points: because only the server could tell what an op returns
  const std::string* asked = nullptr;  // the last such op
  uint64_t held = 0;                   // ns, until the server had caught up
};

// Divides what is issued among the lines that issue it.
class IssuedByLine {
 public:
  // The program leaves a line, when so much has been issued since the session began.
  void leave(const Mark& line, uint64_t ops, uint64_t bytes) {
    if (bytes == bytes_) return;
    Issued& cost = lines_[line];
    cost.ops += ops - ops_;
    cost.bytes += bytes - bytes_;
    ops_ = ops;
    bytes_ = bytes;
  }
  void upload(const Mark& line, uint64_t bytes) {
    Issued& cost = lines_[line];
    ++cost.uploads;
    cost.upload_bytes += bytes;
  }
  Lines<Issued> take() { return std::exchange(lines_, {}); }

 private:
  Lines<Issued> lines_;
  uint64_t ops_ = 0, bytes_ = 0;  // when the last line was left
};

}  // namespace skytorch
