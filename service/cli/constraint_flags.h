// The flags that say what a generated text must match. Main thread.
#ifndef HOCKET_SERVICE_CLI_CONSTRAINT_FLAGS_H_
#define HOCKET_SERVICE_CLI_CONSTRAINT_FLAGS_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "service/model_text.h"

namespace CLI {
class App;
}

namespace hocket {

class ConstraintFlags {
 public:
  void Add(CLI::App& app);

  // INVALID_ARGUMENT when more than one kind is given.
  absl::Status Check() const;

  // Null where none is given. INVALID_ARGUMENT with the grammar library's words, NOT_FOUND
  // for a file that cannot be read.
  absl::StatusOr<std::shared_ptr<const Grammar>> Compile(const ModelText& text) const;

 private:
  std::optional<std::string> json_schema_, regex_, lark_;
  std::vector<std::string> choices_;
  bool any_json_ = false;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_CONSTRAINT_FLAGS_H_
