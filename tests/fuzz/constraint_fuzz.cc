// Constraints as strangers send them: each is refused or compiled, and a compiled one leads a text
// token by token, the same on every copy. The run's time and memory limits hold for each input, so
// what takes long or much breaks a promise too.
#include <algorithm>
#include <array>
#include <memory>

#include "fuzz_input.h"
#include "promise.h"
#include "runtime/text/grammar.h"
#include "tests/runtime/text/fixtures.h"

namespace hocket::fuzz {
namespace {

using testing::FixtureTokenizer;

constexpr TokenId kEnd = 1;
constexpr int kMostSteps = 24;

const GrammarVocabulary& Vocabulary(const std::string& fixture) {
  static const auto* const made = [] {
    auto* both = new std::array<std::unique_ptr<GrammarVocabulary>, 2>();
    const std::array<TokenId, 1> ends = {kEnd};
    for (size_t i = 0; i < both->size(); ++i) {
      const Tokenizer& tokenizer = FixtureTokenizer(i == 0 ? "byte_level" : "byte_fallback");
      (*both)[i] = GrammarVocabulary::Make(tokenizer, ends, tokenizer.vocabulary_size()).value();
    }
    return both;
  }();
  return *(*made)[fixture == "byte_level" ? 0 : 1];
}

// A token at its place of the text can only fail for the grammar's being too complex there.
template <typename T>
bool WentOn(const T& status) {
  Promise(status.ok() || status.code() == absl::StatusCode::kFailedPrecondition,
          "a text fails for its own constraint", std::string(status.message()));
  return status.ok();
}

void Follow(const Grammar& grammar, int32_t vocabulary_size, FuzzInput& choices) {
  std::unique_ptr<GrammarMatcher> matcher = grammar.NewMatcher().value();
  std::vector<uint32_t> mask((vocabulary_size + 31) / 32);
  std::vector<uint32_t> of_fork(mask.size());
  for (int step = 0; step < kMostSteps; ++step) {
    std::unique_ptr<GrammarMatcher> fork = matcher->Fork().value();
    if (!WentOn(matcher->Mask(mask))) return;
    if (!WentOn(fork->Mask(of_fork))) return;
    Promise(mask == of_fork, "a copy says the same");
    std::vector<TokenId> allowed;
    for (TokenId token = 0; token < vocabulary_size; ++token) {
      if ((mask[token / 32] >> (token % 32) & 1) != 0) allowed.push_back(token);
    }
    Promise(!allowed.empty(), "a text can always go on or end");
    const TokenId token = allowed[choices.Byte() % allowed.size()];
    if (token == kEnd) return;
    const absl::StatusOr<bool> complete = matcher->Accept(token);
    if (!WentOn(complete.status()) || *complete) return;
  }
}

void Check(FuzzInput input) {
  const uint8_t flags = input.Byte();
  const std::string fixture = flags & 4 ? "byte_fallback" : "byte_level";
  const std::array<GrammarKind, 4> kinds = {GrammarKind::kJsonSchema, GrammarKind::kRegex,
                                            GrammarKind::kChoices, GrammarKind::kLark};
  const std::string path = input.Take(8);
  const std::string text = input.Rest();
  const auto grammar = Vocabulary(fixture).Compile(kinds[flags % 4], text);
  if (!grammar.ok()) {
    const std::string message(grammar.status().message());
    Promise(absl::IsInvalidArgument(grammar.status()), "a wrong constraint is the client's",
            message);
    Promise(!message.empty(), "a refusal says why");
    return;
  }
  FuzzInput choices(reinterpret_cast<const uint8_t*>(path.data()), path.size());
  Follow(**grammar, FixtureTokenizer(fixture).vocabulary_size(), choices);
}

}  // namespace
}  // namespace hocket::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hocket::fuzz::Check({data, size});
  return 0;
}
