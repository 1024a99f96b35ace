#include "runtime/repetition_detector.h"

#include <gtest/gtest.h>

#include <random>
#include <string_view>

namespace hocket {
namespace {

// After how many letters the repetition is noticed; 0 never.
size_t NoticedAfter(std::string_view text, int32_t max_pattern, int32_t min_repeats) {
  RepetitionDetector detector(max_pattern, min_repeats);
  for (size_t i = 0; i < text.size(); ++i) {
    if (detector.Append(text[i])) return i + 1;
  }
  return 0;
}

TEST(RepetitionDetector, NoticesAPatternAtItsLastRepeat) {
  EXPECT_EQ(NoticedAfter("xaaaa", 4, 4), 5u);
  EXPECT_EQ(NoticedAfter("xaaa", 4, 4), 0u);
  EXPECT_EQ(NoticedAfter("so abcabcabc", 4, 3), 12u);
  EXPECT_EQ(NoticedAfter("so abcabcab", 4, 3), 0u);
  EXPECT_EQ(NoticedAfter("abab", 4, 2), 4u);
}

TEST(RepetitionDetector, IgnoresPatternsThatAreTooLong) {
  EXPECT_EQ(NoticedAfter("abcdeabcdeabcde", 4, 3), 0u);
  EXPECT_EQ(NoticedAfter("abcdeabcdeabcde", 5, 3), 15u);
}

TEST(RepetitionDetector, AgreesWithComparingThePatterns) {
  const uint64_t seed = 31;
  std::mt19937_64 random(seed);
  for (int round = 0; round < 300; ++round) {
    SCOPED_TRACE(testing::Message() << "seed " << seed << ", round " << round);
    const size_t max_pattern = 1 + random() % 5;
    const size_t repeats = 2 + random() % 3;
    RepetitionDetector detector(static_cast<int32_t>(max_pattern), static_cast<int32_t>(repeats));
    std::vector<TokenId> tokens;
    for (int i = 0; i < 60; ++i) {
      tokens.push_back(static_cast<TokenId>(random() % 2));
      bool expected = false;
      for (size_t p = 1; p <= max_pattern && p * repeats <= tokens.size(); ++p) {
        bool same = true;
        for (size_t k = 0; k < p * (repeats - 1); ++k) {
          const size_t at = tokens.size() - 1 - k;
          same = same && tokens[at] == tokens[at - p];
        }
        expected = expected || same;
      }
      ASSERT_EQ(detector.Append(tokens.back()), expected);
    }
  }
}

}  // namespace
}  // namespace hocket
