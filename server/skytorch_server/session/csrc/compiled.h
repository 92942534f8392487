// Graphs as torch's own compiler makes them: on a thread of Python's, while the loop still runs them.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <ATen/core/ivalue.h>

#include <vector>

namespace skytorch {

class Graph;

// One graph, for inputs of the sizes and strides of its first run.
class Compiled {
 public:
  Compiled() = default;
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
  ~Compiled();

  // From inputs to results where it is ready and the inputs fit; else false, and the loop is to be run.
  bool run(const Graph& graph, std::vector<c10::IValue>& stack);

 private:
  bool fits(const std::vector<c10::IValue>& stack) const;
  void start(const Graph& graph, const std::vector<c10::IValue>& stack);

  std::vector<at::Tensor> inputs_;  // without memory
  PyObject* job_ = nullptr;
  bool started_ = false;
};

}  // namespace skytorch
