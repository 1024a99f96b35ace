#include "service/answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "read_log.h"
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
  ReadLog log;
  log.Add(StartedEvent{.queued = {}, .prompt_tokens = 3, .cached_tokens = 0});
  Outcome outcome = OutcomeOf({4}, "d");
  outcome.prompt_scores = PromptScores(2);
  log.Add(std::move(outcome));
  log.Add(Length());

  const auto messages = StreamAnswer().Messages(log.Take(), context);
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
  ReadLog log;
  for (int i = 0; i < 100; ++i) log.Add(OutcomeOf({i}, std::string(1, 'a' + i % 26)));
  const EventBatch batch = log.Take();
  EXPECT_TRUE(log.empty());
  ASSERT_EQ(batch.choices.size(), 1u);
  EXPECT_EQ(batch.choices[0].tokens.size(), 100u);
  EXPECT_EQ(batch.choices[0].scores.size(), 100u);
  EXPECT_EQ(batch.choices[0].tokens[99], 99);
  EXPECT_EQ(batch.choices[0].text.substr(0, 27), "abcdefghijklmnopqrstuvwxyza");
}

TEST(AnswerTest, LongPromptsScoresComeInSeveralMessagesAndTheFirstTokenOnce) {
  const AnswerContext context = ContextOf({.prompt_logprobs = true});
  StreamAnswer answer;
  ReadLog log;
  const size_t count = kMessageLimits.prompt_scores + 5;
  int messages = 0;
  int scores = 0;
  int without_logprob = 0;
  for (int chunk = 0; chunk < 2; ++chunk) {
    Outcome outcome;
    outcome.prompt_scores = PromptScores(count);
    log.Add(std::move(outcome));
    if (chunk == 1) log.Add(OutcomeOf({4}, "d"));
    while (!log.empty()) {
      for (const auto& message : answer.Messages(log.Take(), context)) {
        ++messages;
        if (message.has_delta()) {
          EXPECT_EQ(scores, 2 * static_cast<int>(count) + 1);
        }
        for (const auto& score : message.prompt_scores().scores()) {
          ++scores;
          without_logprob += score.has_logprob() ? 0 : 1;
        }
      }
    }
  }
  EXPECT_EQ(messages, 5);
  EXPECT_EQ(scores, 2 * static_cast<int>(count) + 1);
  EXPECT_EQ(without_logprob, 1);
}

TEST(AnswerTest, TokenIdsAndPiecesComeAsAsked) {
  ReadLog log;
  log.Add(OutcomeOf({4}, "d"));
  const EventBatch batch = log.Take();
  const auto bare = GenerateAnswer(batch, ContextOf({}, {.token_ids = false}));
  EXPECT_EQ(bare.choices(0).token_ids_size(), 0);
  EXPECT_FALSE(bare.choices(0).logprobs(0).has_piece());
  const auto full = GenerateAnswer(batch, ContextOf({}, {.token_pieces = true}));
  EXPECT_THAT(full.choices(0).token_ids(), ElementsAre(4));
  EXPECT_EQ(full.choices(0).logprobs(0).piece(), "<4>");
  EXPECT_EQ(full.choices(0).logprobs(0).top(0).piece(), "<4>");
}

TEST(AnswerTest, TheStopThatMatchedIsNamed) {
  ReadLog log;
  FinishedEvent event;
  event.finish = {.reason = FinishReason::kStopString, .stop_string = "END", .stop_token = {}};
  log.Add(event);
  const auto by_string = GenerateAnswer(log.Take(), ContextOf({}));
  EXPECT_EQ(by_string.choices(0).finish_reason(), v1::FINISH_REASON_STOP_STRING);
  EXPECT_EQ(by_string.choices(0).stop_string(), "END");
  EXPECT_FALSE(by_string.choices(0).has_stop_token());
  event.finish = {.reason = FinishReason::kStopToken, .stop_string = "", .stop_token = 0};
  ReadLog other;
  other.Add(event);
  const auto by_token = GenerateAnswer(other.Take(), ContextOf({}));
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
  ReadLog log;
  Outcome outcome;
  outcome.prompt_scores = PromptScores(2);
  log.Add(std::move(outcome));
  const auto score = ScoreAnswer(log.Take(), ContextOf({.prompt_logprobs = true}));
  EXPECT_EQ(score.scores_size(), 3);
  EXPECT_FALSE(score.scores(0).has_rank());
  EXPECT_DOUBLE_EQ(score.total_logprob(), -4);
}

}  // namespace
}  // namespace hocket
