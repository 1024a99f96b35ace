// A model small enough to predict: each token is a hash of the request's seed, of its place and of
// every token before it, so what a request should answer is known without running it. Its beam
// search ranks candidates by sums of such hashes. Pure values; any thread.
#ifndef HOCKET_TESTS_SCHEDULER_FAKE_MODEL_H_
#define HOCKET_TESTS_SCHEDULER_FAKE_MODEL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/generation_spec.h"
#include "scheduler/request.h"
#include "scheduler/step.h"

namespace hocket {

// What one choice answers, however it is scheduled.
struct FakeAnswer {
  std::vector<TokenId> tokens;
  std::string text;
  FinishReason reason = FinishReason::kLength;
};

// Of each of the request's choices; of a beam search, the candidates that are told.
// `max_context_tokens` matters only to a context that rolls.
std::vector<FakeAnswer> OfflineAnswers(const Request& request, int32_t max_context_tokens);
// What is left of an answer for a run that resumes after its first tokens.
FakeAnswer AnswerAfter(const FakeAnswer& whole, size_t resumed_tokens);

// Text is held back over steps, as a possible stop string would be.
inline constexpr size_t kHeldLetters = 3;
char LetterOf(TokenId token);

struct FakeRoll {
  int32_t context_tokens = 0;
  int32_t kept_tokens = 0;
};

// One line of tokens as the model knows it.
struct FakeLine {
  std::vector<TokenId> tokens;
  std::vector<uint64_t> chain;  // [tokens]: a hash of all tokens up to each, its KV cell's content.
  int32_t forgotten = 0;
  std::optional<FakeRoll> roll;

  void Append(TokenId token);
};

uint64_t ExtendChain(uint64_t chain, TokenId token);  // 0 where there is none before.

// The token after `line`, whose last KV cell was read as `cell`. At temperature 0 a line mostly
// repeats what it said eleven tokens before.
TokenId DrawToken(const FakeLine& line, uint64_t cell, const GenerationSpec& spec, int32_t choice);
std::optional<FinishReason> FinishAfter(TokenId token, size_t generated,
                                        const GenerationSpec& spec);

struct FakeBeam {
  FakeLine line;
  int64_t score = 0;
};

// One step of the search, after a prompt of `prompt_tokens`. `beams` are afterwards as the moves
// say; with `finish` they are the candidates, the best first.
struct FakeBeamStep {
  std::vector<BeamMove> moves;  // [beams]
  std::optional<FinishReason> finish;
};
FakeBeamStep ExpandBeams(std::vector<FakeBeam>& beams, size_t prompt_tokens,
                         const GenerationSpec& spec);

}  // namespace hocket

#endif  // HOCKET_TESTS_SCHEDULER_FAKE_MODEL_H_
