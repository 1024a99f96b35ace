// The contract between the scheduler, which decides what a step computes, and the runtime, which
// computes it. A StepPlan is a plain value: it can be printed, compared and replayed. The engine
// thread makes the plan, hands it to the Executor and commits the StepResult; nobody else touches
// either. This is the one header that both sides include.
#ifndef HOCKET_SCHEDULER_STEP_H_
#define HOCKET_SCHEDULER_STEP_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace hocket {

using TokenId = int32_t;
using BlockId = int32_t;
using SequenceId = uint64_t;  // Unique for the life of an engine, never reused, 0 is none.

// What a sequence wants of sampling, stopping and output. The runtime defines it; the scheduler
// carries it and never looks inside.
struct GenerationSpec;

enum class FinishReason {
  kStopToken,   // An end-of-text or requested stop token was drawn.
  kStopString,  // A requested stop string appeared in the text.
  kLength,      // max_new_tokens were generated (or none were asked for).
  kContext,     // The sequence reached the model's context limit.
  kCancelled,   // Cancel, or the client went away.
  kDeadline,    // The request's own deadline passed.
  kShutdown,    // The server drained and its grace period ran out.
  kError,       // The sequence's own step failed; the status says why.
  kConstraint,  // The text is complete under its constraint.
  kSentence,    // A sentence ended, and that was asked for.
  kTimeLimit,   // The time limit passed.
  kRepetition,  // The text repeated itself, and that was to be noticed.
};

// A sequence that the executor meets for the first time. It keeps per-sequence state (random
// counter, penalties, detokenizer, stop matcher) from here to the plan that lists it in `ends`,
// through any preemption in between.
struct SequenceStart {
  SequenceId sequence = 0;
  SequenceId group = 0;      // Equal for all sequences of a request, and for no others.
  int32_t choice_index = 0;  // Which of the request's choices this is; keys its random numbers.
  std::shared_ptr<const GenerationSpec> spec;
  std::shared_ptr<const std::vector<TokenId>> prompt;
  // Tokens generated after the prompt by another run of the same request, which this one goes on
  // from as if it had drawn them itself; no outcome repeats them. Null: none.
  std::shared_ptr<const std::vector<TokenId>> resumed;
};

// Copy one KV block onto another, before any row of the step runs (copy-on-write).
struct BlockCopy {
  BlockId source = 0;
  BlockId target = 0;
  bool operator==(const BlockCopy&) const = default;
};

// One sequence's share of a step: `token_count` consecutive tokens, a prefill chunk or one decode
// token, at positions first_position, first_position + 1, ... Their keys and values go to the
// blocks of the row's block table, which covers positions [0, first_position + token_count).
//
// A sequence whose context was full has forgotten tokens (after those that it always keeps) and
// moved the others forward: position p, as counted here, is then the place p + forgotten_tokens of
// all that it ever had, and draws are keyed by that.
//
// The last draft_tokens tokens of a row are guesses of what will be drawn. A token is drawn after
// the last known one, and after each guess for as long as the draws were as guessed; so a row gives
// at least one token, and at most draft_tokens + 1.
struct PlanRow {
  SequenceId sequence = 0;
  int32_t first_position = 0;
  int32_t token_begin = 0;  // Into StepPlan::tokens.
  int32_t token_count = 0;
  int32_t block_begin = 0;  // Into StepPlan::blocks.
  int32_t block_count = 0;
  bool samples = false;  // The last token's logits go through the sampling stage.
  int32_t forgotten_tokens = 0;
  int32_t draft_tokens = 0;  // Only where `samples`; fewer than token_count.
  bool operator==(const PlanRow&) const = default;
};

struct StepPlan {
  int64_t step = 0;                   // Counts from 1.
  std::vector<SequenceId> ends;       // Drop the state of these; done before `starts`.
  std::vector<SequenceStart> starts;  // Every row's sequence was started in this plan or before.
  std::vector<BlockCopy> copies;
  std::vector<PlanRow> rows;    // At most one row per sequence.
  std::vector<TokenId> tokens;  // The rows' tokens, one after another.
  std::vector<BlockId> blocks;  // The rows' block tables, one after another.

  std::span<const TokenId> RowTokens(const PlanRow& row) const {
    return std::span(tokens).subspan(row.token_begin, row.token_count);
  }
  std::span<const BlockId> RowBlocks(const PlanRow& row) const {
    return std::span(blocks).subspan(row.block_begin, row.block_count);
  }
};

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0;  // Natural logarithm.
};

// A token with its log-probability and the most likely alternatives at its position, in falling
// order (ties to the lower token id).
struct TokenScore {
  TokenId token = 0;
  float logprob = 0;
  int32_t rank = 0;  // 1 for the most likely token.
  std::vector<TokenLogprob> top;
};

// What one part of the sampling chain leaves of some tokens.
struct ExplainedStage {
  std::string name;                  // "model", "temperature", "top-p", ...
  int32_t kept = 0;                  // Tokens of the whole vocabulary that may still come.
  std::vector<float> probabilities;  // Of Explanation::candidates; 0 for those not kept.
};

// Why a token was drawn; for people, at the command line.
struct Explanation {
  TokenId token = 0;
  std::vector<TokenId> candidates;  // The model's likeliest, then the token if it is none of them.
  std::vector<ExplainedStage> stages;  // In the order in which they act.
};

struct Finish {
  FinishReason reason = FinishReason::kLength;
  std::string stop_string = {};            // With kStopString: the one that matched.
  std::optional<TokenId> stop_token = {};  // With kStopToken: the one that was drawn.
  // Of all generated tokens, where choices are ranked: the sum of their log-probabilities, and what
  // they were ranked by.
  std::optional<double> total_logprob = {};
  std::optional<double> score = {};
};

// Beam search: what a sequence of the group is after the step. All rows of a group sample in the
// same step or none does.
struct BeamMove {
  int32_t parent = 0;  // The choice whose tokens, before the step, this sequence now has.
  TokenId token = 0;   // And the one after them.
};

// What one row produced. A prefill chunk that is not the prompt's last produces no token.
//
// A beam search's rows give moves, and only in its last step the rest: then the group's sequences
// all finish, and the first of them give the best candidates in falling order, whole.
struct Outcome {
  SequenceId sequence = 0;
  int32_t choice_index = 0;        // The scheduler's to fill in.
  absl::Status status;             // Not OK: this sequence failed in this step, and no other.
  std::vector<TokenId> tokens;     // Newly generated, in order.
  std::vector<TokenScore> scores;  // One per token of `tokens` where asked, else empty.
  std::vector<TokenScore> prompt_scores;  // Of this chunk's prompt tokens where asked; the prompt's
                                          // first token has no score and is left out.
  std::vector<Explanation> explanations;  // One per token of `tokens` where asked, else empty.
  std::string text;              // Valid UTF-8 that can no longer become part of a stop string.
  std::vector<float> embedding;  // [hidden], on the prompt's last chunk where asked, else empty.
  std::optional<Finish> finish;  // Set when this was the sequence's last token.
  std::optional<BeamMove> move;  // Of a beam's row that samples, while the search goes on.
};

// Where the step's time went, in seconds; for metrics only.
struct StepTimings {
  double forward_seconds = 0;
  double sample_seconds = 0;
  double text_seconds = 0;
};

struct StepResult {
  std::vector<Outcome> outcomes;  // One per row of the plan, in the plan's order.
  StepTimings timings;
};

// Computes steps. Called by the engine thread only.
class Executor {
 public:
  virtual ~Executor() = default;

  // Runs `plan` and fills `result` (cleared first). A non-OK status means that the whole step
  // failed: no row's result is valid, and the engine fails those rows' requests. The executor must
  // then still be fit for further steps.
  virtual absl::Status Execute(const StepPlan& plan, StepResult& result) = 0;
};

}  // namespace hocket

#endif  // HOCKET_SCHEDULER_STEP_H_
