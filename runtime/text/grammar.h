// What a generated text must match: a JSON schema, a regular expression, a list of choices or a
// Lark grammar (the `llguidance` crate behind a C ABI). A GrammarVocabulary is made once for a
// model, a Grammar once for a request, a GrammarMatcher once for each of its sequences.
#ifndef HOCKET_RUNTIME_TEXT_GRAMMAR_H_
#define HOCKET_RUNTIME_TEXT_GRAMMAR_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"
#include "runtime/text/tokenizer.h"
#include "scheduler/step.h"

struct hocket_constraint;
struct hocket_grammar_vocabulary;

namespace hocket {

enum class GrammarKind {
  kJsonSchema,
  kRegex,
  kChoices,
  kLark
};  // kChoices: a JSON array of texts.

// Where one text is within its grammar. Owned by one sequence's state, one thread at a time.
class GrammarMatcher {
 public:
  ~GrammarMatcher();
  GrammarMatcher(const GrammarMatcher&) = delete;
  GrammarMatcher& operator=(const GrammarMatcher&) = delete;

  // Sets the bits of the tokens that may come next: bit i % 32 of mask[i / 32].
  // FAILED_PRECONDITION where the grammar turns out too complex here.
  absl::Status Mask(std::span<uint32_t> mask);

  // Another text, at the same place of its grammar.
  absl::StatusOr<std::unique_ptr<GrammarMatcher>> Fork() const;

  // Goes on by a token that the mask allowed; whether the text is complete: nothing may follow.
  absl::StatusOr<bool> Accept(TokenId token);

 private:
  friend class Grammar;
  explicit GrammarMatcher(hocket_constraint* constraint) : constraint_(constraint) {}
  hocket_constraint* constraint_;
};

// A compiled grammar, at the beginning of a text. Immutable; any thread.
class Grammar {
 public:
  ~Grammar();
  Grammar(const Grammar&) = delete;
  Grammar& operator=(const Grammar&) = delete;

  absl::StatusOr<std::unique_ptr<GrammarMatcher>> NewMatcher() const;

 private:
  friend class GrammarVocabulary;
  explicit Grammar(hocket_constraint* constraint) : constraint_(constraint) {}
  hocket_constraint* constraint_;
};

// Immutable; any thread.
class GrammarVocabulary {
 public:
  // INVALID_ARGUMENT where the tokenizer's tokens do not stand for bytes, or there is no end token.
  static absl::StatusOr<std::unique_ptr<GrammarVocabulary>> Make(
      const Tokenizer& tokenizer, std::span<const TokenId> end_tokens, int32_t vocabulary_size);
  ~GrammarVocabulary();
  GrammarVocabulary(const GrammarVocabulary&) = delete;
  GrammarVocabulary& operator=(const GrammarVocabulary&) = delete;

  // INVALID_ARGUMENT in the library's words: what is wrong or too complex, and where.
  absl::StatusOr<std::shared_ptr<const Grammar>> Compile(GrammarKind kind,
                                                         std::string_view text) const;

 private:
  explicit GrammarVocabulary(hocket_grammar_vocabulary* vocabulary) : vocabulary_(vocabulary) {}
  hocket_grammar_vocabulary* vocabulary_;
};

}  // namespace hocket

#endif  // HOCKET_RUNTIME_TEXT_GRAMMAR_H_
