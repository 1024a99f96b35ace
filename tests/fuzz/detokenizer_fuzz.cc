// Tokens that become text one by one give the text of the whole run, whole characters at a time,
// and stop strings are found in it where the whole text has them.
#include "fuzz_input.h"
#include "promise.h"
#include "runtime/text/detokenizer.h"
#include "runtime/text/stop_matcher.h"
#include "stop_reference.h"
#include "tests/runtime/text/fixtures.h"

namespace hocket::fuzz {
namespace {

using testing::FixtureTokenizer;
using testing::IsValidUtf8;

constexpr std::string_view kReplacement = "\uFFFD";

std::vector<TokenId> Tokens(FuzzInput& input, const Tokenizer& tokenizer, size_t most) {
  // A few ids behind the vocabulary stand for a model's padded rows.
  const auto limit = static_cast<uint32_t>(tokenizer.vocabulary_size() + 3);
  std::vector<TokenId> tokens;
  while (!input.empty() && tokens.size() < most) {
    tokens.push_back(static_cast<TokenId>(input.Below(limit)));
  }
  return tokens;
}

// Decode(prompt + tokens) without the characters that Decode(prompt) begins with too.
std::string Expected(const Tokenizer& tokenizer, std::vector<TokenId> prompt,
                     std::span<const TokenId> tokens, bool skip_special) {
  const std::string before = tokenizer.Decode(prompt, skip_special).value();
  prompt.insert(prompt.end(), tokens.begin(), tokens.end());
  const std::string whole = tokenizer.Decode(prompt, skip_special).value();
  size_t common = 0;
  while (common < whole.size() && common < before.size() && whole[common] == before[common]) {
    ++common;
  }
  while (!IsValidUtf8(whole.substr(0, common))) --common;
  return whole.substr(common);
}

void CheckStops(const std::vector<std::string>& pieces, const std::string& whole,
                FuzzInput& input) {
  if (whole.empty()) return;
  std::vector<std::string> stops;
  for (int i = 0; i < 3; ++i) {
    const size_t begin = input.Byte() % whole.size();
    std::string stop = whole.substr(begin, 1 + input.Byte() % 6);
    if (IsValidUtf8(stop)) stops.push_back(std::move(stop));
  }
  if (stops.empty()) return;
  StopMatcher matcher(stops, false);
  StoppedText streamed;
  for (const std::string& piece : pieces) {
    const StopMatcher::Piece released = matcher.Append(piece);
    Promise(IsValidUtf8(released.text), "whole characters pass the stop strings");
    streamed.text += released.text;
    streamed.stop = released.stop;
    if (streamed.stop) break;
  }
  if (!streamed.stop) streamed.text += matcher.Finish();
  Promise(streamed == StopReference(stops, false, whole), "a stream stops as its whole text does",
          whole);
}

void Check(FuzzInput input) {
  const uint8_t flags = input.Byte();
  const Tokenizer& tokenizer = FixtureTokenizer(flags & 1 ? "byte_level" : "byte_fallback");
  const bool skip_special = flags & 2;
  FuzzInput stops(reinterpret_cast<const uint8_t*>("\x03\x01\x09\x02\x21\x04"), 6);
  const std::vector<TokenId> prompt = Tokens(input, tokenizer, flags >> 3);
  const std::vector<TokenId> tokens = Tokens(input, tokenizer, 96);

  Detokenizer detokenizer(&tokenizer, prompt, skip_special);
  std::vector<std::string> pieces;
  std::string streamed;
  for (size_t i = 0; i < tokens.size(); ++i) {
    pieces.push_back(detokenizer.Append(tokens[i]).value());
    streamed += pieces.back();
    Promise(IsValidUtf8(pieces.back()), "pieces are whole characters", pieces.back());
    const std::string now =
        Expected(tokenizer, prompt, std::span(tokens).first(i + 1), skip_special);
    Promise(now.starts_with(streamed), "what was sent stays true", streamed + "\n" + now);
    const std::string_view held = std::string_view(now).substr(streamed.size());
    Promise(held.empty() || held == kReplacement, "at most one character is held back", now);
  }
  pieces.push_back(detokenizer.Finish().value());
  streamed += pieces.back();
  const std::string whole = Expected(tokenizer, prompt, tokens, skip_special);
  Promise(streamed == whole, "the stream is the text of the whole run", streamed + "\n" + whole);
  CheckStops(pieces, whole, stops);
}

}  // namespace
}  // namespace hocket::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hocket::fuzz::Check({data, size});
  return 0;
}
