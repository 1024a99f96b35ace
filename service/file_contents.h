// Reads small files whole: keys, certificates. Blocks on the disk, so never on a gRPC thread.
#ifndef HOCKET_SERVICE_FILE_CONTENTS_H_
#define HOCKET_SERVICE_FILE_CONTENTS_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace hocket {

struct FileContents {
  std::string bytes;
  bool open_to_others = false;  // Anybody on the machine may read it, or write into it.
};

// An error that names the file: it is not there, may not be read, is no regular file or has more
// than `max_bytes`.
absl::StatusOr<FileContents> ReadWholeFile(const std::string& path, size_t max_bytes);

}  // namespace hocket

#endif  // HOCKET_SERVICE_FILE_CONTENTS_H_
