#include "runtime/logit_rules.h"

#include <array>
#include <string>

namespace hocket {
namespace {

constexpr size_t kMaxBannedOneByOne = 256;  // More are cheaper as a mask.

bool Penalizes(const SamplingSettings& settings) {
  return settings.repetition_penalty != 1 || settings.presence_penalty != 0 ||
         settings.frequency_penalty != 0;
}

bool Repeats(const SamplingSettings& settings) {
  return settings.dry.has_value() && settings.dry->multiplier != 0;
}

std::vector<uint32_t> AllowedBits(const SamplingSettings& settings, int32_t vocabulary_size) {
  const bool all = settings.allowed_tokens.empty();
  std::vector<uint32_t> bits((static_cast<size_t>(vocabulary_size) + 31) / 32, all ? ~0u : 0u);
  for (const TokenId token : settings.allowed_tokens) bits[token / 32] |= 1u << (token % 32);
  for (const TokenId token : settings.banned_tokens) bits[token / 32] &= ~(1u << (token % 32));
  return bits;
}

}  // namespace

std::unique_ptr<LogitRules> LogitRules::Make(const SamplingSettings& settings,
                                             std::span<const TokenId> prompt,
                                             const Tokenizer* tokenizer, int32_t vocabulary_size) {
  const bool any = Penalizes(settings) || Repeats(settings) || !settings.logit_bias.empty() ||
                   !settings.allowed_tokens.empty() || !settings.banned_tokens.empty() ||
                   !settings.bad_word_tokens.empty();
  if (!any) return nullptr;
  return std::unique_ptr<LogitRules>(new LogitRules(settings, prompt, tokenizer, vocabulary_size));
}

LogitRules::LogitRules(const SamplingSettings& settings, std::span<const TokenId> prompt,
                       const Tokenizer* tokenizer, int32_t vocabulary_size)
    : settings_(settings), tokenizer_(tokenizer) {
  if (!settings.allowed_tokens.empty() || settings.banned_tokens.size() > kMaxBannedOneByOne) {
    allowed_ = AllowedBits(settings, vocabulary_size);
  } else {
    banned_ = settings.banned_tokens;
  }
  if (Penalizes(settings)) history_.emplace(prompt, settings.penalty_window_tokens);
  if (Repeats(settings)) {
    dry_.emplace(*settings.dry);
    for (const TokenId token : prompt) AppendToDry(token);
  }
  if (!settings.bad_word_tokens.empty()) bad_words_.emplace(settings.bad_word_tokens, prompt);
}

void LogitRules::Append(TokenId token) {
  if (history_) history_->Append(token);
  if (dry_) AppendToDry(token);
  if (bad_words_) bad_words_->Append(token);
}

// A token whose text cannot be had breaks no sequence.
void LogitRules::AppendToDry(TokenId token) {
  const std::array<TokenId, 1> one = {token};
  const absl::StatusOr<std::string> text = tokenizer_->Decode(one, /*skip_special_tokens=*/false);
  dry_->Append(token, text.ok() ? *text : std::string());
}

LogitEdits LogitRules::Edits() {
  LogitEdits edits;
  edits.bias = settings_.logit_bias;
  edits.banned = banned_;
  edits.allowed = allowed_;
  if (bad_words_) edits.ended = bad_words_->Ends();
  if (history_) edits.counts = history_->counts();
  edits.repetition_penalty = settings_.repetition_penalty;
  edits.presence_penalty = settings_.presence_penalty;
  edits.frequency_penalty = settings_.frequency_penalty;
  if (dry_) edits.repeats = dry_->Penalties();
  return edits;
}

}  // namespace hocket
