// What a request wants at the edge of the model's context: checked, applied to its prompt and its
// length, and told back. Pure; any thread.
#ifndef HOCKET_SERVICE_CONTEXT_SETTINGS_H_
#define HOCKET_SERVICE_CONTEXT_SETTINGS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "hocket/v1/generation.pb.h"
#include "scheduler/step.h"

namespace hocket {

enum class ContextPolicy { kRefuse, kStop, kRoll };

// Most tokens of a choice whose context rolls: each takes a few bytes until the answer is sent.
inline constexpr int32_t kMaxRolledTokens = 1'000'000;

struct ContextSettings {
  ContextPolicy policy = ContextPolicy::kRefuse;
  int32_t kept_tokens = 0;                             // Of kRoll.
  std::optional<int32_t> truncate_prompt_tokens = {};  // Of the prompt, so many last ones.

  bool rolls() const { return policy == ContextPolicy::kRoll; }
  // As Request::roll_kept_tokens.
  std::optional<int32_t> roll_kept_tokens() const {
    return rolls() ? std::optional(kept_tokens) : std::nullopt;
  }
};

// INVALID_ARGUMENT naming the field.
absl::StatusOr<ContextSettings> ReadContext(const v1::ContextSettings& in, int32_t context_tokens);

void Truncate(const ContextSettings& settings, std::vector<TokenId>& prompt);

// How many tokens are to be generated: what was given, or at most `default_tokens`. Less than given
// only with kStop. INVALID_ARGUMENT where prompt and answer do not fit the context.
absl::StatusOr<int32_t> MaxNewTokens(std::optional<int32_t> given, int32_t default_tokens,
                                     const ContextSettings& settings, int64_t prompt_tokens,
                                     int32_t context_tokens);

// `prompt_tokens`: of the prompt as it was used.
void EchoContext(const ContextSettings& settings, int32_t prompt_tokens,
                 v1::EffectiveSettings* out);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CONTEXT_SETTINGS_H_
