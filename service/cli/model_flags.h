// The flags that every command with a model shares: which model, and how to load it. Main thread.
#ifndef HOCKET_SERVICE_CLI_MODEL_FLAGS_H_
#define HOCKET_SERVICE_CLI_MODEL_FLAGS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/model_runtime.h"

namespace CLI {
class App;
}

namespace hocket {

struct ModelFlags {
  std::string model_dir;  // Empty: the default model.
  std::string precision = "auto";
  std::string kv_precision = "auto";
  RuntimeSettings settings;  // Filled but for model_dir, precisions, progress and notice.

  // Adds --model and what AddLoading adds.
  void Add(CLI::App& app);
  // The precisions, the weight cache, --threads and the limits, each with its environment variable.
  void AddLoading(CLI::App& app);

  // All of RuntimeSettings but the folder, `progress` and `notice`.
  absl::StatusOr<RuntimeSettings> ResolveLoading() const;
  // The same with the folder. NOT_FOUND naming --model when there is no such model.
  absl::StatusOr<RuntimeSettings> Resolve() const;
};

// The folder to load: `given`, or models/tales in the working directory, or beside the binary's
// folder, or where `cmake --install` puts it. NOT_FOUND with what to do when config.json is
// missing there. `program_dir` is the folder of the binary.
absl::StatusOr<std::string> FindModel(const std::string& given, const std::string& program_dir);

// The folder that holds the running binary.
std::string ProgramDir();

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_MODEL_FLAGS_H_
