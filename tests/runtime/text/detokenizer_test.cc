#include "runtime/text/detokenizer.h"

#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/runtime/text/fixtures.h"

namespace hocket {
namespace {

using ::hocket::testing::FixtureTokenizer;
using ::hocket::testing::IsValidUtf8;
using ::testing::ElementsAre;

// The token that stands for one byte.
TokenId ByteToken(const Tokenizer& tokenizer, const std::string& fixture, int byte) {
  if (fixture == "byte_fallback") return 3 + byte;
  for (TokenId token = 4; token < 4 + 256; ++token) {
    // Byte-level pieces are printable stand-ins, so look for the one that decodes to the byte.
    const std::string text = *tokenizer.Decode(std::vector<TokenId>{token}, false);
    if (text.size() == 1 && static_cast<unsigned char>(text[0]) == byte) return token;
  }
  return -1;
}

std::vector<std::string> Stream(Detokenizer detokenizer, std::span<const TokenId> tokens) {
  std::vector<std::string> pieces;
  for (TokenId token : tokens) pieces.push_back(detokenizer.Append(token).value());
  pieces.push_back(detokenizer.Finish().value());
  return pieces;
}

std::string Join(const std::vector<std::string>& pieces) {
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  return text;
}

// The header's equality: Decode(prompt + tokens) without the characters that Decode(prompt) begins
// with too.
std::string Expected(const Tokenizer& tokenizer, const std::vector<TokenId>& prompt,
                     const std::vector<TokenId>& tokens, bool skip_special) {
  std::vector<TokenId> all = prompt;
  all.insert(all.end(), tokens.begin(), tokens.end());
  const std::string whole = *tokenizer.Decode(all, skip_special);
  const std::string before = *tokenizer.Decode(prompt, skip_special);
  size_t common = 0;
  while (common < whole.size() && common < before.size() && whole[common] == before[common]) {
    ++common;
  }
  while (!IsValidUtf8(whole.substr(0, common))) --common;
  return whole.substr(common);
}

class DetokenizerStream : public ::testing::TestWithParam<const char*> {
 protected:
  const Tokenizer& tokenizer_ = FixtureTokenizer(GetParam());
};

TEST_P(DetokenizerStream, EqualsTheDecodingOfTheWholeRun) {
  const uint64_t seed = 20261121;
  std::mt19937_64 random(seed);
  const auto draw = [&](size_t limit) { return static_cast<size_t>(random() % limit); };
  const std::vector<TokenId> characters = *tokenizer_.Encode(
      "日本語 é 😀 👩‍👩‍👧‍👦 \uFFFD ▁ the voices  sing", false);
  const auto run = [&](size_t max_tokens) {
    std::vector<TokenId> tokens;
    const size_t kind = draw(4);
    for (size_t count = draw(max_tokens + 1); tokens.size() < count;) {
      const size_t choice = kind < 3 ? kind : draw(3);
      if (choice == 0) {  // Anything, a few padded ids included.
        tokens.push_back(static_cast<TokenId>(draw(tokenizer_.vocabulary_size() + 3)));
      } else if (choice == 1) {  // Mostly bytes, mostly ill-formed.
        tokens.push_back(static_cast<TokenId>(3 + draw(257)));
      } else {  // Characters, cut anywhere.
        const size_t begin = draw(characters.size());
        const size_t end = begin + 1 + draw(std::min<size_t>(characters.size() - begin, 12));
        tokens.insert(tokens.end(), characters.begin() + begin, characters.begin() + end);
      }
    }
    return tokens;
  };
  for (int round = 0; round < 1500; ++round) {
    const std::vector<TokenId> prompt = run(30);
    const std::vector<TokenId> tokens = run(90);
    const bool skip_special = draw(2) == 1;
    SCOPED_TRACE("seed " + std::to_string(seed) + ", round " + std::to_string(round));
    const std::vector<std::string> pieces =
        Stream(Detokenizer(&tokenizer_, prompt, skip_special), tokens);
    for (const std::string& piece : pieces) ASSERT_TRUE(IsValidUtf8(piece)) << piece;
    ASSERT_EQ(Join(pieces), Expected(tokenizer_, prompt, tokens, skip_special));
  }
}

TEST_P(DetokenizerStream, HoldsBackNothingButAnIncompleteCharacter) {
  const std::vector<TokenId> tokens = *tokenizer_.Encode("a €!", false);
  Detokenizer detokenizer(&tokenizer_, *tokenizer_.Encode("so", false), true);
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    text += *detokenizer.Append(tokens[i]);
    const std::string now = Expected(tokenizer_, *tokenizer_.Encode("so", false),
                                     {tokens.begin(), tokens.begin() + i + 1}, true);
    EXPECT_EQ(text, now.substr(0, now.find("\uFFFD")));
  }
}

TEST_P(DetokenizerStream, AnEndlessRunOfInvalidBytesIsReleasedAsItComes) {
  // A continuation byte by itself: 0x80.
  TokenId invalid = -1;
  for (TokenId token = 3; token < 260 && invalid < 0; ++token) {
    if (*tokenizer_.Decode(std::vector<TokenId>{token, token, token}, false) ==
        "\uFFFD\uFFFD\uFFFD") {
      invalid = token;
    }
  }
  ASSERT_GE(invalid, 0);
  Detokenizer detokenizer(&tokenizer_, {}, true);
  EXPECT_EQ(*detokenizer.Append(invalid), "");
  for (int i = 0; i < 500; ++i) ASSERT_EQ(*detokenizer.Append(invalid), "\uFFFD");
  EXPECT_EQ(*detokenizer.Finish(), "\uFFFD");
}

TEST_P(DetokenizerStream, AnIncompleteCharacterAtTheEndBecomesAReplacement) {
  std::vector<TokenId> tokens = *tokenizer_.Encode("so 😀", false);
  tokens.pop_back();
  const std::vector<std::string> pieces = Stream(Detokenizer(&tokenizer_, {}, true), tokens);
  EXPECT_EQ(Join(pieces), "so \uFFFD");
  EXPECT_EQ(pieces.back(), "\uFFFD");
}

TEST_P(DetokenizerStream, APromptThatEndsWithinACharacterGivesItToTheFirstToken) {
  const std::vector<TokenId> tokens = *tokenizer_.Encode("so 😀!", false);
  const std::vector<TokenId> prompt(tokens.begin(), tokens.end() - 2);
  const std::vector<TokenId> rest(tokens.end() - 2, tokens.end());
  ASSERT_THAT(*tokenizer_.Decode(prompt, true), ::testing::EndsWith("\uFFFD"));
  EXPECT_EQ(Join(Stream(Detokenizer(&tokenizer_, prompt, true), rest)), "😀!");
}

TEST_P(DetokenizerStream, APromptThatEndsWithAReplacementCharacterKeepsIt) {
  const std::vector<TokenId> prompt = *tokenizer_.Encode("so \uFFFD", false);
  const std::vector<TokenId> tokens = {ByteToken(tokenizer_, GetParam(), '!')};
  EXPECT_THAT(Stream(Detokenizer(&tokenizer_, prompt, true), tokens), ElementsAre("!", ""));
  EXPECT_THAT(Stream(Detokenizer(&tokenizer_, prompt, true), {}), ElementsAre(""));
}

TEST_P(DetokenizerStream, SpecialTokensShowOnlyWhenAskedFor) {
  const std::vector<TokenId> tokens = {ByteToken(tokenizer_, GetParam(), 'a'), 1,
                                       ByteToken(tokenizer_, GetParam(), 'b')};
  const std::string special = tokenizer_.IdToPiece(1).value();
  EXPECT_THAT(Stream(Detokenizer(&tokenizer_, {}, true), tokens), ElementsAre("a", "", "b", ""));
  EXPECT_THAT(Stream(Detokenizer(&tokenizer_, {}, false), tokens),
              ElementsAre("a", special, "b", ""));
}

INSTANTIATE_TEST_SUITE_P(Fixtures, DetokenizerStream,
                         ::testing::Values("byte_level", "byte_fallback"));

TEST(Detokenizer, TheFirstWordKeepsItsSpaceOnlyAfterAPrompt) {
  const Tokenizer& tokenizer = FixtureTokenizer("byte_fallback");
  const std::vector<TokenId> word = *tokenizer.Encode("voices", false);
  const std::vector<TokenId> prompt = *tokenizer.Encode("The", true);
  const std::vector<TokenId> begin = *tokenizer.Encode("", true);
  EXPECT_EQ(Join(Stream(Detokenizer(&tokenizer, prompt, true), word)), " voices");
  EXPECT_EQ(Join(Stream(Detokenizer(&tokenizer, {}, true), word)), "voices");
  EXPECT_EQ(Join(Stream(Detokenizer(&tokenizer, begin, true), word)), "voices");
}

TEST(Detokenizer, ANegativeTokenIsRefusedAndTheStreamGoesOn) {
  const Tokenizer& tokenizer = FixtureTokenizer("byte_level");
  Detokenizer detokenizer(&tokenizer, {}, true);
  EXPECT_EQ(detokenizer.Append(-1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(*detokenizer.Append(ByteToken(tokenizer, "byte_level", 'x')), "x");
}

}  // namespace
}  // namespace hocket
