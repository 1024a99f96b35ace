#include "service/answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "small_model.h"

namespace hocket {
namespace {

using ::testing::ElementsAre;

AnswerContext ContextOf(OutputSettings output, AnswerDetail detail = {}) {
  static const ByteText text;
  GenerationSpec spec;
  spec.output = output;
  AnswerContext context;
  context.model_name = "small";
  context.text = &text;
  context.request.request_id = "id";
  context.request.prompt = std::make_shared<std::vector<TokenId>>(std::vector<TokenId>{7, 8, 9});
  context.request.spec = std::make_shared<const GenerationSpec>(spec);
  context.request.detail = detail;
  return context;
}

Outcome OutcomeOf(std::vector<TokenId> tokens, std::string text) {
  Outcome outcome;
  for (TokenId token : tokens) {
    outcome.scores.push_back({.token = token, .logprob = -1, .rank = 1, .top = {{token, -1}}});
  }
  outcome.tokens = std::move(tokens);
  outcome.text = std::move(text);
  return outcome;
}

std::vector<TokenScore> PromptScores(size_t count) {
  return std::vector<TokenScore>(count,
                                 TokenScore{.token = 8, .logprob = -2, .rank = 3, .top = {}});
}

FinishedEvent Length() {
  FinishedEvent event;
  event.finish.reason = FinishReason::kLength;
  event.usage = {.prompt_tokens = 3, .cached_tokens = 1, .generated_tokens = 2};
  event.timings.decode = absl::Milliseconds(1500);
  return event;
}

TEST(AnswerTest, AStreamIsStartedThenPromptScoresThenDeltasThenFinished) {
  const AnswerContext context = ContextOf({.logprobs = true, .prompt_logprobs = true});
  PendingEvents pending;
  pending.Add(StartedEvent{.queued = {}, .prompt_tokens = 3, .cached_tokens = 0});
  Outcome outcome = OutcomeOf({4}, "d");
  outcome.prompt_scores = PromptScores(2);
  pending.Add(std::move(outcome));
  pending.Add(Length());

  const auto messages = StreamAnswer().Messages(pending.Take(), context);
  ASSERT_EQ(messages.size(), 4u);
  EXPECT_EQ(messages[0].started().request_id(), "id");
  EXPECT_EQ(messages[1].prompt_scores().scores_size(), 3);
  EXPECT_FALSE(messages[1].prompt_scores().scores(0).has_logprob());
  EXPECT_EQ(messages[1].prompt_scores().scores(0).token_id(), 7);
  EXPECT_EQ(messages[2].delta().text(), "d");
  EXPECT_EQ(messages[2].delta().logprobs_size(), 1);
  EXPECT_EQ(messages[3].finished().finish_reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(messages[3].finished().usage().cached_tokens(), 1);
  EXPECT_EQ(messages[3].finished().timings().decode().seconds(), 1);
  EXPECT_EQ(messages[3].finished().timings().decode().nanos(), 500'000'000);
}

TEST(AnswerTest, MergedOutcomesLoseNothing) {
  PendingEvents pending;
  for (int i = 0; i < 100; ++i) pending.Add(OutcomeOf({i}, std::string(1, 'a' + i % 26)));
  const EventBatch batch = pending.Take();
  EXPECT_TRUE(pending.empty());
  ASSERT_EQ(batch.choices.size(), 1u);
  EXPECT_EQ(batch.choices[0].tokens.size(), 100u);
  EXPECT_EQ(batch.choices[0].scores.size(), 100u);
  EXPECT_EQ(batch.choices[0].tokens[99], 99);
  EXPECT_EQ(batch.choices[0].text.substr(0, 27), "abcdefghijklmnopqrstuvwxyza");
}

TEST(AnswerTest, LongPromptsScoresComeInSeveralMessagesAndTheFirstTokenOnce) {
  const AnswerContext context = ContextOf({.prompt_logprobs = true});
  StreamAnswer answer;
  int scores = 0;
  int without_logprob = 0;
  for (int batch = 0; batch < 2; ++batch) {
    PendingEvents pending;
    Outcome outcome;
    outcome.prompt_scores = PromptScores(StreamAnswer::kScoresPerMessage + 5);
    pending.Add(std::move(outcome));
    const auto messages = answer.Messages(pending.Take(), context);
    EXPECT_EQ(messages.size(), 2u);
    for (const auto& message : messages) {
      for (const auto& score : message.prompt_scores().scores()) {
        ++scores;
        without_logprob += score.has_logprob() ? 0 : 1;
      }
    }
  }
  EXPECT_EQ(scores, 2 * (static_cast<int>(StreamAnswer::kScoresPerMessage) + 5) + 1);
  EXPECT_EQ(without_logprob, 1);
}

TEST(AnswerTest, TokenIdsAndPiecesComeAsAsked) {
  PendingEvents pending;
  pending.Add(OutcomeOf({4}, "d"));
  const EventBatch batch = pending.Take();
  const auto bare = GenerateAnswer(batch, ContextOf({}, {.token_ids = false}));
  EXPECT_EQ(bare.choices(0).token_ids_size(), 0);
  EXPECT_FALSE(bare.choices(0).logprobs(0).has_piece());
  const auto full = GenerateAnswer(batch, ContextOf({}, {.token_pieces = true}));
  EXPECT_THAT(full.choices(0).token_ids(), ElementsAre(4));
  EXPECT_EQ(full.choices(0).logprobs(0).piece(), "<4>");
  EXPECT_EQ(full.choices(0).logprobs(0).top(0).piece(), "<4>");
}

TEST(AnswerTest, TheStopThatMatchedIsNamed) {
  PendingEvents pending;
  FinishedEvent event;
  event.finish = {.reason = FinishReason::kStopString, .stop_string = "END", .stop_token = {}};
  pending.Add(event);
  const auto by_string = GenerateAnswer(pending.Take(), ContextOf({}));
  EXPECT_EQ(by_string.choices(0).finish_reason(), v1::FINISH_REASON_STOP_STRING);
  EXPECT_EQ(by_string.choices(0).stop_string(), "END");
  EXPECT_FALSE(by_string.choices(0).has_stop_token());
  event.finish = {.reason = FinishReason::kStopToken, .stop_string = "", .stop_token = 0};
  pending.Add(event);
  const auto by_token = GenerateAnswer(pending.Take(), ContextOf({}));
  EXPECT_TRUE(by_token.choices(0).has_stop_token());
  EXPECT_FALSE(by_token.choices(0).has_stop_string());
}

TEST(AnswerTest, EveryFinishReasonHasItsOwnValue) {
  std::set<int> values;
  for (int reason = 0; reason <= static_cast<int>(FinishReason::kError); ++reason) {
    values.insert(FinishReasonOf(static_cast<FinishReason>(reason)));
  }
  EXPECT_EQ(values.size(), static_cast<size_t>(FinishReason::kError) + 1);
  EXPECT_FALSE(values.contains(v1::FINISH_REASON_UNSPECIFIED));
}

TEST(AnswerTest, AScoreSumsItsTokens) {
  PendingEvents pending;
  Outcome outcome;
  outcome.prompt_scores = PromptScores(2);
  pending.Add(std::move(outcome));
  const auto score = ScoreAnswer(pending.Take(), ContextOf({.prompt_logprobs = true}));
  EXPECT_EQ(score.scores_size(), 3);
  EXPECT_FALSE(score.scores(0).has_rank());
  EXPECT_DOUBLE_EQ(score.total_logprob(), -4);
}

}  // namespace
}  // namespace hocket
