#include "lens.h"

#include "sink.h"

namespace skytorch {

PyObject* marks = nullptr;
Mark marked;
Lens lens;

void Lens::begin(size_t max_spans, PyObject* cell_of) {
  end();
  std::lock_guard lock(mutex_);
  owner_ = this_thread();
  max_spans_ = max_spans;
  statement_ = place_ = skytorch::place();
  since_ = now();
  open_ = {place_, since_, since_};
  Py_INCREF(cell_of);
  ask_cell_ = cell_of;
  on_.store(true);
}

Lens::Times Lens::end() {
  if (!on_.exchange(false)) return {};
  std::unordered_map<PyCodeObject*, int64_t> codes;
  Times times;
  {
    std::lock_guard lock(mutex_);
    spend(place_, now());
    close();
    codes.swap(cells_);
    times = std::exchange(times_, {});
  }
  for (auto& [code, cell] : codes) Py_DECREF(code);
  Py_CLEAR(ask_cell_);
  return times;
}

void Lens::statement(const Mark& place) {
  if (this_thread() != owner_) return;
  std::lock_guard lock(mutex_);
  spend(place_, now());
  close();
  statement_ = place_ = place;
  ++times_.lines[place].visits;
}

void Lens::issue() {
  if (this_thread() != owner_) return;
  WithGil gil;
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  Mark found = statement_;
  PyFrameObject* frame = PyEval_GetFrame();
  Py_XINCREF(frame);
  while (frame) {
    PyCodeObject* code = PyFrame_GetCode(frame);
    int64_t number = cell_of(code);
    // The cell's own statements are known by their marks, which are the numbers of their first lines.
    bool own = number == statement_.cell && !(code->co_flags & CO_OPTIMIZED);
    Py_DECREF(code);
    if (number && !own) found = {PyFrame_GetLineNumber(frame), number};
    PyFrameObject* back = number ? nullptr : PyFrame_GetBack(frame);
    Py_DECREF(frame);
    frame = back;
  }
  PyErr_Restore(type, value, trace);
  std::lock_guard lock(mutex_);
  if (!on()) return;
  place_ = found;
  spend(found, now());
}

void Lens::waited(uint64_t began) {
  if (this_thread() != owner_) return;
  uint64_t ended = now();
  std::lock_guard lock(mutex_);
  if (!on()) return;
  times_.lines[place_].waited += ended - began;
  keep(times_.waits, {place_, began, ended});
}

// With the lock held: the time since the last call was spent at `place`, in one span with what was before it there.
void Lens::spend(const Mark& place, uint64_t until) {
  times_.lines[place].nanoseconds += until - since_;
  if (place != open_.place) close();
  open_.place = place;
  open_.ended = since_ = until;
}

void Lens::close() {
  if (open_.ended > open_.began) keep(times_.spans, open_);
  open_.began = open_.ended;
}

void Lens::keep(std::vector<Span>& spans, const Span& span) {
  if (spans.size() < max_spans_) spans.push_back(span);
  else ++times_.dropped;
}

// The cell that code is of, 0 if none. Without the lock: Python is asked.
int64_t Lens::cell_of(PyCodeObject* code) {
  auto found = cells_.find(code);
  if (found != cells_.end()) return found->second;
  PyObject* answer = PyObject_CallFunctionObjArgs(ask_cell_, code->co_filename, nullptr);
  int64_t number = answer ? PyLong_AsLongLong(answer) : 0;
  Py_XDECREF(answer);
  if (PyErr_Occurred()) {
    PyErr_Clear();
    number = 0;
  }
  Py_INCREF(code);
  cells_[code] = number;
  return number;
}

}  // namespace skytorch
