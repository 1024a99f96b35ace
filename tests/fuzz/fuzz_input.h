// Takes the bytes of an input apart into the values that a target needs, from the front. Where the
// bytes run out, values are zero and texts empty, so every input means something. Pure; one thread.
#ifndef HOCKET_TESTS_FUZZ_FUZZ_INPUT_H_
#define HOCKET_TESTS_FUZZ_FUZZ_INPUT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hocket::fuzz {

class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : left_(reinterpret_cast<const char*>(data), size) {}

  bool empty() const { return left_.empty(); }
  uint8_t Byte() {
    if (left_.empty()) return 0;
    const auto byte = static_cast<uint8_t>(left_.front());
    left_.remove_prefix(1);
    return byte;
  }
  bool Flag() { return Byte() % 2 == 1; }
  // Of two bytes, in [0, limit).
  uint32_t Below(uint32_t limit) {
    const uint32_t low = Byte();
    return (low | uint32_t{Byte()} << 8) % limit;
  }
  // A byte says how long it is.
  std::string Text(size_t max_bytes) { return Take(std::min<size_t>(Byte(), max_bytes)); }
  std::string Take(size_t bytes) {
    std::string text(left_.substr(0, bytes));
    left_.remove_prefix(text.size());
    return text;
  }
  std::string Rest() { return Take(left_.size()); }

 private:
  std::string_view left_;
};

// `text` in pieces whose lengths `seed` decides, 1 to 8 bytes each. None is cut within a character
// of valid UTF-8 when `whole_characters`.
inline std::vector<std::string> CutUp(std::string_view text, uint32_t seed, bool whole_characters) {
  std::vector<std::string> pieces;
  while (!text.empty()) {
    seed = seed * 1664525 + 1013904223;
    size_t bytes = std::min<size_t>(text.size(), 1 + (seed >> 28) % 8);
    while (whole_characters && bytes < text.size() &&
           (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) {
      ++bytes;
    }
    pieces.emplace_back(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
  return pieces;
}

}  // namespace hocket::fuzz

#endif  // HOCKET_TESTS_FUZZ_FUZZ_INPUT_H_
