#include "service/cli/prompt_flags.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "service/cli/flag_checks.h"
#include "service/cli/number_list.h"

namespace hocket {
namespace {

struct CloseFile {
  void operator()(FILE* file) const {
    if (file != stdin) std::fclose(file);
  }
};

}  // namespace

void PromptFlags::Add(CLI::App& app) {
  app.add_option("-p,--prompt", text, "The prompt; - reads it from stdin (also the default)")
      ->type_name("TEXT");
  app.add_option("-f,--prompt-file", file, "Read the prompt from a file")->type_name("FILE");
  app.add_option("--tokens", tokens, "The prompt as token ids: 1,2,3")
      ->check(TokenList())
      ->type_name("IDS");
  app.add_option("--tokens-file", tokens_file, "Read the prompt's token ids from a file")
      ->type_name("FILE");
  app.add_flag("--chat", chat, "Take the prompt as a user's message to the model's chat template");
  app.add_option("--system", system, "With --chat: the system message")->type_name("TEXT");
}

absl::Status PromptFlags::Check() const {
  const int sources =
      text.has_value() + file.has_value() + tokens.has_value() + tokens_file.has_value();
  if (sources > 1) {
    return absl::InvalidArgumentError(
        "give only one of --prompt, --prompt-file, --tokens and --tokens-file");
  }
  if (sources == 0 && isatty(STDIN_FILENO)) {
    return absl::InvalidArgumentError("--prompt: give a prompt, or pipe one into stdin");
  }
  if (chat && (tokens || tokens_file)) {
    return absl::InvalidArgumentError("--chat: needs text, not token ids");
  }
  if (!system.empty() && !chat) return absl::InvalidArgumentError("--system: needs --chat");
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::string>> PromptFlags::ReadText() const {
  if (tokens || tokens_file) return std::nullopt;
  if (text && *text != "-") return *text;
  absl::StatusOr<std::string> input =
      file ? ReadInput("--prompt-file", *file) : ReadInput("--prompt", "-");
  if (!input.ok()) return input.status();
  // A file's or a shell's last newline is no part of the prompt.
  if (!input->empty() && input->back() == '\n') input->pop_back();
  return *std::move(input);
}

absl::StatusOr<std::vector<TokenId>> PromptFlags::Resolve(const ModelText& model,
                                                          int32_t vocabulary_size) const {
  absl::StatusOr<std::optional<std::string>> prompt = ReadText();
  if (!prompt.ok()) return prompt.status();
  absl::StatusOr<std::vector<TokenId>> ids;
  if (tokens) {
    ids = ReadTokens("--tokens", *tokens, vocabulary_size);
  } else if (tokens_file) {
    absl::StatusOr<std::string> list = ReadInput("--tokens-file", *tokens_file);
    if (!list.ok()) return list.status();
    ids = ReadTokens("--tokens-file", *list, vocabulary_size);
  } else if (chat) {
    std::vector<ChatMessage> messages;
    if (!system.empty()) messages.push_back({"system", system});
    messages.push_back({"user", **prompt});
    absl::StatusOr<std::string> rendered = model.RenderChat(messages, true);
    if (!rendered.ok()) return rendered.status();
    ids = model.Encode(*rendered, /*add_special_tokens=*/false);
  } else {
    ids = model.Encode(**prompt, /*add_special_tokens=*/true);
  }
  if (ids.ok() && ids->empty()) {
    return absl::InvalidArgumentError("--prompt: the prompt is empty");
  }
  return ids;
}

absl::StatusOr<std::string> ReadInput(const std::string& flag, const std::string& path) {
  std::unique_ptr<FILE, CloseFile> input(path == "-" ? stdin : std::fopen(path.c_str(), "rb"));
  std::string contents;
  size_t bytes = 0;
  char buffer[1 << 16];
  while (input != nullptr && (bytes = std::fread(buffer, 1, sizeof(buffer), input.get())) > 0) {
    contents.append(buffer, bytes);
  }
  if (input == nullptr || std::ferror(input.get())) {
    return absl::NotFoundError(absl::StrCat(flag, ": cannot read \"", path,
                                            "\": ", std::generic_category().message(errno)));
  }
  return contents;
}

absl::StatusOr<std::vector<TokenId>> ReadTokens(const std::string& flag, const std::string& list,
                                                int32_t vocabulary_size) {
  absl::StatusOr<std::vector<TokenId>> tokens = ParseTokenList(list);
  absl::Status status = tokens.status();
  if (status.ok()) status = CheckTokens(*tokens, vocabulary_size);
  if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat(flag, ": ", status.message()));
  return tokens;
}

}  // namespace hocket
