#include "service/cli/chat_history.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace hocket {

ChatHistory::ChatHistory(const std::string& system) : system_messages_(system.empty() ? 0 : 1) {
  if (!system.empty()) messages_.push_back({"system", system});
}

void ChatHistory::Add(const std::string& role, const std::string& content) {
  messages_.push_back({role, content});
}

void ChatHistory::RemoveLast() {
  if (messages_.size() > system_messages_) messages_.pop_back();
}

void ChatHistory::Reset() { messages_.resize(system_messages_); }

absl::StatusOr<ChatHistory::Fitted> ChatHistory::Fit(const Render& render,
                                                     int64_t max_prompt_tokens) {
  Fitted fitted;
  std::vector<ChatMessage> kept = messages_;
  while (true) {
    absl::StatusOr<std::vector<TokenId>> prompt = render(kept);
    if (!prompt.ok()) return prompt.status();
    if (static_cast<int64_t>(prompt->size()) <= max_prompt_tokens) {
      fitted.prompt = *std::move(prompt);
      messages_ = std::move(kept);
      return fitted;
    }
    if (kept.size() <= system_messages_ + 1) {
      return absl::InvalidArgumentError(absl::StrCat("the message takes ", prompt->size(),
                                                     " tokens; ", max_prompt_tokens,
                                                     " fit; write a shorter one"));
    }
    // A turn is a user's message and the answer: templates want them to alternate.
    const auto oldest = kept.begin() + static_cast<std::ptrdiff_t>(system_messages_);
    const auto last = kept.end() - 1;
    const auto end = oldest + std::min<std::ptrdiff_t>(2, last - oldest);
    fitted.dropped_messages += static_cast<int>(end - oldest);
    kept.erase(oldest, end);
  }
}

}  // namespace hocket
