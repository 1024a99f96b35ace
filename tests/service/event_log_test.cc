#include "service/event_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "read_log.h"

namespace hocket {
namespace {

using ::testing::ElementsAre;

// A token a letter.
Outcome Letters(const std::string& text, int32_t choice = 0) {
  Outcome outcome;
  outcome.choice_index = choice;
  outcome.text = text;
  outcome.tokens.assign(text.begin(), text.end());
  return outcome;
}

Outcome Tokens(std::vector<TokenId> tokens, const std::string& text) {
  Outcome outcome;
  outcome.tokens = std::move(tokens);
  outcome.text = text;
  return outcome;
}

FinishedEvent Length() {
  FinishedEvent event;
  event.finish.reason = FinishReason::kLength;
  return event;
}

EventBatch ReadFrom(const EventLog& log, int64_t tokens, const ReadLimits& limits = {}) {
  LogCursor cursor;
  cursor.choices.push_back({.tokens = tokens});
  return log.Read(cursor, limits);
}

TEST(EventLogTest, TextBelongsToTheTokensThatReleasedIt) {
  ReadLog log;
  log.Add(Tokens({1}, ""));  // Held back.
  log.Add(Tokens({2}, "ab"));
  log.Add(Tokens({3}, "c"));
  for (const auto& [had, rest] :
       std::vector<std::pair<int64_t, std::string>>{{0, "abc"}, {1, "abc"}, {2, "c"}}) {
    EXPECT_EQ(ReadFrom(log.log, had).choices[0].text, rest) << had;
    EXPECT_EQ(ReadFrom(log.log, had).choices[0].end_token, 3);
  }
  EXPECT_TRUE(ReadFrom(log.log, 3).choices.empty());
}

TEST(EventLogTest, EachReaderReadsAllInItsOwnPieces) {
  std::mt19937 random(1);
  ReadLog log({.choices = 2, .sequences = 2});
  std::vector<LogCursor> cursors(3);
  std::vector<std::string> texts(6);
  const auto read = [&](size_t reader, const ReadLimits& limits) {
    for (const ChoicePart& part : log.log.Read(cursors[reader], limits).choices) {
      texts[reader * 2 + part.choice_index] += part.text;
    }
  };
  std::string whole;
  for (int i = 0; i < 200; ++i) {
    const std::string text(1, static_cast<char>('a' + i % 26));
    whole += text;
    log.Add(Letters(text, 0));
    log.Add(Letters(text, 1));
    read(random() % 3, {.tokens = 1 + random() % 7, .text_bytes = 1 + random() % 5});
  }
  for (size_t reader = 0; reader < 3; ++reader) {
    read(reader, {});
    EXPECT_EQ(texts[reader * 2], whole);
    EXPECT_EQ(texts[reader * 2 + 1], whole);
  }
}

TEST(EventLogTest, AReadEndsAtATokenWhoseTextIsKnown) {
  ReadLog log;
  log.Add(Letters("a"));
  log.Add(Letters("bcde"));  // At once: guesses that came true.
  log.Add(Letters("f"));
  EXPECT_TRUE(log.log.KnowsTextEnd(0, 1));
  EXPECT_FALSE(log.log.KnowsTextEnd(0, 2));
  EXPECT_TRUE(log.log.KnowsTextEnd(0, 5));
  EXPECT_EQ(log.Take({.tokens = 3}).choices[0].text, "a");
  EXPECT_EQ(log.Take({.tokens = 3}).choices[0].text, "bcde");
  EXPECT_EQ(log.Take({.tokens = 3}).choices[0].text, "f");
  log.log.SetTextEnds(0, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(ReadFrom(log.log, 3).choices[0].text, "def");
}

TEST(EventLogTest, ABeamsTextIsCutAlikeInEveryRun) {
  const RequestShape beam = {.choices = 1, .sequences = 2, .beam = true};
  ReadLog log(beam);
  log.Add(Tokens({1, 2, 3}, "\u20ac\u20ac"));
  EXPECT_EQ(ReadFrom(log.log, 1).choices[0].text, "\u20ac\u20ac");
  EXPECT_EQ(ReadFrom(log.log, 2).choices[0].text, "\u20ac");
}

TEST(EventLogTest, AReaderAheadOfTheLogWaits) {
  ReadLog log;
  log.cursor.choices.push_back({.tokens = 3});
  log.Add(Letters("a"));
  log.Add(Letters("b"));
  EXPECT_TRUE(log.Take().choices.empty());
  log.Add(Letters("c"));
  EXPECT_TRUE(log.Take().choices.empty());
  log.Add(Letters("d"));
  EXPECT_EQ(log.Take().choices[0].text, "d");
}

TEST(EventLogTest, AReaderThatHasMoreThanThereIsIsTold) {
  ReadLog log;
  log.cursor.choices.push_back({.tokens = 3});
  Outcome outcome = Letters("ab");
  outcome.finish = Finish{.reason = FinishReason::kLength};
  log.Add(outcome);
  log.Add(Length());
  const EventBatch batch = log.Take();
  ASSERT_TRUE(batch.refused);
  EXPECT_TRUE(absl::IsInvalidArgument(*batch.refused));
}

TEST(EventLogTest, ARunFromTheBeginningAddsOnlyWhatIsNew) {
  ReadLog log({.choices = 2, .sequences = 2});
  Outcome scored;
  scored.prompt_scores.resize(3);
  log.Add(scored);
  log.Add(Letters("a", 0));
  log.Add(Letters("b", 0));
  log.Add(Letters("x", 1));
  log.log.BeginRun(/*resumes=*/false);
  scored.prompt_scores.resize(4);
  log.Add(scored);
  for (const char* letter : {"a", "b", "c"}) log.Add(Letters(letter, 0));
  for (const char* letter : {"x", "y", "z"}) log.Add(Letters(letter, 1));
  const EventBatch batch = log.Take();
  EXPECT_EQ(batch.prompt_scores.size(), 4u);
  EXPECT_EQ(batch.Choice(0)->text, "abc");
  EXPECT_EQ(batch.Choice(1)->text, "xyz");
}

TEST(EventLogTest, ARunThatDrawsOtherTokensIsAnError) {
  ReadLog log;
  log.Add(Letters("a"));
  log.log.BeginRun(/*resumes=*/false);
  EXPECT_TRUE(absl::IsInternal(log.log.Add(Letters("b"))));
}

TEST(EventLogTest, ARunThatGoesOnAddsAllItTells) {
  EventLog log(/*begun_tokens=*/2);
  log.Expect({});
  ASSERT_TRUE(log.Add(Letters("c")).ok());
  log.BeginRun(/*resumes=*/true);
  ASSERT_TRUE(log.Add(Letters("d")).ok());
  EXPECT_EQ(log.Tokens(0), 4);
  EXPECT_EQ(log.FirstToken(0), 2);
  EXPECT_EQ(log.GeneratedTokens(), 2);
  EXPECT_EQ(ReadFrom(log, 2).choices[0].text, "cd");
  EXPECT_EQ(ReadFrom(log, 3).choices[0].text, "d");
}

TEST(EventLogTest, WhatIsDroppedTakesNoMemoryAndIsNotMissed) {
  ReadLog log;
  for (int i = 0; i < 1000; ++i) {
    Outcome outcome = Letters("x");
    outcome.scores.push_back({.token = 'x', .logprob = -1, .rank = 1, .top = {{1, 2.f}, {3, 4.f}}});
    outcome.prompt_scores.resize(1);
    log.Add(std::move(outcome));
    log.Take();
    log.log.DropBefore(log.cursor);
    EXPECT_EQ(log.log.bytes(), 0);
  }
  EXPECT_EQ(log.log.GeneratedTokens(), 1000);
  log.Add(Letters("y"));
  const EventBatch batch = log.Take();
  EXPECT_EQ(batch.choices[0].text, "y");
  EXPECT_EQ(batch.choices[0].end_token, 1001);
}

TEST(EventLogTest, BytesCountWhatIsHeld) {
  EventLog log;
  log.Expect({});
  const int64_t empty = log.bytes();
  Outcome outcome = Letters("x");
  outcome.scores.push_back({.token = 'x', .logprob = -1, .rank = 1, .top = {}});
  outcome.scores[0].top.resize(20);
  ASSERT_TRUE(log.Add(std::move(outcome)).ok());
  EXPECT_GE(log.bytes() - empty,
            static_cast<int64_t>(sizeof(TokenScore) + 20 * sizeof(TokenLogprob)));
}

TEST(EventLogTest, AReadersOwnEndComesAfterAllThatThereIs) {
  ReadLog log;
  log.Add(Letters("abc"));
  FinishedEvent own;
  own.finish.reason = FinishReason::kDeadline;
  LogCursor cursor;
  const EventBatch batch = log.log.Read(cursor, {}, &own);
  EXPECT_EQ(batch.choices[0].text, "abc");
  EXPECT_EQ(batch.finished->finish.reason, FinishReason::kDeadline);
  EXPECT_FALSE(log.log.ended());
  log.Add(Letters("d"));
  EXPECT_EQ(log.Take().choices[0].text, "abcd");
}

TEST(EventLogTest, TheEndComesWithTheLastPiece) {
  ReadLog log;
  for (int i = 0; i < 5; ++i) log.Add(Letters("x"));
  log.Add(Length());
  EXPECT_FALSE(log.Take({.tokens = 2}).finished);
  EXPECT_FALSE(log.Take({.tokens = 2}).finished);
  EXPECT_TRUE(log.Take({.tokens = 2}).finished);
}

}  // namespace
}  // namespace hocket
