#include "copies.h"

#include "interpreter.h"
#include "python.h"

namespace skytorch {

using python::checked;
using python::Gil;
using python::Object;
using wire::Malformed;
using wire::Reader;

Copies::~Copies() {
  // With the GIL: the executor is destroyed by Python.
  Py_XDECREF(hook_);
}

void Copies::serve(PyObject* hook) {
  Py_INCREF(hook);
  Py_XSETREF(hook_, hook);
}

void Copies::expect(uint64_t ticket, at::Tensor memory, int64_t bytes, const std::string& failure, uint64_t seconds, std::string_view secret) {
  if (open_.size() >= wire::kMaxTickets) throw Malformed("more than " + std::to_string(wire::kMaxTickets) + " copies are expected");
  if (!open_.try_emplace(ticket, Arrival{memory, bytes, failure}).second) throw Malformed("ticket " + std::to_string(ticket) + " is out already");
  if (!hook_ || !memory.defined()) return;
  Gil gil;
  Object wrapped(checked(python::wrap(memory)));
  Object done(checked(PyObject_CallMethod(hook_, "expect", "KOKy#", static_cast<unsigned long long>(ticket), wrapped.object,
                                          static_cast<unsigned long long>(seconds), secret.data(), static_cast<Py_ssize_t>(secret.size()))));
}

Copies::Arrival Copies::take(uint64_t ticket) {
  auto found = open_.find(ticket);
  if (found == open_.end()) throw Malformed("ticket " + std::to_string(ticket) + " is not out");
  Arrival arrival = std::move(found->second);
  open_.erase(found);
  return arrival;
}

Copies::Arrival Copies::receive(uint64_t ticket) {
  Arrival arrival = take(ticket);
  if (!arrival.failure.empty()) return arrival;
  if (!hook_) {
    arrival.failure = "this server takes no copies from others";
    return arrival;
  }
  Gil gil;
  Object failure(checked(PyObject_CallMethod(hook_, "receive", "K", static_cast<unsigned long long>(ticket))));
  const char* text = PyUnicode_AsUTF8(failure.object);
  if (!text) python::raise();
  arrival.failure = text;
  return arrival;
}

void Copies::withdraw(uint64_t ticket) {
  Arrival arrival = take(ticket);
  if (!hook_ || !arrival.memory.defined()) return;
  Gil gil;
  Object done(checked(PyObject_CallMethod(hook_, "withdraw", "K", static_cast<unsigned long long>(ticket))));
}

void Copies::clear() {
  open_.clear();
  if (!hook_) return;
  Gil gil;
  Object done(checked(PyObject_CallMethod(hook_, "clear", nullptr)));
}

std::string Copies::send(uint64_t sequence, uint64_t ticket, std::string_view secret, std::string_view destination, const at::Tensor& bytes) {
  if (!hook_) return {static_cast<char>(wire::Sent::kNoWay)};
  Gil gil;
  Object wrapped(checked(python::wrap(bytes)));
  Object outcome(checked(PyObject_CallMethod(hook_, "send", "KKy#y#O", static_cast<unsigned long long>(sequence), static_cast<unsigned long long>(ticket),
                                             secret.data(), static_cast<Py_ssize_t>(secret.size()), destination.data(),
                                             static_cast<Py_ssize_t>(destination.size()), wrapped.object)));
  char* data;
  Py_ssize_t size;
  if (PyBytes_AsStringAndSize(outcome.object, &data, &size) < 0) python::raise();
  return {data, static_cast<size_t>(size)};
}

void Interpreter::expect(Reader& in) {
  uint64_t ticket = in.varint();
  c10::Device device = devices_.at(in.varint());
  int64_t bytes = in.nonnegative();
  uint64_t seconds = in.bounded(wire::kMaxTicketSeconds, "how long a ticket holds");
  std::string_view secret = in.raw(wire::kTicketSecretBytes);
  if (!bytes) throw Malformed("a copy of no bytes is expected");
  current_ = nullptr;
  at::Tensor memory;
  std::string failure;
  try {
    memory = allocate(bytes_layout(0, bytes), static_cast<uint64_t>(bytes), device);
  } catch (const Malformed&) {
    throw;
  } catch (...) {
    failure = current_failure().message;
  }
  copies_.expect(ticket, std::move(memory), bytes, failure, seconds, secret);
}

void Interpreter::send(Reader& in, ReplyPort& port) {
  uint64_t ticket = in.varint();
  std::string_view secret = in.raw(wire::kTicketSecretBytes);
  std::string_view destination = in.text(wire::kMaxDestinationBytes);
  std::optional<at::Tensor> asked = asked_for(in);
  if (!asked) return;
  auto cancel = [&] { fail({wire::ErrorKind::kCancelled, "cancelled by an interrupt"}, true); };
  if (cancelled()) return cancel();
  std::string outcome;
  try {
    at::Tensor bytes = asked->resolve_conj().resolve_neg().contiguous().reshape({-1}).view(at::kByte);
    outcome = copies_.send(sequence_, ticket, secret, destination, bytes);
  } catch (...) {
    return fail(current_failure(), true);
  }
  if (cancelled()) return cancel();
  data(outcome.data(), outcome.size(), port);
}

void Interpreter::receive(Reader& in) {
  if (!sequence_) throw Malformed("a copy is received by the stream only");
  Copies::Arrival arrival = copies_.receive(in.varint());
  current_ = nullptr;
  bool arrived = arrival.failure.empty();
  SharedEntry entry = store_.make(arrived ? std::move(arrival.memory) : placeholder(bytes_layout(0, arrival.bytes)));
  if (!arrived) {
    entry->poisoned_by = origin_;
    fail({wire::ErrorKind::kRuntime, arrival.failure}, false);
  }
  parcels_.keep(sequence_, {std::move(entry)});
}

}  // namespace skytorch
