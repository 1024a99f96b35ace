// A sentence ends at the same place however the text is cut up, and only where the header says that
// one can.
#include <array>
#include <optional>

#include "fuzz_input.h"
#include "promise.h"
#include "runtime/text/sentence_end.h"

namespace hocket::fuzz {
namespace {

constexpr std::array<std::string_view, 48> kAlphabet = {
    "a",  "b",  "e",  "g", "i", "z", "A",      "D",    "J",  "U",  "S",   "r",
    ".",  ".",  ".",  "!", "?", " ", " ",      "\n",   "\t", "1",  "3",   "0",
    "\"", "'",  ")",  "]", "*", "_", "(",      ",",    "…",  "。", "！",  "？",
    "｡",  "」", "）", "’", "”", "é", "\u00a0", "日本", "😀",  "Dr", "e.g", "\u2009"};

std::string TextOf(FuzzInput& input) {
  std::string text;
  for (const char byte : input.Take(400)) {
    text += kAlphabet[static_cast<unsigned char>(byte) % kAlphabet.size()];
  }
  return text;
}

// Bytes before the end of the first sentence, with the text in these pieces.
std::optional<size_t> EndIn(const std::vector<std::string>& pieces) {
  SentenceEnd end;
  size_t before = 0;
  for (const std::string& piece : pieces) {
    const size_t at = end.Append(piece);
    if (at != std::string_view::npos) {
      Promise(at <= piece.size(), "the end lies in the piece");
      return before + at;
    }
    before += piece.size();
  }
  return std::nullopt;
}

bool RemoveSuffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

bool RemoveClosing(std::string_view& text) {
  for (const std::string_view closing :
       {"\"", "'", ")", "]", "}", "*", "_", "’", "”", "»", "」", "』", "）", "】"}) {
    if (RemoveSuffix(text, closing)) return true;
  }
  return false;
}

void CheckPlace(std::string_view text, size_t end) {
  std::string_view sentence = text.substr(0, end);
  const std::string_view rest = text.substr(end);
  Promise(!rest.empty(), "what comes next shows that a sentence has ended");
  std::string_view marks = sentence;
  while (RemoveClosing(marks) || RemoveSuffix(marks, ".") || RemoveSuffix(marks, "!") ||
         RemoveSuffix(marks, "?")) {
    continue;
  }
  for (const std::string_view wide : {"。", "！", "？", "｡"}) {
    if (marks.ends_with(wide)) return;  // Whatever marks come with it.
  }
  while (RemoveClosing(sentence)) continue;
  const bool dot = RemoveSuffix(sentence, ".");
  Promise(dot || RemoveSuffix(sentence, "!") || RemoveSuffix(sentence, "?"),
          "a sentence ends with a mark", std::string(text));
  Promise(!dot || !sentence.ends_with("."), "dots next to each other end nothing",
          std::string(text));
  bool space = false;
  for (const std::string_view one : {" ", "\n", "\t", "\u00a0", "\u2009"}) {
    space |= rest.starts_with(one);
  }
  Promise(space, "a mark ends a sentence before a space", std::string(text));
}

void Check(FuzzInput input) {
  const uint32_t seed = input.Byte();
  const std::string text = TextOf(input);
  const std::optional<size_t> whole = EndIn({text});
  Promise(EndIn(CutUp(text, seed, true)) == whole, "pieces do not matter", text);
  std::vector<std::string> characters;
  for (const char byte : text) {
    if ((static_cast<unsigned char>(byte) & 0xC0) != 0x80) characters.emplace_back();
    characters.back() += byte;
  }
  Promise(EndIn(characters) == whole, "single characters do not matter", text);
  if (whole) CheckPlace(text, *whole);
}

}  // namespace
}  // namespace hocket::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hocket::fuzz::Check({data, size});
  return 0;
}
