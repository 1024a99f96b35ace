#include "runtime/text/sentence_end.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace hocket {
namespace {

// The first sentence of `text`, which comes in pieces of so many bytes that are whole characters.
std::string FirstSentence(std::string_view text, size_t piece_bytes) {
  SentenceEnd sentence;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(begin + piece_bytes, text.size());
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
    const size_t found = sentence.Append(text.substr(begin, end - begin));
    if (found != std::string_view::npos) return std::string(text.substr(0, begin + found));
    begin = end;
  }
  return "(none)";
}

void ExpectFirst(std::string_view text, std::string_view sentence) {
  for (const size_t piece : {1, 2, 3, 7, 1000}) {
    EXPECT_EQ(FirstSentence(text, piece), sentence) << "in pieces of " << piece;
  }
}

TEST(SentenceEnd, IsAMarkBeforeASpace) {
  ExpectFirst("It rains. We stay.", "It rains.");
  ExpectFirst("It rains.\nWe stay.", "It rains.");
  ExpectFirst("Really? Yes!", "Really?");
  ExpectFirst("No! Go. Away", "No!");
  ExpectFirst("What?! Who", "What?!");
  ExpectFirst("I waited. Long", "I waited.");
}

TEST(SentenceEnd, TakesClosingQuotesAndBracketsAlong) {
  ExpectFirst("She said \"go.\" Then", "She said \"go.\"");
  ExpectFirst("(So it was.) And", "(So it was.)");
  ExpectFirst("\u201cGo.\u201d She", "\u201cGo.\u201d");
}

TEST(SentenceEnd, KnowsFullWidthMarks) {
  ExpectFirst("雨です。帰ろう。", "雨です。");
  ExpectFirst("「はい。」と言った", "「はい。」");
  ExpectFirst("本当？！そう", "本当？！");
  ExpectFirst("好！走", "好！");
}

TEST(SentenceEnd, IsNotWithinANumberOrAWord) {
  ExpectFirst("Pi is 3.14 or so. Yes", "Pi is 3.14 or so.");
  ExpectFirst("See a.b.c for it. Yes", "See a.b.c for it.");
  ExpectFirst("Fruit, e.g. apples, i.e. food. Yes", "Fruit, e.g. apples, i.e. food.");
  ExpectFirst("(e.g. this) counts. Yes", "(e.g. this) counts.");
  ExpectFirst("In the U.S. it rains. Yes", "In the U.S. it rains.");
  ExpectFirst("It costs 5. Then", "It costs 5.");
}

TEST(SentenceEnd, IsNotAfterAnAbbreviationAnInitialOrAListNumber) {
  ExpectFirst("Dr. Who met Mr. Fox. They", "Dr. Who met Mr. Fox.");
  ExpectFirst("J. S. Bach wrote. He", "J. S. Bach wrote.");
  ExpectFirst("1. Take it. 2. Go", "1. Take it.");
  ExpectFirst("a\n 12. Take it. Go", "a\n 12. Take it.");
}

TEST(SentenceEnd, AnEllipsisLeavesTheSentenceOpen) {
  ExpectFirst("Well... maybe. Yes", "Well... maybe.");
  ExpectFirst("So.. maybe. Yes", "So.. maybe.");
}

TEST(SentenceEnd, NeedsTheCharacterAfterTheMark) {
  ExpectFirst("It rains.", "(none)");
  ExpectFirst("", "(none)");
}

}  // namespace
}  // namespace hocket
