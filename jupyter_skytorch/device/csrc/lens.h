// Where the program is, and, while a cell is profiled, how long it was there.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <vector>

#include "lines.h"

namespace skytorch {

// The place in the program that is being executed. The cell's statements store their line into a Python list, its lower
// byte at 0 and the rest at 1: numbers so small live as long as the process, so that they can be read without the GIL.
extern PyObject* marks;
extern Mark marked;  // only the cell's number counts

inline int64_t small_number(PyObject* item) {
  if (!PyLong_CheckExact(item)) return 0;  // not ours
#if PY_VERSION_HEX >= 0x030C0000
  auto* number = reinterpret_cast<PyLongObject*>(item);
  return PyUnstable_Long_IsCompact(number) ? PyUnstable_Long_CompactValue(number) : 0;
#else
  return Py_SIZE(item) == 1 ? reinterpret_cast<PyLongObject*>(item)->ob_digit[0] : 0;
#endif
}

// Times a cell by line. A statement's time goes from its mark to the next one. Inside functions, whose statements have no
// marks, each op is found to belong to the innermost line of a notebook, which gets the time since the last op.
class Lens {
 public:
  using Clock = std::chrono::steady_clock;

  struct Span {
    Mark place;
    uint64_t began, ended;  // ns of the steady clock
  };
  struct LineTime {
    uint64_t nanoseconds = 0, visits = 0, waited = 0;
  };
  struct Times {
    Lines<LineTime> lines;
    std::vector<Span> spans, waits;
    uint64_t dropped = 0;
  };

  static uint64_t now() {
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count());
  }

  const Mark& place() const { return place_; }
  bool on() const { return on_.load(std::memory_order_relaxed); }
  // For the calling thread; keeps at most so many spans of each kind. `cell_of` is called with a file's name and answers
  // with the number of the cell that it is, 0 for none. With the GIL.
  void begin(size_t max_spans, PyObject* cell_of);
  Times end();
  // The program has come to a statement.
  void statement(const Mark& place);
  // The program issues something: finds the line of a notebook that does. With or without the GIL.
  void issue();
  // The thread has waited for the server since then, and for the GIL after it.
  void waited(uint64_t began);

  void before_fork() { mutex_.lock(); }
  void after_fork(bool in_child) {
    if (in_child) on_.store(false);
    mutex_.unlock();
  }

 private:
  void spend(const Mark& place, uint64_t until);
  int64_t cell_of(PyCodeObject* code);
  void close();
  void keep(std::vector<Span>& spans, const Span& span);

  std::atomic<bool> on_{false};
  std::mutex mutex_;
  uint64_t owner_ = 0;  // the thread
  size_t max_spans_ = 0;
  Mark statement_;
  Mark place_;  // read by other threads too
  uint64_t since_ = 0;
  Span open_{};  // the visit that lasts
  Times times_;
  PyObject* ask_cell_ = nullptr;
  std::unordered_map<PyCodeObject*, int64_t> cells_;  // of code that is kept alive meanwhile
};
extern Lens lens;

inline Mark place() {
  if (__builtin_expect(lens.on(), 0)) return lens.place();
  return {small_number(PyList_GET_ITEM(marks, 0)) + (small_number(PyList_GET_ITEM(marks, 1)) << 8), marked.cell};
}

}  // namespace skytorch
