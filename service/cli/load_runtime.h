// Loads a model with progress on stderr, for every command that has one. Main thread.
#ifndef HOCKET_SERVICE_CLI_LOAD_RUNTIME_H_
#define HOCKET_SERVICE_CLI_LOAD_RUNTIME_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/model_runtime.h"

namespace hocket {

// As ModelRuntime::Load; its errors, which name the file, come with `flag` in front.
absl::StatusOr<std::unique_ptr<ModelRuntime>> LoadRuntime(RuntimeSettings settings,
                                                          absl::string_view flag = "--model");

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_LOAD_RUNTIME_H_
