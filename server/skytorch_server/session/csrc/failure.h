// What went wrong in an op, as it travels.
#pragma once

#include <c10/util/Exception.h>
#include <skytorch_wire/format.h>

#include <exception>
#include <new>
#include <string>

#include "memory_limit.h"

namespace skytorch {

struct Failure {
  wire::ErrorKind kind;
  std::string message;
};

// PyTorch lists every backend that it knows when an op has no kernel: a hundred lines that say nothing about this one.
inline std::string without_backends(std::string message) {
  return message.substr(0, message.find(" This could be because the operator doesn't exist for this backend"));
}

// Classifies the exception being handled by the type that PyTorch would raise for it.
inline Failure current_failure() {
  using wire::ErrorKind;
  try {
    throw;
  } catch (const c10::IndexError& error) {
    return {ErrorKind::kIndex, error.what_without_backtrace()};
  } catch (const c10::ValueError& error) {
    return {ErrorKind::kValue, error.what_without_backtrace()};
  } catch (const c10::TypeError& error) {
    return {ErrorKind::kType, error.what_without_backtrace()};
  } catch (const c10::NotImplementedError& error) {
    return {ErrorKind::kNotImplemented, without_backends(error.what_without_backtrace())};
  } catch (const c10::OutOfMemoryError& error) {
    return {ErrorKind::kOutOfMemory, error.what_without_backtrace() + limit_advice()};
  } catch (const c10::LinAlgError& error) {
    return {ErrorKind::kLinAlg, error.what_without_backtrace()};
  } catch (const c10::Error& error) {
    return {ErrorKind::kRuntime, error.what_without_backtrace()};
  } catch (const std::bad_alloc&) {
    return {ErrorKind::kOutOfMemory, "the server is out of memory"};
  } catch (const std::exception& error) {
    return {ErrorKind::kRuntime, error.what()};
  }
}

inline Failure failure_of(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (...) {
    return current_failure();
  }
}

}  // namespace skytorch
