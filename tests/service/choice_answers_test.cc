// Answers of several choices: what a client is told of each, and when.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "read_log.h"
#include "service/answer.h"
#include "small_model.h"

namespace hocket {
namespace {

using ::testing::ElementsAre;

AnswerContext ContextOf(RequestShape shape) {
  static const ByteText text;
  AnswerContext context;
  context.model_name = "small";
  context.text = &text;
  context.request.prompt = std::make_shared<std::vector<TokenId>>(std::vector<TokenId>{7, 8, 9});
  context.request.spec = std::make_shared<const GenerationSpec>();
  context.request.shape = shape;
  return context;
}

Outcome Part(int32_t choice, const std::string& text) {
  Outcome outcome;
  outcome.choice_index = choice;
  outcome.text = text;
  for (const char letter : text) outcome.tokens.push_back(letter);
  return outcome;
}

Outcome Last(int32_t choice, const std::string& text, std::optional<double> total = {},
             FinishReason reason = FinishReason::kLength) {
  Outcome outcome = Part(choice, text);
  outcome.finish = Finish{.reason = reason};
  outcome.finish->total_logprob = total;
  return outcome;
}

FinishedEvent End(FinishReason reason = FinishReason::kLength, int64_t generated = 9) {
  FinishedEvent event;
  event.finish.reason = reason;
  event.usage = {.prompt_tokens = 3, .cached_tokens = 0, .generated_tokens = generated};
  event.generated = {1, 2};
  return event;
}

// One letter a message: S(tarted), D(elta) and F(inished) with their choice.
std::string Shape(const std::vector<v1::StreamGenerateResponse>& messages) {
  std::string shape;
  for (const auto& message : messages) {
    if (message.has_started()) shape += "S";
    if (message.has_delta()) shape += "D" + std::to_string(message.delta().choice_index());
    if (message.has_finished()) shape += "F" + std::to_string(message.finished().choice_index());
  }
  return shape;
}

TEST(ChoiceAnswersTest, EachChoiceStreamsAndEndsByItselfAndTheLastHasTheUsage) {
  const AnswerContext context = ContextOf({.choices = 3, .sequences = 3});
  ReadLog log(context.request.shape);
  StreamAnswer answer;
  log.Add(StartedEvent{});
  log.Add(Part(1, "b"));
  log.Add(Part(0, "a"));
  EXPECT_EQ(Shape(answer.Messages(log.Take(), context)), "SD0D1");
  log.Add(Last(1, "B", {}, FinishReason::kStopToken));
  log.Add(Part(2, "c"));
  const auto second = answer.Messages(log.Take(), context);
  ASSERT_EQ(Shape(second), "D1F1D2");
  EXPECT_EQ(second[1].finished().finish_reason(), v1::FINISH_REASON_STOP_TOKEN);
  EXPECT_FALSE(second[1].finished().has_usage() || second[1].finished().has_timings());
  log.Add(Last(2, "C"));
  log.Add(Last(0, "A"));
  // The engine has said all but that the request has ended: one choice's end waits for that.
  EXPECT_EQ(Shape(answer.Messages(log.Take(), context)), "D0F0D2");
  log.Add(End(FinishReason::kStopToken));
  const auto end = answer.Messages(log.Take(), context);
  ASSERT_EQ(Shape(end), "F2");
  EXPECT_EQ(end[0].finished().finish_reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(end[0].finished().usage().generated_tokens(), 9);
}

TEST(ChoiceAnswersTest, WhatEndsTheRequestEndsEachChoiceThatHadNotEnded) {
  const AnswerContext context = ContextOf({.choices = 3, .sequences = 3});
  for (const auto& [reason, told] : std::map<FinishReason, v1::FinishReason>{
           {FinishReason::kCancelled, v1::FINISH_REASON_CANCELLED},
           {FinishReason::kDeadline, v1::FINISH_REASON_DEADLINE},
           {FinishReason::kShutdown, v1::FINISH_REASON_SHUTDOWN}}) {
    ReadLog log(context.request.shape);
    StreamAnswer answer;
    log.Add(Part(0, "a"));
    log.Add(Last(1, "b"));
    log.Add(End(reason));
    const auto messages = answer.Messages(log.Take(), context);
    ASSERT_EQ(Shape(messages), "D0D1F1F0F2");
    EXPECT_EQ(messages[2].finished().finish_reason(), v1::FINISH_REASON_LENGTH);
    EXPECT_FALSE(messages[3].finished().has_usage());
    EXPECT_EQ(messages[3].finished().finish_reason(), told);
    EXPECT_EQ(messages[4].finished().finish_reason(), told);
    EXPECT_TRUE(messages[4].finished().has_usage());
    EXPECT_FALSE(messages[4].finished().has_resume()) << "only one choice can be gone on from";
  }
}

TEST(ChoiceAnswersTest, AUnaryAnswerHasEachChoiceAtItsIndex) {
  const AnswerContext context = ContextOf({.choices = 3, .sequences = 3});
  ReadLog log(context.request.shape);
  log.Add(Last(2, "c", {}, FinishReason::kStopToken));
  log.Add(Part(0, "a"));
  log.Add(Last(0, "A"));
  log.Add(Last(1, "b"));
  log.Add(End());
  const v1::GenerateResponse response = GenerateAnswer(log.Take(), context);
  ASSERT_EQ(response.choices_size(), 3);
  const char* texts[] = {"aA", "b", "c"};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(response.choices(i).index(), i);
    EXPECT_EQ(response.choices(i).text(), texts[i]);
    EXPECT_EQ(response.choices(i).token_ids_size(), static_cast<int>(std::string(texts[i]).size()));
  }
  EXPECT_EQ(response.choices(2).finish_reason(), v1::FINISH_REASON_STOP_TOKEN);
  EXPECT_EQ(response.usage().generated_tokens(), 9);
}

TEST(ChoiceAnswersTest, BestOfTellsNothingUntilAllHaveEndedAndThenTheBestByTheirMean) {
  const AnswerContext context = ContextOf({.choices = 2, .sequences = 4, .ranked = true});
  ReadLog log(context.request.shape);
  StreamAnswer answer;
  log.Add(StartedEvent{});
  log.Add(Part(0, "a"));
  EXPECT_EQ(Shape(answer.Messages(log.Take(), context)), "S");
  EXPECT_TRUE(log.empty());
  log.Add(Last(0, "aaa", -8.0));  // Mean -2, of four tokens.
  log.Add(Last(1, "bb", -1.0));   // -0.5
  log.Add(Last(2, "c", -3.0));    // -3
  EXPECT_TRUE(log.empty());
  log.Add(Last(3, "dddd", -2.0));  // -0.5, as choice 1.
  EXPECT_EQ(Shape(answer.Messages(log.Take(), context)), "");
  log.Add(End());
  const auto messages = answer.Messages(log.Take(), context);
  ASSERT_EQ(Shape(messages), "D0F0D1F1");
  EXPECT_EQ(messages[0].delta().text(), "bb");
  EXPECT_DOUBLE_EQ(messages[1].finished().score(), -0.5);
  EXPECT_DOUBLE_EQ(messages[1].finished().total_logprob(), -1);
  EXPECT_EQ(messages[2].delta().text(), "dddd");
  EXPECT_DOUBLE_EQ(messages[3].finished().score(), -0.5);
  EXPECT_EQ(messages[3].finished().usage().generated_tokens(), 9);
}

TEST(ChoiceAnswersTest, BestOfThatIsCutShortTellsWhatEndedFirst) {
  const AnswerContext context = ContextOf({.choices = 2, .sequences = 3, .ranked = true});
  ReadLog log(context.request.shape);
  log.Add(Part(0, "a"));
  log.Add(Part(1, "b"));
  log.Add(Last(2, "c", -50.0));
  log.Add(End(FinishReason::kCancelled));
  const auto messages = StreamAnswer().Messages(log.Take(), context);
  ASSERT_EQ(Shape(messages), "D0F0D1F1");
  EXPECT_EQ(messages[0].delta().text(), "c");
  EXPECT_EQ(messages[1].finished().finish_reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(messages[2].delta().text(), "a");
  EXPECT_EQ(messages[3].finished().finish_reason(), v1::FINISH_REASON_CANCELLED);
}

TEST(ChoiceAnswersTest, OfABeamsSequencesOnlyTheBestAreTold) {
  const AnswerContext context = ContextOf({.choices = 2, .sequences = 3, .beam = true});
  ReadLog log(context.request.shape);
  Outcome moved;
  moved.choice_index = 1;
  moved.move = BeamMove{.parent = 0, .token = 5};
  log.Add(moved);
  EXPECT_TRUE(log.empty()) << "nothing is final before the end";
  Outcome best = Last(0, "best", -2.0);
  best.finish->score = -0.5;
  log.Add(best);
  log.Add(Last(1, "second", -3.0));
  log.Add(Last(2, ""));
  log.Add(End());
  const v1::GenerateResponse response = GenerateAnswer(log.Take(), context);
  ASSERT_EQ(response.choices_size(), 2);
  EXPECT_EQ(response.choices(0).text(), "best");
  EXPECT_DOUBLE_EQ(response.choices(0).score(), -0.5);
  EXPECT_DOUBLE_EQ(response.choices(0).total_logprob(), -2);
  EXPECT_EQ(response.choices(1).text(), "second");
}

TEST(ChoiceAnswersTest, MuchAtOnceComesInSeveralDeltasFromEachOfWhichAClientCanGoOn) {
  const AnswerContext context = ContextOf({.choices = 1, .sequences = 1, .beam = true});
  ReadLog log(context.request.shape);
  Outcome outcome;
  // Of three bytes each, which do not divide a message's size.
  for (size_t i = 0; i < kMessageLimits.text_bytes; ++i) outcome.text += "\u20ac";
  for (int i = 0; i < 2500; ++i) {
    outcome.tokens.push_back(i % 100);
    outcome.scores.push_back({.token = i % 100, .logprob = -1, .rank = 1, .top = {}});
  }
  const Outcome all = outcome;
  log.Add(std::move(outcome));
  ChoicePart folded;
  StreamAnswer answer;
  int messages = 0;
  while (!log.empty()) {
    for (const auto& message : answer.Messages(log.Take(), context)) {
      ++messages;
      const v1::Delta& delta = message.delta();
      EXPECT_LE(delta.text().size(), kMessageLimits.text_bytes);
      EXPECT_EQ(delta.text().size() % 3, 0u) << "a character is cut";
      EXPECT_EQ(delta.token_ids_size(), delta.logprobs_size());
      folded.text += delta.text();
      folded.tokens.insert(folded.tokens.end(), delta.token_ids().begin(), delta.token_ids().end());
      EXPECT_EQ(delta.choice_tokens(), static_cast<int64_t>(folded.tokens.size()));
      LogCursor again;
      again.choices.push_back({.tokens = delta.choice_tokens()});
      const EventBatch rest = log.log.Read(again);
      const ChoicePart* part = rest.Choice(0);
      EXPECT_EQ(folded.text + (part == nullptr ? "" : part->text), all.text);
    }
  }
  EXPECT_EQ(messages, 4);
  EXPECT_EQ(folded.text, all.text);
  EXPECT_EQ(folded.tokens, all.tokens);
}

// However the engine's words fall between batches, a client folds the same answer.
TEST(ChoiceAnswersTest, HowEventsAreBatchedChangesNothing) {
  const AnswerContext context = ContextOf({.choices = 3, .sequences = 3});
  const std::vector<Outcome> outcomes = {Part(0, "a"), Part(1, "b"), Part(2, "c"), Last(0, "A"),
                                         Part(2, "d"), Last(2, "C"), Part(1, "e"), Last(1, "B")};
  for (uint32_t cuts = 0; cuts < 256; ++cuts) {
    ReadLog log(context.request.shape);
    StreamAnswer answer;
    std::map<int, std::string> texts;
    std::vector<int> ended;
    int with_usage = 0;
    const auto read = [&] {
      for (const auto& message : answer.Messages(log.Take(), context)) {
        if (message.has_delta()) texts[message.delta().choice_index()] += message.delta().text();
        if (!message.has_finished()) continue;
        EXPECT_EQ(with_usage, 0) << "nothing comes after the end";
        ended.push_back(message.finished().choice_index());
        with_usage += message.finished().has_usage() ? 1 : 0;
      }
    };
    for (size_t i = 0; i < outcomes.size(); ++i) {
      log.Add(outcomes[i]);
      if (cuts >> i & 1) read();
    }
    log.Add(End());
    read();
    EXPECT_EQ(texts, (std::map<int, std::string>{{0, "aA"}, {1, "beB"}, {2, "cdC"}})) << cuts;
    std::sort(ended.begin(), ended.end());
    EXPECT_THAT(ended, ElementsAre(0, 1, 2)) << cuts;
    EXPECT_EQ(with_usage, 1) << cuts;
  }
}

}  // namespace
}  // namespace hocket
