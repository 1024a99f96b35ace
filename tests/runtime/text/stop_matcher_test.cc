#include "runtime/text/stop_matcher.h"

#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/runtime/text/fixtures.h"

namespace hocket {
namespace {

struct Ended {
  std::string text;
  std::optional<std::string> stop;
  bool operator==(const Ended&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Ended& ended) {
  return out << "\"" << ended.text << "\" stop: " << ended.stop.value_or("(none)");
}

Ended Feed(StopMatcher matcher, const std::vector<std::string>& pieces) {
  Ended ended;
  for (const std::string& piece : pieces) {
    StopMatcher::Piece released = matcher.Append(piece);
    ended.text += released.text;
    if (released.stop.has_value()) {
      ended.stop = released.stop;
      return ended;
    }
  }
  ended.text += matcher.Finish();
  return ended;
}

// What the header promises, by trying every ending and every beginning.
Ended Naive(const std::vector<std::string>& stops, bool include_stop, const std::string& text) {
  for (size_t end = 1; end <= text.size(); ++end) {
    for (size_t begin = 0; begin < end; ++begin) {
      const std::string candidate = text.substr(begin, end - begin);
      for (const std::string& stop : stops) {
        if (stop == candidate) return {text.substr(0, include_stop ? end : begin), stop};
      }
    }
  }
  return {text, std::nullopt};
}

TEST(StopMatcher, WithoutStopsEverythingPassesAtOnce) {
  StopMatcher matcher({}, false);
  EXPECT_EQ(matcher.Append("abc").text, "abc");
  EXPECT_EQ(matcher.Finish(), "");
}

TEST(StopMatcher, FindsAStopSplitOverPieces) {
  StopMatcher matcher({"STOP"}, false);
  EXPECT_EQ(matcher.Append("one S").text, "one ");
  EXPECT_EQ(matcher.Append("T").text, "");
  EXPECT_EQ(matcher.Append("O").text, "");
  const StopMatcher::Piece piece = matcher.Append("P and more");
  EXPECT_EQ(piece.text, "");
  EXPECT_EQ(piece.stop, "STOP");
  EXPECT_EQ(matcher.Finish(), "");
}

TEST(StopMatcher, ReleasesWhatTurnsOutNotToBeAStop) {
  StopMatcher matcher({"STOP"}, false);
  EXPECT_EQ(matcher.Append("STO").text, "");
  EXPECT_EQ(matcher.Append("RE").text, "STORE");
  EXPECT_EQ(matcher.Append("S").text, "");
  EXPECT_EQ(matcher.Append("ST").text, "S");
  EXPECT_EQ(matcher.Finish(), "ST");
}

TEST(StopMatcher, HoldsNoMoreThanCouldBegin) {
  StopMatcher matcher({"aab"}, false);
  EXPECT_EQ(matcher.Append("aaaa").text, "aa");
  EXPECT_EQ(matcher.Append("b").stop, "aab");
}

TEST(StopMatcher, TheStopThatEndsFirstWins) {
  EXPECT_EQ(Feed(StopMatcher({"abcd", "bc"}, false), {"xabcd"}), (Ended{"xa", "bc"}));
  EXPECT_EQ(Feed(StopMatcher({"later", "now"}, false), {"now or later"}), (Ended{"", "now"}));
}

TEST(StopMatcher, OfThoseThatEndTogetherTheOneThatStartsFirstWins) {
  EXPECT_EQ(Feed(StopMatcher({"c", "bc", "abc"}, false), {"xab", "c"}), (Ended{"x", "abc"}));
}

TEST(StopMatcher, IncludeStopKeepsTheStopAndDropsWhatFollows) {
  EXPECT_EQ(Feed(StopMatcher({"\n\n"}, true), {"one\n", "\ntwo"}), (Ended{"one\n\n", "\n\n"}));
  EXPECT_EQ(Feed(StopMatcher({"\n\n"}, false), {"one\n", "\ntwo"}), (Ended{"one", "\n\n"}));
}

TEST(StopMatcher, ReleasesWholeCharacters) {
  StopMatcher matcher({"日本", "é!"}, false);
  for (const char* piece : {"日", "月", "é", "è", "日", "本"}) {
    EXPECT_TRUE(hocket::testing::IsValidUtf8(matcher.Append(piece).text));
  }
}

TEST(StopMatcher, AgreesWithANaiveSearchForEverySplit) {
  const uint64_t seed = 20261121;
  std::mt19937_64 random(seed);
  const auto draw = [&](size_t limit) { return static_cast<size_t>(random() % limit); };
  const auto word = [&](size_t max_length) {
    std::string text(1 + draw(max_length), ' ');
    for (char& c : text) c = static_cast<char>('a' + draw(2));
    return text;
  };
  for (int round = 0; round < 4000; ++round) {
    SCOPED_TRACE("seed " + std::to_string(seed) + ", round " + std::to_string(round));
    std::vector<std::string> stops;
    for (size_t i = draw(4); i > 0; --i) stops.push_back(word(6));
    const bool include_stop = draw(2) == 1;
    const std::string text = word(20);
    const Ended expected = Naive(stops, include_stop, text);
    // Every split into two, and one into many.
    for (size_t cut = 0; cut <= text.size(); ++cut) {
      ASSERT_EQ(Feed(StopMatcher(stops, include_stop), {text.substr(0, cut), text.substr(cut)}),
                expected);
    }
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      pieces.push_back(text.substr(at, draw(4)));
      at += pieces.back().size();
    }
    ASSERT_EQ(Feed(StopMatcher(stops, include_stop), pieces), expected);
  }
}

}  // namespace
}  // namespace hocket
