// Where a prompt comes from: a flag, a file, stdin or token ids. Main thread.
#ifndef HOCKET_SERVICE_CLI_PROMPT_FLAGS_H_
#define HOCKET_SERVICE_CLI_PROMPT_FLAGS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/step.h"
#include "service/model_text.h"

namespace CLI {
class App;
}

namespace hocket {

struct PromptFlags {
  std::optional<std::string> text;         // --prompt; "-" is stdin.
  std::optional<std::string> file;         // --prompt-file.
  std::optional<std::string> tokens;       // --tokens.
  std::optional<std::string> tokens_file;  // --tokens-file.
  bool chat = false;
  std::string system;

  void Add(CLI::App& app);
  absl::Status Check() const;  // At most one source; none needs a stdin that is not a terminal.

  // The text from --prompt, --prompt-file or stdin. Unset when it is given as tokens.
  absl::StatusOr<std::optional<std::string>> ReadText() const;

  // The prompt's token ids: rendered as a chat where asked, and checked against the vocabulary.
  absl::StatusOr<std::vector<TokenId>> Resolve(const ModelText& text,
                                               int32_t vocabulary_size) const;
};

// A whole file, or stdin for "-". NOT_FOUND naming `flag` and the file.
absl::StatusOr<std::string> ReadInput(const std::string& flag, const std::string& path);

// INVALID_ARGUMENT naming `flag` for what is no list or not of this vocabulary.
absl::StatusOr<std::vector<TokenId>> ReadTokens(const std::string& flag, const std::string& list,
                                                int32_t vocabulary_size);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_PROMPT_FLAGS_H_
