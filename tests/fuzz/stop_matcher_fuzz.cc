// A text that comes in pieces is stopped where the whole text would be, and little is held back.
#include <algorithm>

#include "fuzz_input.h"
#include "promise.h"
#include "runtime/text/stop_matcher.h"
#include "stop_reference.h"

namespace hocket::fuzz {
namespace {

// Few different characters, of one to four bytes, so that stop strings do occur.
std::string Fold(const std::string& bytes) {
  constexpr std::string_view kAlphabet[] = {"a", "b", "c", "\n", "é", "€", "😀", "ab"};
  std::string text;
  for (const char byte : bytes) text += kAlphabet[static_cast<unsigned char>(byte) % 8];
  return text;
}

bool StartsCharacter(const std::string& text) {
  return text.empty() || (static_cast<unsigned char>(text.front()) & 0xC0) != 0x80;
}

void Check(FuzzInput input) {
  const uint8_t flags = input.Byte();
  const bool folded = flags & 1;
  const bool include_stop = flags & 2;
  const auto characters = [&](std::string bytes) { return folded ? Fold(bytes) : bytes; };
  std::vector<std::string> stops;
  size_t longest = 1;
  for (int i = flags >> 4; i > 0; --i) {
    std::string stop = characters(input.Text(24));
    if (stop.empty()) continue;
    longest = std::max(longest, stop.size());
    stops.push_back(std::move(stop));
  }
  const uint32_t seed = input.Byte();
  const std::string text = characters(input.Take(1024));

  StopMatcher matcher(stops, include_stop);
  StoppedText streamed;
  size_t fed = 0;
  for (const std::string& piece : CutUp(text, seed, folded)) {
    const StopMatcher::Piece released = matcher.Append(piece);
    fed += piece.size();
    Promise(!folded || StartsCharacter(released.text), "whole characters are released");
    streamed.text += released.text;
    streamed.stop = released.stop;
    if (streamed.stop) break;
    Promise(fed - streamed.text.size() < longest, "less than the longest stop string is held back");
  }
  if (!streamed.stop) streamed.text += matcher.Finish();
  const StoppedText whole = StopReference(stops, include_stop, text);
  Promise(streamed == whole, "pieces are stopped as the whole text is",
          "streamed \"" + streamed.text + "\"\nwhole \"" + whole.text + "\"");
}

}  // namespace
}  // namespace hocket::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hocket::fuzz::Check({data, size});
  return 0;
}
