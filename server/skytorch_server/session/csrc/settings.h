// torch's settings, as the client sets them.
#pragma once

#include <skytorch_wire/reader.h>

namespace skytorch {

// Reads the rest of a setting record and calls the setter that it names, with the values that it holds. Throws
// wire::Malformed for what is no such record, and c10::Error for a setting that this torch doesn't have or doesn't take.
void apply_setting(wire::Reader& in);

}  // namespace skytorch
