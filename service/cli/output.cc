#include "service/cli/output.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace hocket {
namespace {

constexpr absl::string_view kClosedMark = "hocket/output-closed";

}  // namespace

absl::Status WriteOutput(absl::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDOUT_FILENO, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(written);
    } else if (errno == EPIPE) {
      absl::Status status = absl::AbortedError("stdout was closed");
      status.SetPayload(std::string(kClosedMark), absl::Cord());
      return status;
    } else if (errno != EINTR && errno != EAGAIN) {
      return absl::InternalError(
          absl::StrCat("cannot write to stdout: ", std::generic_category().message(errno)));
    }
  }
  return absl::OkStatus();
}

bool IsOutputClosed(const absl::Status& status) {
  return status.GetPayload(std::string(kClosedMark)).has_value();
}

void WriteNote(absl::string_view line) {
  const std::string text = absl::StrCat("hocket: ", line, "\n");
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace hocket
