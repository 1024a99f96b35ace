// Guesses from a sequence's own tokens, against a search of the whole sequence; and what guessing
// costs and gains on texts of known predictability, with a step's time as the control is told it.
#include "scheduler/prompt_lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

namespace hocket {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<TokenId> Guesses(const PromptLookup& lookup, int32_t most) {
  std::vector<TokenId> guesses;
  const int32_t count = lookup.Propose(most, guesses);
  EXPECT_EQ(count, static_cast<int32_t>(guesses.size()));
  return guesses;
}

std::vector<TokenId> GuessesAfter(std::vector<TokenId> tokens, int32_t most) {
  PromptLookup lookup;
  lookup.Append(tokens);
  return Guesses(lookup, most);
}

// By trying every place, from the latest on.
std::vector<TokenId> SearchedGuesses(std::vector<TokenId> tokens, int32_t most) {
  constexpr int kRun = PromptLookup::kRunTokens;
  const int size = static_cast<int>(tokens.size());
  for (int end = size - 1; end >= kRun; --end) {
    if (!std::equal(tokens.end() - kRun, tokens.end(), tokens.begin() + end - kRun)) continue;
    for (int i = 0; i < most; ++i) tokens.push_back(tokens[end + i]);
    return {tokens.begin() + size, tokens.end()};
  }
  return {};
}

TEST(PromptLookup, ProposesWhatFollowedTheLastTokensBefore) {
  EXPECT_THAT(GuessesAfter({1, 2, 3, 4, 5, 6, 9, 1, 2, 3}, 3), ElementsAre(4, 5, 6));
  EXPECT_THAT(GuessesAfter({1, 2, 3, 4, 9, 1, 2, 3}, 1), ElementsAre(4));
}

TEST(PromptLookup, TheLatestOccurrenceCounts) {
  EXPECT_THAT(GuessesAfter({1, 2, 3, 4, 1, 2, 3, 5, 6, 1, 2, 3}, 2), ElementsAre(5, 6));
}

TEST(PromptLookup, ProposesNothingWhereTheLastTokensAreNew) {
  EXPECT_THAT(GuessesAfter({}, 4), IsEmpty());
  EXPECT_THAT(GuessesAfter({1, 1}, 4), IsEmpty());
  EXPECT_THAT(GuessesAfter({1, 2, 3}, 4), IsEmpty());
  EXPECT_THAT(GuessesAfter({2, 3, 4, 1, 2, 3}, 4), IsEmpty());
  EXPECT_THAT(GuessesAfter({1, 2, 3, 4, 1, 2, 3}, 0), IsEmpty());
}

TEST(PromptLookup, AnEndThatRepeatsItselfIsTakenToGoOn) {
  EXPECT_THAT(GuessesAfter({7, 7, 7, 7}, 3), ElementsAre(7, 7, 7));
  EXPECT_THAT(GuessesAfter({1, 2, 1, 2, 1}, 4), ElementsAre(2, 1, 2, 1));
}

TEST(PromptLookup, GuessesAsASearchOfTheWholeSequenceDoes) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20; ++round) {
    const int vocabulary = 1 + static_cast<int>(random() % 6);
    const int length = 1 + static_cast<int>(random() % 300);
    PromptLookup lookup;
    std::vector<TokenId> tokens;
    while (static_cast<int>(tokens.size()) < length) {
      std::vector<TokenId> piece(1 + random() % 4);
      for (TokenId& token : piece) token = static_cast<TokenId>(random() % vocabulary);
      tokens.insert(tokens.end(), piece.begin(), piece.end());
      lookup.Append(piece);
      const auto most = static_cast<int32_t>(random() % 9);
      ASSERT_EQ(Guesses(lookup, most), SearchedGuesses(tokens, most)) << tokens.size();
    }
    EXPECT_EQ(lookup.tokens(), static_cast<int32_t>(tokens.size()));
  }
}

TEST(PromptLookup, FindsARunAgainThroughALongTextOfOthers) {
  std::mt19937_64 random(3);
  std::vector<TokenId> text(100'000);
  for (TokenId& token : text) token = static_cast<TokenId>(random() % 50'000);
  PromptLookup lookup;
  lookup.Append(text);
  int found = 0;
  for (size_t begin = 0; begin < 90'000; begin += 90) {
    lookup.Append(std::span(text).subspan(begin, 3));
    found += Guesses(lookup, 1) == std::vector<TokenId>{text[begin + 3]};
  }
  EXPECT_EQ(found, 1000);
}

// How often a guess is right, by the place of its token in the text.
using RightAt = std::function<double(int)>;

struct Reckoning {
  double time = 0;  // In plain steps.
  int64_t guesses = 0;
  int64_t steps = 0;
};

RightAt Always(double right) {
  return [right](int) { return right; };
}

// An answer of `tokens` tokens, guesses at hand in every step.
Reckoning Answer(int tokens, int most, double cost, double told_cost, const RightAt& right_at,
                 uint64_t seed) {
  std::mt19937_64 random(seed);
  DraftControl control;
  Reckoning sum;
  for (int done = 0; done < tokens;) {
    const int32_t wanted = control.Wanted(most, told_cost);
    int32_t accepted = 0;
    while (accepted < wanted &&
           std::uniform_real_distribution<>()(random) < right_at(done + accepted)) {
      ++accepted;
    }
    control.Learn(wanted, accepted);
    sum.time += 1 + wanted * cost;
    sum.guesses += wanted;
    ++sum.steps;
    done += 1 + accepted;
  }
  return sum;
}

TEST(DraftControl, OnRandomTextGuessingCostsUnderThreePercent) {
  for (const double cost : {0.01, 0.1, 0.25, 0.5, 0.9, 2.0}) {
    for (const double right : {0.0, 0.02, 0.2}) {
      const Reckoning run = Answer(400, 8, cost, cost, Always(right), 1);
      EXPECT_LT(run.time, 400 * 1.03) << "cost " << cost << ", right " << right;
    }
  }
  // The same where the cost is not known, but is not more than it is taken for.
  EXPECT_LT(Answer(400, 8, 0.25, 0, Always(0), 1).time, 400 * 1.03);
}

TEST(DraftControl, OnCopiedTextNearlyAllGuessesAreUsed) {
  for (const double cost : {0.0, 0.01, 0.1, 0.25}) {
    for (const int most : {1, 4, 8, 16}) {
      const Reckoning run = Answer(1000, most, cost, cost, Always(1), 1);
      EXPECT_GT(static_cast<double>(run.guesses), 0.85 * most * static_cast<double>(run.steps))
          << "cost " << cost << ", at most " << most;
    }
  }
}

TEST(DraftControl, TextThatIsPredictableInPartsIsFaster) {
  // 60 tokens copied, 60 not, by turns.
  const RightAt parts = [](int place) { return place / 60 % 2 == 0 ? 0.97 : 0.02; };
  const Reckoning run = Answer(3000, 8, 0.1, 0.1, parts, 1);
  EXPECT_LT(run.time, 0.75 * 3000);
}

TEST(DraftControl, HoweverTheTextIsAnAnswerTakesHardlyLonger) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 300; ++round) {
    const int tokens = 1 + static_cast<int>(random() % 600);
    const int part = 1 + static_cast<int>(random() % 40);
    const double high = std::uniform_real_distribution<>()(random);
    const double cost = 1.2 * std::uniform_real_distribution<>()(random);
    const RightAt parts = [=](int place) { return place / part % 2 == 0 ? high : 0; };
    const Reckoning run =
        Answer(tokens, 1 + static_cast<int>(random() % 32), cost, cost, parts, random());
    EXPECT_LE(run.time, 1.02 * tokens + 1 + 1e-9)
        << "tokens " << tokens << ", part " << part << ", right " << high << ", cost " << cost;
  }
}

TEST(DraftControl, WhereAGuessIsSaidToCostAStepSingleOnesAreTriedNowAndThen) {
  DraftControl control;
  int guesses = 0;
  for (int i = 0; i < 1000; ++i) {
    const int32_t wanted = control.Wanted(8, 1.5);
    EXPECT_LE(wanted, 1);
    control.Learn(wanted, 0);
    guesses += wanted;
  }
  EXPECT_GE(guesses, 10);
  EXPECT_LE(guesses, (1 + 0.02 * 1000) / 1.5);
  EXPECT_GT(control.Wanted(8, 0.05), 0);
}

TEST(DraftControl, WrongGuessesStopItAndRightOnesStartItAgain) {
  DraftControl control;
  int guesses = 0;
  for (int i = 0; i < 100; ++i) {
    const int32_t wanted = control.Wanted(8, 0.2);
    control.Learn(wanted, 0);
    if (i >= 50) guesses += wanted;
  }
  EXPECT_GT(guesses, 0) << "never tried again";
  EXPECT_LE(guesses, 8);
  int wanted = 0;
  int steps = 0;
  for (; steps < 100 && wanted < 8; ++steps) {
    wanted = control.Wanted(8, 0.2);
    control.Learn(wanted, wanted);
  }
  EXPECT_LT(steps, 50);
}

}  // namespace
}  // namespace hocket
