// Characters that act on what shows them instead of being shown: controls, line and paragraph
// separators, and those that turn the direction of writing (Unicode's categories Cc, Zl and Zp, and
// the explicit bidirectional formatting of its annex 9). Pure; any thread.
#ifndef HOCKET_SERVICE_CONTROL_CHARACTERS_H_
#define HOCKET_SERVICE_CONTROL_CHARACTERS_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace hocket {

// Where the first of them begins in a UTF-8 text; npos where there is none.
size_t FindControl(absl::string_view text);

// `escaped`, the text between the quotes of JSON or C or a whole JSON value, with those beyond
// ASCII as \uXXXX, which means the same there.
std::string WithControlsEscaped(absl::string_view escaped);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CONTROL_CHARACTERS_H_
