// Last words of a session's process that a bad kernel ends.
#pragma once

namespace skytorch {

struct Operator;

// From now on a signal that means a crash writes the name of the op at `*running`, if there is one, to the file at `path`,
// and ends the process as it would have.
void note_crashes(const char* path, const Operator* const* running);
// Called on the thread whose stack an op may overflow.
void take_signals_aside();

}  // namespace skytorch
