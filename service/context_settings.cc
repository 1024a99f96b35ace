#include "service/context_settings.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "service/field_checks.h"

namespace hocket {
namespace {

absl::StatusOr<ContextPolicy> ReadPolicy(v1::ContextPolicy policy) {
  switch (policy) {
    case v1::CONTEXT_POLICY_UNSPECIFIED:
    case v1::CONTEXT_POLICY_REFUSE:
      return ContextPolicy::kRefuse;
    case v1::CONTEXT_POLICY_STOP:
      return ContextPolicy::kStop;
    case v1::CONTEXT_POLICY_ROLL:
      return ContextPolicy::kRoll;
    default:
      return FieldError("context.policy", absl::StrCat(policy, " is not a known ContextPolicy"));
  }
}

v1::ContextPolicy PolicyOf(ContextPolicy policy) {
  switch (policy) {
    case ContextPolicy::kRefuse:
      return v1::CONTEXT_POLICY_REFUSE;
    case ContextPolicy::kStop:
      return v1::CONTEXT_POLICY_STOP;
    case ContextPolicy::kRoll:
      return v1::CONTEXT_POLICY_ROLL;
  }
  return v1::CONTEXT_POLICY_UNSPECIFIED;
}

}  // namespace

absl::StatusOr<ContextSettings> ReadContext(const v1::ContextSettings& in, int32_t context_tokens) {
  absl::StatusOr<ContextPolicy> policy = ReadPolicy(in.policy());
  if (!policy.ok()) return policy.status();
  ContextSettings out;
  out.policy = *policy;
  out.kept_tokens = in.kept_tokens();
  absl::Status status = CheckInt("context.kept_tokens", out.kept_tokens, 0, context_tokens / 2);
  if (status.ok() && out.kept_tokens > 0 && !out.rolls()) {
    status = FieldError("context.kept_tokens",
                        absl::StrCat(out.kept_tokens,
                                     " is out of range [0, 0] without context.policy "
                                     "CONTEXT_POLICY_ROLL"));
  }
  if (in.has_truncate_prompt_tokens()) {
    out.truncate_prompt_tokens = in.truncate_prompt_tokens();
    status.Update(
        CheckInt("context.truncate_prompt_tokens", *out.truncate_prompt_tokens, 1, context_tokens));
  }
  if (!status.ok()) return status;
  return out;
}

void Truncate(const ContextSettings& settings, std::vector<TokenId>& prompt) {
  if (!settings.truncate_prompt_tokens) return;
  const auto kept = static_cast<size_t>(*settings.truncate_prompt_tokens);
  if (prompt.size() <= kept) return;
  prompt.erase(prompt.begin(), prompt.end() - static_cast<std::ptrdiff_t>(kept));
}

absl::StatusOr<int32_t> MaxNewTokens(std::optional<int32_t> given, int32_t default_tokens,
                                     const ContextSettings& settings, int64_t prompt_tokens,
                                     int32_t context_tokens) {
  const int64_t left = context_tokens - prompt_tokens;
  int64_t wanted = given.value_or(1);
  if (settings.rolls()) {
    const absl::Status status = CheckInt("stopping.max_new_tokens", wanted, 0, kMaxRolledTokens);
    if (!status.ok()) return status;
  }
  if (settings.policy != ContextPolicy::kRefuse && left > 0) wanted = std::min(wanted, left);
  if (prompt_tokens == 0) return FieldError("input", "gives no tokens");
  if (left < wanted) {
    return FieldError(
        given && left > 0 ? "stopping.max_new_tokens" : "input",
        absl::StrCat(prompt_tokens, " prompt tokens and ", wanted,
                     " new ones are more than the context of ", context_tokens, " tokens"),
        ErrorReason::kPromptTooLong);
  }
  if (settings.rolls()) return given.value_or(default_tokens);
  return static_cast<int32_t>(given ? wanted : std::min<int64_t>(default_tokens, left));
}

void EchoContext(const ContextSettings& settings, int32_t prompt_tokens,
                 v1::EffectiveSettings* out) {
  v1::ContextSettings& context = *out->mutable_context();
  context.set_policy(PolicyOf(settings.policy));
  context.set_kept_tokens(settings.kept_tokens);
  context.set_truncate_prompt_tokens(settings.truncate_prompt_tokens.value_or(prompt_tokens));
}

}  // namespace hocket
