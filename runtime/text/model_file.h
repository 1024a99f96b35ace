// Reads a small text file (JSON, a template) of a model folder. Private to runtime/text.
#ifndef HOCKET_RUNTIME_TEXT_MODEL_FILE_H_
#define HOCKET_RUNTIME_TEXT_MODEL_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace hocket {

// DIR/name, whole. NOT_FOUND when there is no such file; other errors name the path and the cause.
absl::StatusOr<std::string> ReadModelFile(const std::string& model_dir, const std::string& name);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_TEXT_MODEL_FILE_H_
