#include "tests/runtime/text/fixtures.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <utility>

#include "gtest/gtest.h"

namespace hocket::testing {

std::string FixtureDir(const std::string& name) {
  return std::string(HOCKET_SOURCE_DIR) + "/tests/runtime/text/fixtures/" + name;
}

nlohmann::json ReadExpected(const std::string& name) {
  std::ifstream file(FixtureDir(name) + "/expected.json");
  return nlohmann::json::parse(file);
}

const Tokenizer& FixtureTokenizer(const std::string& name) {
  static auto* const loaded = new std::map<std::string, std::unique_ptr<Tokenizer>>();
  std::unique_ptr<Tokenizer>& tokenizer = (*loaded)[name];
  if (tokenizer == nullptr) tokenizer = Tokenizer::Load(FixtureDir(name)).value();
  return *tokenizer;
}

bool IsValidUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(at);
    const size_t length = lead < 0x80   ? 1
                          : lead < 0xC2 ? 0
                          : lead < 0xE0 ? 2
                          : lead < 0xF0 ? 3
                          : lead < 0xF5 ? 4
                                        : 0;
    if (length == 0 || at + length > text.size()) return false;
    char32_t point = length == 1 ? lead : lead & (0x7F >> length);
    for (size_t i = 1; i < length; ++i) {
      if ((byte(at + i) & 0xC0) != 0x80) return false;
      point = (point << 6) | (byte(at + i) & 0x3F);
    }
    if (length == 3 && (point < 0x800 || (point >= 0xD800 && point < 0xE000))) return false;
    if (length == 4 && (point < 0x10000 || point > 0x10FFFF)) return false;
    at += length;
  }
  return true;
}

ScratchDir::ScratchDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "hocket-text-XXXXXX").string();
  path_ = ::mkdtemp(pattern.data());
}

ScratchDir::~ScratchDir() { std::filesystem::remove_all(path_); }

void ScratchDir::Write(const std::string& name, std::string_view content) const {
  std::ofstream(path_ + "/" + name, std::ios::binary) << content;
}

}  // namespace hocket::testing
