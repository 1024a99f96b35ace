#include "service/control_characters.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace hocket {
namespace {

struct Character {
  uint32_t code = 0;
  size_t bytes = 1;
};

// The character at the beginning, where it is of two or three bytes as all that matter here are;
// else its first byte.
Character FirstOf(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const auto continues = [&](size_t i) { return i < text.size() && byte(i) >> 6 == 0b10; };
  if (byte(0) >> 5 == 0b110 && continues(1)) {
    return {static_cast<uint32_t>((byte(0) & 0x1f) << 6 | (byte(1) & 0x3f)), 2};
  }
  if (byte(0) >> 4 == 0b1110 && continues(1) && continues(2)) {
    return {static_cast<uint32_t>((byte(0) & 0xf) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f)),
            3};
  }
  return {byte(0), 1};
}

bool IsControl(const Character& character) {
  const uint32_t code = character.code;
  if (character.bytes == 1) return code < 0x20 || code == 0x7f;
  return (code >= 0x80 && code < 0xa0) ||       // C1
         (code >= 0x2028 && code <= 0x202e) ||  // Separators, embeddings and overrides.
         (code >= 0x2066 && code <= 0x2069);    // Isolates.
}

}  // namespace

size_t FindControl(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const Character character = FirstOf(text.substr(i));
    if (IsControl(character)) return i;
    i += character.bytes;
  }
  return absl::string_view::npos;
}

std::string WithControlsEscaped(absl::string_view escaped) {
  std::string out;
  out.reserve(escaped.size());
  for (size_t i = 0; i < escaped.size();) {
    const Character character = FirstOf(escaped.substr(i));
    if (character.bytes > 1 && IsControl(character)) {
      absl::StrAppend(&out, "\\u", absl::Hex(character.code, absl::kZeroPad4));
    } else {
      out.append(escaped.data() + i, character.bytes);
    }
    i += character.bytes;
  }
  return out;
}

}  // namespace hocket
