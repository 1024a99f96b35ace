// A tokenizer.json of unknown origin: refused with words, or a tokenizer whose every method keeps
// to text and to its own vocabulary.
#include <algorithm>
#include <array>

#include "fuzz_input.h"
#include "promise.h"
#include "runtime/text/detokenizer.h"
#include "runtime/text/grammar.h"
#include "runtime/text/tokenizer.h"
#include "tests/runtime/text/fixtures.h"

namespace hocket::fuzz {
namespace {

using testing::IsValidUtf8;

constexpr std::array<std::string_view, 6> kTexts = {
    "", "a", " The voices sing: 3.14!", "日本語 é😀\uFFFD", "<s>[INST] <|im_end|>", "\n\t \u00a0a"};

// A library's panic is caught and told; nothing else may go wrong but the file.
void CheckRefusal(const absl::Status& status) {
  Promise(absl::IsInvalidArgument(status) || absl::IsInternal(status),
          "a tokenizer is refused for what it says", status.ToString());
  Promise(!status.message().empty(), "a refusal says why");
}

void CheckText(const Tokenizer& tokenizer, std::string_view text, bool add_special_tokens) {
  const auto tokens = tokenizer.Encode(text, add_special_tokens);
  if (!tokens.ok()) return CheckRefusal(tokens.status());
  for (const bool skip_special : {false, true}) {
    const auto decoded = tokenizer.Decode(*tokens, skip_special);
    if (!decoded.ok()) {
      CheckRefusal(decoded.status());
      continue;
    }
    Promise(IsValidUtf8(*decoded), "a decoded text is text");
  }
  Detokenizer detokenizer(&tokenizer, {}, true);
  for (const TokenId token : std::span(*tokens).first(std::min<size_t>(tokens->size(), 40))) {
    const auto piece = detokenizer.Append(token);
    Promise(!piece.ok() || IsValidUtf8(*piece), "a streamed text is text");
  }
}

void CheckVocabulary(const Tokenizer& tokenizer) {
  const int32_t size = tokenizer.vocabulary_size();
  Promise(size >= 0, "a vocabulary has a size");
  for (const TokenId token : {-1, 0, 1, 255, 256, size - 1, size}) {
    const auto piece = tokenizer.IdToPiece(token);
    Promise(!piece || (token >= 0 && token < size), "a token is of the vocabulary");
    if (piece) Promise(IsValidUtf8(*piece), "a spelling is text");
    (void)tokenizer.IsSpecial(token);
  }
  const std::array<TokenId, 2> ends = {0, size - 1};
  const auto grammars = GrammarVocabulary::Make(tokenizer, ends, std::clamp(size, 0, 4096));
  if (!grammars.ok()) return CheckRefusal(grammars.status());
  const auto grammar = (*grammars)->Compile(GrammarKind::kRegex, "[a-z ]+");
  if (!grammar.ok()) CheckRefusal(grammar.status());
}

void Check(FuzzInput input) {
  static const auto* const folder = new testing::ScratchDir();
  const uint8_t flags = input.Byte();
  folder->Write("tokenizer.json", input.Rest());
  const auto tokenizer = Tokenizer::Load(folder->path());
  if (!tokenizer.ok()) return CheckRefusal(tokenizer.status());
  CheckText(**tokenizer, kTexts[flags % kTexts.size()], flags & 64);
  CheckText(**tokenizer, kTexts[2], flags & 128);
  CheckVocabulary(**tokenizer);
}

}  // namespace
}  // namespace hocket::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hocket::fuzz::Check({data, size});
  return 0;
}
