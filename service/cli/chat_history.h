// The turns of a conversation, and which of them still fit the model's context. Pure; one thread.
#ifndef HOCKET_SERVICE_CLI_CHAT_HISTORY_H_
#define HOCKET_SERVICE_CLI_CHAT_HISTORY_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/text/chat_template.h"
#include "scheduler/step.h"

namespace hocket {

class ChatHistory {
 public:
  // Renders messages as the model's prompt, up to where the answer begins.
  using Render =
      std::function<absl::StatusOr<std::vector<TokenId>>(const std::vector<ChatMessage>&)>;

  // `system` is kept in front of the turns for ever; empty for none.
  explicit ChatHistory(const std::string& system);

  void Add(const std::string& role, const std::string& content);
  void RemoveLast();
  void Reset();  // Forgets all turns but the system message.
  const std::vector<ChatMessage>& messages() const { return messages_; }

  struct Fitted {
    std::vector<TokenId> prompt;
    int dropped_messages = 0;
  };
  // Forgets the oldest turns until the prompt is at most `max_prompt_tokens`; the last message
  // always stays. INVALID_ARGUMENT with the numbers when it does not fit even alone (nothing is
  // forgotten then), or the renderer's error.
  absl::StatusOr<Fitted> Fit(const Render& render, int64_t max_prompt_tokens);

 private:
  size_t system_messages_;
  std::vector<ChatMessage> messages_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_CHAT_HISTORY_H_
