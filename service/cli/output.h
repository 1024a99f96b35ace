// Writing to stdout piece by piece, noticing when nobody reads it any more. Main thread.
#ifndef HOCKET_SERVICE_CLI_OUTPUT_H_
#define HOCKET_SERVICE_CLI_OUTPUT_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace hocket {

// Writes all of `text` to stdout at once, unbuffered. SIGPIPE must be ignored (RunCommandLine
// does). An error for which IsOutputClosed holds when the reader has gone; INTERNAL when the disk
// is full and the like.
absl::Status WriteOutput(absl::string_view text);

bool IsOutputClosed(const absl::Status& status);

// A note for the person, on stderr, as one line after "hocket: ". Nothing can be done if it fails.
void WriteNote(absl::string_view line);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_OUTPUT_H_
