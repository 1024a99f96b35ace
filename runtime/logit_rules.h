// What one sequence's settings change among its logits, kept up to date as its tokens come: bias,
// bans, penalties, bad words. Owned by SequenceState, engine thread only.
#ifndef HOCKET_RUNTIME_LOGIT_RULES_H_
#define HOCKET_RUNTIME_LOGIT_RULES_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/generation_spec.h"
#include "runtime/sampling/bad_words.h"
#include "runtime/sampling/dry.h"
#include "runtime/sampling/row_request.h"
#include "runtime/sampling/token_history.h"
#include "runtime/text/tokenizer.h"

namespace hocket {

class LogitRules {
 public:
  // Null for settings that change no logits. All arguments must outlive it.
  static std::unique_ptr<LogitRules> Make(const SamplingSettings& settings,
                                          std::span<const TokenId> prompt,
                                          const Tokenizer* tokenizer, int32_t vocabulary_size);

  void Append(TokenId token);  // A generated one.

  // For the next token. Valid until Append; the bits of a constraint are not set.
  LogitEdits Edits();

 private:
  LogitRules(const SamplingSettings& settings, std::span<const TokenId> prompt,
             const Tokenizer* tokenizer, int32_t vocabulary_size);
  void AppendToDry(TokenId token);

  const SamplingSettings& settings_;
  const Tokenizer* tokenizer_;
  std::vector<TokenId> banned_;    // Few enough to be set one by one.
  std::vector<uint32_t> allowed_;  // Bits; empty where all are allowed but those.
  std::optional<TokenHistory> history_;
  std::optional<DryPenalty> dry_;
  std::optional<BadWords> bad_words_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_LOGIT_RULES_H_
