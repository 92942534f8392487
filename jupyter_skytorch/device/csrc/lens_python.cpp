// The Python face of the lens, and of what lines cost.
#include "sink.h"

namespace skytorch {

namespace {

// While a cell is profiled its statements store into this instead of the list: the rest of the line first, where a cell
// has so many, then the lower byte.
int64_t upper = 0;

int store_mark(PyObject*, PyObject* key, PyObject* value) {
  if (small_number(key)) {
    upper = small_number(value) << 8;
  } else if (lens.on()) {
    lens.statement({upper + small_number(value), marked.cell});
  }
  return 0;
}

PyType_Slot mark_slots[] = {{Py_mp_ass_subscript, reinterpret_cast<void*>(store_mark)},
                            {Py_tp_doc, const_cast<char*>("Times what is stored into it: the line of the statement that comes.")},
                            {0, nullptr}};
PyType_Spec mark_spec = {"jupyter_skytorch.device._native.Mark", sizeof(PyObject), 0, Py_TPFLAGS_DEFAULT, mark_slots};

// Places are (cell, line), times are in ns.
template <typename Items, typename Build>
PyObject* list_of(const Items& items, Build build) {
  PyObject* list = PyList_New(0);
  for (const auto& item : items) {
    PyObject* built = list ? build(item) : nullptr;
    if (!built || PyList_Append(list, built) < 0) Py_CLEAR(list);
    Py_XDECREF(built);
  }
  return list;
}

long long number(int64_t value) { return value; }
unsigned long long number(uint64_t value) { return value; }

PyObject* span_list(const std::vector<Lens::Span>& spans) {
  return list_of(spans, [](const Lens::Span& span) {
    return Py_BuildValue("LLKK", number(span.place.cell), number(span.place.line), number(span.began), number(span.ended));
  });
}

}  // namespace

PyObject* marks_(PyObject*, PyObject*) { return Py_NewRef(marks); }

PyObject* set_place(PyObject*, PyObject* args) {
  long long line, cell;
  if (!PyArg_ParseTuple(args, "LL", &line, &cell)) return nullptr;
  PyObject *lower = PyLong_FromLongLong(line & 0xff), *rest = PyLong_FromLongLong(line >> 8 & 0xff);
  if (!lower || !rest || PyList_SetItem(marks, 0, lower) < 0 || PyList_SetItem(marks, 1, rest) < 0) return nullptr;
  marked.cell = cell;
  upper = 0;
  if (lens.on()) lens.statement({line, cell});
  Py_RETURN_NONE;
}

PyObject* lens_mark(PyObject*, PyObject*) {
  PyObject* type = PyType_FromSpec(&mark_spec);
  PyObject* made = type ? PyObject_CallNoArgs(type) : nullptr;
  Py_XDECREF(type);
  return made;
}

bool make_marks() {
  marks = Py_BuildValue("[ii]", 0, 0);
  return marks;
}

PyObject* lens_begin(PyObject*, PyObject* args) {
  Py_ssize_t max_spans;
  PyObject* cell_of;
  if (!PyArg_ParseTuple(args, "nO", &max_spans, &cell_of)) return nullptr;
  lens.begin(static_cast<size_t>(std::max<Py_ssize_t>(max_spans, 0)), cell_of);
  Py_RETURN_NONE;
}

PyObject* lens_end(PyObject*, PyObject*) {
  auto times = lens.end();
  PyObject* lines = list_of(times.lines, [](const auto& line) {
    const auto& [place, time] = line;
    return Py_BuildValue("LLKKK", number(place.cell), number(place.line), number(time.nanoseconds), number(time.visits), number(time.waited));
  });
  return Py_BuildValue("NNNK", lines, span_list(times.spans), span_list(times.waits), number(times.dropped));
}

PyObject* steady_nanoseconds(PyObject*, PyObject*) { return PyLong_FromUnsignedLongLong(Lens::now()); }

PyObject* line_costs(const Lines<Issued>& issued, const Lines<Waited>& waited) {
  PyObject* left = list_of(issued, [](const auto& line) {
    const auto& [place, cost] = line;
    return Py_BuildValue("LLKKKK", number(place.cell), number(place.line), number(cost.ops), number(cost.bytes), number(cost.uploads), number(cost.upload_bytes));
  });
  PyObject* right = list_of(waited, [](const auto& line) {
    const auto& [place, cost] = line;
    return Py_BuildValue("LLKKKKsK", number(place.cell), number(place.line), number(cost.sync_points), number(cost.nanoseconds), number(cost.bytes),
                         number(cost.asks), cost.asked ? cost.asked->c_str() : "", number(cost.held));
  });
  return Py_BuildValue("NN", left, right);
}

}  // namespace skytorch
