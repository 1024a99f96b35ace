// What one row of logits is asked for, and what comes of it. Plain values; the spans belong to
// whoever asks and must live while the row is sampled.
#ifndef HOCKET_RUNTIME_SAMPLING_ROW_REQUEST_H_
#define HOCKET_RUNTIME_SAMPLING_ROW_REQUEST_H_

#include <cstdint>
#include <span>

#include "scheduler/step.h"

namespace hocket {

enum class RowError : uint8_t {
  kNone,
  kNan,      // Some logit is not a number.
  kNoToken,  // No logit is above -inf, masks included.
};

struct TokenBias {
  TokenId token = 0;
  float value = 0;
  bool operator==(const TokenBias&) const = default;
};

// How often a token occurs in the part of a sequence that the penalties look at.
struct TokenCount {
  TokenId token = 0;
  int32_t seen = 0;       // In prompt and generated text,
  int32_t generated = 0;  // and of those, in the generated text.
  bool operator==(const TokenCount&) const = default;
};

// Changes to single logits before temperature and filters, in this order. All tokens are in the
// vocabulary; one may occur several times and in several parts.
struct LogitEdits {
  std::span<const TokenBias> bias = {};  // Added.
  std::span<const TokenId> banned = {};  // To -inf.
  std::span<const TokenId> ended = {};   // To -inf: what would complete a bad word.
  std::span<const TokenCount> counts = {};
  float repetition_penalty = 1;               // Divides logits above 0, multiplies others.
  float presence_penalty = 0;                 // Subtracted once where generated > 0,
  float frequency_penalty = 0;                // and this times `generated`.
  std::span<const TokenBias> repeats = {};    // Subtracted (DRY).
  std::span<const uint32_t> allowed = {};     // Bits, [vocabulary / 32]; empty allows all.
  std::span<const uint32_t> constraint = {};  // The same, of what the constraint allows.
};

struct RowRequest {
  float temperature = 1;  // 0 is greedy.
  int32_t top_k = 0;      // 0 keeps all.
  float top_p = 1;
  float min_p = 0;                       // 0 keeps all.
  float typical_p = 1;                   // 1 keeps all.
  float top_n_sigma = 0;                 // 0 keeps all.
  float xtc_threshold = 0;               // 0: XTC does not act on this token.
  uint64_t random = 0;                   // 64 uniform bits; not read by a greedy row.
  std::span<const TokenId> masked = {};  // Cannot be drawn; all in the vocabulary.
  const LogitEdits* edits = nullptr;     // Null for most rows.
  TokenId given = -1;                    // Not negative: this token is scored and none is drawn.
  bool scored = false;
  bool scored_after = false;  // The score is of the distribution that the token was drawn from.
  int32_t top_logprobs = 0;   // Alternatives to report with the score.
  // Not 0: nothing is drawn. So many of the likeliest tokens after edits and `masked` are told
  // instead, as a beam search needs them; temperature and filters do not act.
  int32_t candidates = 0;
};

// One of the likeliest tokens of a row.
struct RowCandidate {
  TokenId token = 0;
  float logprob = 0;  // Log-softmax of the edited logits.
  // Where scored, what RowResult says of a token drawn. `scored_after` means the edited logits.
  float score = 0;
  int32_t rank = 0;
  bool operator==(const RowCandidate&) const = default;
};

struct RowResult {
  RowError error = RowError::kNone;
  TokenId token = 0;
  float logprob = 0;            // Where scored: the token's log-probability,
  int32_t rank = 0;             // its place in the distribution, from 1,
  int32_t top_count = 0;        // and the entries of `top` written.
  int32_t candidate_count = 0;  // Those written, in falling order; none of them is impossible.
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_SAMPLING_ROW_REQUEST_H_
