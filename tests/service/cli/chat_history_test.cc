#include "service/cli/chat_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hocket {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// One token per character of content.
absl::StatusOr<std::vector<TokenId>> CountCharacters(const std::vector<ChatMessage>& messages) {
  std::vector<TokenId> tokens;
  for (const ChatMessage& message : messages) tokens.resize(tokens.size() + message.content.size());
  return tokens;
}

std::vector<std::string> Contents(const ChatHistory& history) {
  std::vector<std::string> contents;
  for (const ChatMessage& message : history.messages()) contents.push_back(message.content);
  return contents;
}

ChatHistory ThreeTurns(const std::string& system) {
  ChatHistory history(system);
  history.Add("user", "aaaa");
  history.Add("assistant", "bbbb");
  history.Add("user", "cccc");
  history.Add("assistant", "dddd");
  history.Add("user", "eeee");
  return history;
}

TEST(ChatHistory, KeepsEverythingThatFits) {
  ChatHistory history = ThreeTurns("s");
  absl::StatusOr<ChatHistory::Fitted> fitted = history.Fit(CountCharacters, 21);
  ASSERT_TRUE(fitted.ok());
  EXPECT_EQ(fitted->prompt.size(), 21u);
  EXPECT_EQ(fitted->dropped_messages, 0);
}

TEST(ChatHistory, DropsTheOldestTurnsButNeverTheSystemMessage) {
  ChatHistory history = ThreeTurns("s");
  absl::StatusOr<ChatHistory::Fitted> fitted = history.Fit(CountCharacters, 20);
  ASSERT_TRUE(fitted.ok());
  EXPECT_EQ(fitted->dropped_messages, 2);
  EXPECT_THAT(Contents(history), ElementsAre("s", "cccc", "dddd", "eeee"));

  fitted = history.Fit(CountCharacters, 5);
  ASSERT_TRUE(fitted.ok());
  EXPECT_THAT(Contents(history), ElementsAre("s", "eeee"));
}

TEST(ChatHistory, RefusesAMessageThatCannotFitAndForgetsNothing) {
  ChatHistory history = ThreeTurns("s");
  absl::StatusOr<ChatHistory::Fitted> fitted = history.Fit(CountCharacters, 4);
  EXPECT_EQ(fitted.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(fitted.status().message()), HasSubstr("takes 5 tokens; 4 fit"));
  EXPECT_EQ(history.messages().size(), 6u);
}

TEST(ChatHistory, ResetKeepsTheSystemMessage) {
  ChatHistory history = ThreeTurns("s");
  history.Reset();
  EXPECT_THAT(Contents(history), ElementsAre("s"));
  history.RemoveLast();
  EXPECT_THAT(Contents(history), ElementsAre("s"));
}

}  // namespace
}  // namespace hocket
