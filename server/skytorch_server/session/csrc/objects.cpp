#include "objects.h"

#include "interpreter.h"

namespace skytorch {

using wire::Malformed;
using wire::Reader;
using wire::Writer;

uint64_t Named::bytes() const {
  uint64_t sum = 0;
  for (const auto& entry : storages) sum += entry->bytes;
  return sum;
}

void Objects::put(std::string name, Named object) {
  auto found = by_name_.find(name);
  uint64_t before = found == by_name_.end() ? 0 : found->second.pickle.size();
  try {
    TORCH_CHECK(found != by_name_.end() || by_name_.size() < wire::kMaxObjects, "a session holds ", wire::kMaxObjects, " named objects at most: forget some");
    TORCH_CHECK(pickle_bytes_ - before + object.pickle.size() <= wire::kMaxPicklesBytes, "the structures of a session's named objects take ",
                wire::kMaxPicklesBytes >> 20, " MiB at most: forget some");
  } catch (...) {
    release(std::move(object.storages));
    throw;
  }
  pickle_bytes_ += object.pickle.size() - before;
  for (auto& entry : object.storages) key(*entry);
  std::swap(by_name_[std::move(name)], object);
  release(std::move(object.storages));
}

const Named* Objects::find(const std::string& name) const {
  auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &found->second;
}

bool Objects::forget(const std::string& name) {
  auto found = by_name_.find(name);
  if (found == by_name_.end()) return false;
  pickle_bytes_ -= found->second.pickle.size();
  release(std::move(found->second.storages));
  by_name_.erase(found);
  return true;
}

SharedEntry Objects::make(at::Tensor home) { return store_.make(std::move(home)); }

uint64_t Objects::key(Entry& entry) {
  if (!entry.key) entry.key = ++last_key_;
  return entry.key;
}

void Objects::release(std::vector<SharedEntry> storages) {
  for (auto& entry : storages) store_.release(std::move(entry));
}

namespace {

std::string object_name(Reader& in) {
  std::string name(in.text(wire::kMaxObjectNameBytes));
  if (name.empty()) throw Malformed("an object's name is empty");
  return name;
}

}  // namespace

void Interpreter::save(Reader& in, ReplyPort& port) {
  current_ = nullptr;
  std::string name = object_name(in);
  Named object{std::string(in.text(wire::kMaxPickleBytes)), {}};
  uint64_t count = in.count();
  touched_.clear();
  for (uint64_t i = 0; i < count; ++i) {
    values_.tensor(in, touched_);
    if (touched_.items.size() != i + 1) throw Malformed("a named object holds tensors of the session's");
    if (touched_.failure) {
      touched_.items.back().entry->poisoned_by = origin_;
      fail(failure_of(std::exchange(touched_.failure, nullptr)), false);
    }
  }
  Writer keys;
  keys.varint(count);
  for (const auto& item : touched_.items) {
    object.storages.push_back(item.entry->shared_from_this());
    keys.varint(objects_.key(*item.entry));
  }
  try {
    objects_.put(std::move(name), std::move(object));
  } catch (...) {
    return fail(current_failure(), true);
  }
  data(keys.bytes().data(), keys.size(), port);
}

void Interpreter::load(Reader& in, ReplyPort& port) {
  current_ = nullptr;
  const Named* object = objects_.find(object_name(in));
  Writer out;
  out.byte(object != nullptr);
  if (object) {
    if (parcels_.size() >= wire::kMaxParcels) throw Malformed("too many parcels wait to be dropped");
    if (!object->storages.empty()) parcels_.keep(sequence_, object->storages);
    out.varint(object->storages.empty() ? 0 : sequence_);
    out.text(object->pickle);
    out.varint(object->storages.size());
    for (const auto& entry : object->storages) {
      const at::Tensor& home = entry->home;
      out.varint(entry->key);
      out.text(c10::DeviceTypeName(home.device().type(), true));
      out.varint(static_cast<uint64_t>(std::max<int64_t>(home.device().index(), 0)));
      out.varint(home.storage().nbytes());
      out.layout(static_cast<uint8_t>(home.scalar_type()), home.sizes(), home.strides(), home.is_contiguous(), home.storage_offset());
    }
  }
  data(out.bytes().data(), out.size(), port);
}

void Interpreter::forget(Reader& in, ReplyPort& port) {
  char found = objects_.forget(object_name(in));
  data(&found, 1, port);
}

void Interpreter::list_objects(ReplyPort& port) {
  Writer out;
  out.varint(objects_.size());
  for (const auto& [name, object] : objects_.all()) {
    out.text(name);
    out.varint(object.storages.size());
    out.varint(object.bytes());
    out.varint(object.pickle.size());
  }
  data(out.bytes().data(), out.size(), port);
}

}  // namespace skytorch
