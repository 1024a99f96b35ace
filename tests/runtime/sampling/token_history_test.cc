#include "runtime/sampling/token_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "runtime/sampling/bad_words.h"

namespace hocket {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

TEST(TokenHistory, RepetitionCountsThePromptAndTheOthersOnlyWhatWasGenerated) {
  const std::vector<TokenId> prompt = {5, 7, 5};
  TokenHistory history(prompt, 0);
  EXPECT_THAT(history.counts(), UnorderedElementsAre(TokenCount{5, 2, 0}, TokenCount{7, 1, 0}));
  history.Append(5);
  history.Append(9);
  EXPECT_THAT(history.counts(),
              UnorderedElementsAre(TokenCount{5, 3, 1}, TokenCount{7, 1, 0}, TokenCount{9, 1, 1}));
}

TEST(TokenHistory, AgreesWithCountingTheWindowAnew) {
  const uint64_t seed = 12;
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    SCOPED_TRACE(testing::Message() << "seed " << seed << ", round " << round);
    std::vector<TokenId> tokens(random() % 30);
    for (TokenId& token : tokens) token = static_cast<TokenId>(random() % 8);
    const size_t prompt_tokens = tokens.size();
    const auto window = static_cast<int32_t>(random() % 20);
    TokenHistory history(tokens, window);
    for (int step = 0; step < 40; ++step) {
      std::map<TokenId, TokenCount> expected;
      const size_t first =
          window > 0 && tokens.size() > static_cast<size_t>(window) ? tokens.size() - window : 0;
      for (size_t i = first; i < tokens.size(); ++i) {
        TokenCount& count = expected[tokens[i]];
        count.token = tokens[i];
        ++count.seen;
        if (i >= prompt_tokens) ++count.generated;
      }
      ASSERT_EQ(history.counts().size(), expected.size());
      for (const TokenCount& count : history.counts()) ASSERT_EQ(count, expected[count.token]);
      tokens.push_back(static_cast<TokenId>(random() % 8));
      history.Append(tokens.back());
    }
  }
}

TEST(BadWords, OnlyTheTokenThatWouldCompleteAWordIsBanned) {
  const std::vector<std::vector<TokenId>> words = {{4}, {1, 2, 3}, {2, 2}};
  BadWords bad_words(words, {});
  EXPECT_THAT(bad_words.Ends(), ElementsAre(4));
  bad_words.Append(1);
  EXPECT_THAT(bad_words.Ends(), ElementsAre(4));
  bad_words.Append(2);
  EXPECT_THAT(bad_words.Ends(), ElementsAre(4, 3, 2));
  bad_words.Append(5);
  EXPECT_THAT(bad_words.Ends(), ElementsAre(4));
}

TEST(BadWords, MayBeginInThePrompt) {
  const std::vector<std::vector<TokenId>> words = {{1, 2, 3}};
  const std::vector<TokenId> prompt = {9, 9, 1, 2};
  EXPECT_THAT(BadWords(words, prompt).Ends(), ElementsAre(3));
  const std::vector<TokenId> other = {1, 2, 9};
  EXPECT_THAT(BadWords(words, other).Ends(), IsEmpty());
}

}  // namespace
}  // namespace hocket
