// All who look at UTF-8 agree on what is well-formed and where it first is not, and a terminal's
// lines keep every byte and their width whatever the bytes are.
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "fuzz_input.h"
#include "promise.h"
#include "runtime/generation_spec.h"
#include "service/cli/columns.h"
#include "tests/runtime/text/fixtures.h"

namespace hocket::fuzz {
namespace {

using testing::FixtureTokenizer;
using testing::IsValidUtf8;

// The byte that an error names, or nothing where all is well.
std::optional<int64_t> BadByte(const absl::Status& status) {
  if (status.ok()) return std::nullopt;
  const absl::string_view message = status.message();
  const size_t at = message.rfind("not valid UTF-8 at byte ");
  Promise(at != absl::string_view::npos, "only the encoding is wrong", std::string(message));
  int64_t byte = -1;
  Promise(absl::SimpleAtoi(message.substr(message.rfind(' ') + 1), &byte), "the byte is named");
  return byte;
}

void CheckLines(const std::string& text, int width) {
  std::string flat;
  for (const std::string& line : WrapText(text, width)) {
    Promise(DisplayWidth(line) <= width, "a line is as wide as it may be", text);
    flat += line;
  }
  // Spaces at breaks and newlines are all that may be dropped.
  const auto visible = [](const std::string& from) {
    std::string kept;
    for (const char c : from) {
      if (c != ' ' && c != '\n') kept += c;
    }
    return kept;
  };
  Promise(visible(flat) == visible(text), "no character is lost between lines", text);
}

void Check(FuzzInput input) {
  const int width = 2 + input.Byte() % 20;
  const std::string text = input.Take(1000);
  if (text.empty()) return;
  const std::optional<int64_t> by_library =
      BadByte(FixtureTokenizer("byte_level").Encode(text, false).status());
  Promise(by_library.has_value() == !IsValidUtf8(text), "tests know UTF-8");
  StoppingSettings stopping;
  stopping.stop_strings = {text};
  Promise(BadByte(stopping.Validate()) == by_library, "stop strings are checked as texts are");
  CheckLines(text, width);
}

}  // namespace
}  // namespace hocket::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hocket::fuzz::Check({data, size});
  return 0;
}
