#include "service/file_contents.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace hocket {
namespace {

absl::Status CannotRead(const std::string& path, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("cannot read ", path, ": ", why));
}

}  // namespace

absl::StatusOr<FileContents> ReadWholeFile(const std::string& path, size_t max_bytes) {
  // Not to wait for a writer where it is a pipe.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return CannotRead(path, std::strerror(errno));
  const absl::Cleanup close_file = [file] { close(file); };
  struct stat status;
  if (fstat(file, &status) != 0) return CannotRead(path, std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return CannotRead(path, "it is no regular file");
  FileContents contents;
  contents.open_to_others = (status.st_mode & (S_IROTH | S_IWOTH)) != 0;
  char buffer[16 << 10];
  while (true) {
    const ssize_t count = read(file, buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return CannotRead(path, std::strerror(errno));
    if (count == 0) return contents;
    contents.bytes.append(buffer, static_cast<size_t>(count));
    if (contents.bytes.size() > max_bytes) {
      return CannotRead(path, absl::StrCat("it has more than ", max_bytes, " bytes"));
    }
  }
}

}  // namespace hocket
