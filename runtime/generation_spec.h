// What one sequence asks of sampling, stopping and output: the effective settings, defaults filled
// in. The service makes it from a validated request, the scheduler carries it unread, the executor
// obeys it. Immutable once submitted.
#ifndef HOCKET_RUNTIME_GENERATION_SPEC_H_
#define HOCKET_RUNTIME_GENERATION_SPEC_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "runtime/sampling/dry.h"
#include "runtime/sampling/row_request.h"
#include "scheduler/step.h"

namespace hocket {

class Grammar;

struct XtcSettings {
  float probability = 0.5f;  // That the filter acts at a token; in [0, 1].
  float threshold = 0.1f;    // Probability that makes a top choice; in (0, 0.5].
  bool operator==(const XtcSettings&) const = default;
};

// docs/sampling.md says in which order these act, and how.
struct SamplingSettings {
  float temperature = 1.0f;  // 0 is greedy; any positive finite value scales logits by 1/value.
  int32_t top_k = 0;         // Keep the k most likely tokens; 0 keeps all.
  float top_p = 1.0f;        // Keep the smallest set whose probability reaches p; in (0, 1].
  float min_p = 0;           // Keep tokens this fraction as likely as the likeliest; in [0, 1].
  float typical_p = 1.0f;    // Keep the most typical tokens whose probability reaches p; (0, 1].
  float top_n_sigma = 0;     // Keep logits within n standard deviations of the highest; 0: all.
  uint64_t seed = 0;         // Key of the random numbers; always set (drawn when not given).

  float repetition_penalty = 1.0f;    // Of tokens in prompt and text; in (0, 100], 1 is off.
  float presence_penalty = 0;         // Of generated tokens, once each; in [-100, 100].
  float frequency_penalty = 0;        // Of generated tokens, times their count; in [-100, 100].
  int32_t penalty_window_tokens = 0;  // How many last tokens these three look at; 0: all.
  std::optional<DrySettings> dry = {};
  std::optional<XtcSettings> xtc = {};

  std::vector<TokenBias> logit_bias = {};    // Rising by token, each once.
  std::vector<TokenId> allowed_tokens = {};  // Empty allows all.
  std::vector<TokenId> banned_tokens = {};
  std::vector<std::string> bad_words = {};
  std::vector<std::vector<TokenId>> bad_word_tokens = {};  // Every spelling of bad_words in tokens.

  // INVALID_ARGUMENT naming the field, the value and the range.
  absl::Status Validate() const;
};

// Ends a choice whose last tokens are one pattern, repeated.
struct RepetitionSettings {
  int32_t max_pattern_tokens = 64;  // In [1, 1024].
  int32_t min_repeats = 4;          // In [2, 1024].
  bool operator==(const RepetitionSettings&) const = default;
};

struct StoppingSettings {
  int32_t max_new_tokens = 256;
  int32_t min_new_tokens = 0;        // Stop tokens cannot be drawn before this many tokens.
  std::vector<TokenId> stop_tokens;  // In addition to the model's end-of-text tokens.
  bool ignore_eos = false;           // The model's own end-of-text tokens do not end the text.
  std::vector<std::string> stop_strings;
  bool include_stop_string = false;  // Whether the text returned keeps the stop string.
  bool stop_at_sentence_end = false;
  absl::Duration time_limit = absl::InfiniteDuration();  // From the sequence's first plan.
  std::optional<RepetitionSettings> repetition = {};

  absl::Status Validate() const;  // Sizes and ranges; the limits are constants in the source.
};

// Beam search in place of draws. A candidate's score is the sum of its tokens' log-probabilities
// over its count of generated tokens to the power of length_penalty, as in transformers.
struct BeamSettings {
  enum class EarlyStopping { kNever, kHeuristic, kAlways };
  int32_t width = 2;            // In [2, 64].
  int32_t returned = 1;         // The best so many are told; in [1, width].
  float length_penalty = 1.0f;  // In [-10, 10].
  EarlyStopping early_stopping = EarlyStopping::kHeuristic;
  bool operator==(const BeamSettings&) const = default;

  absl::Status Validate() const;
};

enum class EmbeddingPooling { kNone, kLastToken, kMean };

struct OutputSettings {
  bool logprobs = false;         // Score every generated token.
  int32_t top_logprobs = 0;      // With this many alternatives, 0 .. 20.
  bool prompt_logprobs = false;  // Score every prompt token but the first.
  int32_t prompt_top_logprobs = 0;
  // Scores of generated tokens are of the distribution that they were drawn from, not the model's.
  bool scored_after_filtering = false;
  bool total_logprob = false;        // Of all generated tokens, in Finish.
  int32_t explained_candidates = 0;  // So many likely tokens are followed through the chain.
  bool special_tokens_in_text = false;
  EmbeddingPooling embedding = EmbeddingPooling::kNone;
  bool normalize_embedding = true;

  absl::Status Validate() const;
};

struct GenerationSpec {
  SamplingSettings sampling;
  StoppingSettings stopping;
  OutputSettings output;
  std::shared_ptr<const Grammar> grammar = {};  // What the text must match; null: anything.
  std::optional<BeamSettings> beam = {};
  bool rolls = false;  // A full context does not end the text (Request::roll_kept_tokens).

  absl::Status Validate() const;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_GENERATION_SPEC_H_
