// The tokenizers and templates in fixtures/ and scratch model folders, for this folder's tests.
#ifndef HOCKET_TESTS_RUNTIME_TEXT_FIXTURES_H_
#define HOCKET_TESTS_RUNTIME_TEXT_FIXTURES_H_

#include <memory>
#include <string>
#include <string_view>

#include "nlohmann/json.hpp"
#include "runtime/text/tokenizer.h"

namespace hocket::testing {

std::string FixtureDir(const std::string& name);
nlohmann::json ReadExpected(const std::string& name);  // fixtures/NAME/expected.json

// "byte_level" (as Llama 3's) or "byte_fallback" (as Llama 2's); loaded once.
const Tokenizer& FixtureTokenizer(const std::string& name);

bool IsValidUtf8(std::string_view text);

// A folder of its own, removed at the end.
class ScratchDir {
 public:
  ScratchDir();
  ~ScratchDir();
  void Write(const std::string& name, std::string_view content) const;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace hocket::testing

#endif  // HOCKET_TESTS_RUNTIME_TEXT_FIXTURES_H_
