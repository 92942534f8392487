// Objects that the session holds by a name: storages, and the pickle that says what they are parts of. The pickle is the
// client's; nothing here reads it. A client's exit leaves them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "store.h"

namespace skytorch {

struct Named {
  std::string pickle;
  std::vector<SharedEntry> storages;  // which others may hold too: an object isn't a copy
  uint64_t bytes() const;
};

class Objects {
 public:
  explicit Objects(Store& store) : store_(store) {}

  // Takes the place of what has the name already. Throws c10::Error beyond what a session may hold.
  void put(std::string name, Named object);
  // Null when there is none.
  const Named* find(const std::string& name) const;
  bool forget(const std::string& name);
  const std::map<std::string, Named>& all() const { return by_name_; }
  size_t size() const { return by_name_.size(); }

  // An entry without a number.
  SharedEntry make(at::Tensor home);
  // What names an entry to clients for as long as it lives.
  uint64_t key(Entry& entry);

 private:
  void release(std::vector<SharedEntry> storages);

  Store& store_;
  std::map<std::string, Named> by_name_;
  uint64_t pickle_bytes_ = 0, last_key_ = 0;
};

}  // namespace skytorch
