// Renders chat messages into the model's prompt text by the folder's Jinja template (the
// `minijinja` crate behind a C ABI). Immutable after loading; may be called from any thread.
#ifndef HOCKET_RUNTIME_TEXT_CHAT_TEMPLATE_H_
#define HOCKET_RUNTIME_TEXT_CHAT_TEMPLATE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace hocket {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant", or what the template knows.
  std::string content;
};

class ChatTemplate {
 public:
  // Reads the template from DIR/chat_template.jinja, else from tokenizer_config.json's
  // "chat_template" (a string, or a list of named ones: "default" is taken). NOT_FOUND when the
  // folder has none (the model still serves plain text), INVALID_ARGUMENT when it does not parse.
  static absl::StatusOr<std::unique_ptr<ChatTemplate>> Load(const std::string& model_dir);
  ~ChatTemplate();
  ChatTemplate(const ChatTemplate&) = delete;
  ChatTemplate& operator=(const ChatTemplate&) = delete;

  // INVALID_ARGUMENT with the template's own message when it raises (roles out of order, say).
  // The text carries its special tokens written out: encode it with add_special_tokens = false.
  absl::StatusOr<std::string> Render(const std::vector<ChatMessage>& messages,
                                     bool add_generation_prompt) const;

 private:
  class Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_TEXT_CHAT_TEMPLATE_H_
