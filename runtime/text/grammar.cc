#include "runtime/text/grammar.h"

#include <utility>

#include "runtime/text/ffi/text_ffi.h"
#include "runtime/text/ffi_result.h"

namespace hocket {
namespace {

int32_t KindCode(GrammarKind kind) {
  switch (kind) {
    case GrammarKind::kJsonSchema:
      return HOCKET_CONSTRAINT_JSON_SCHEMA;
    case GrammarKind::kRegex:
      return HOCKET_CONSTRAINT_REGEX;
    case GrammarKind::kChoices:
      return HOCKET_CONSTRAINT_CHOICES;
    case GrammarKind::kLark:
      return HOCKET_CONSTRAINT_LARK;
  }
  return -1;
}

// At a token the grammar itself is no news any more: what fails is this text's own affair.
absl::Status AtToken(const absl::Status& status) {
  if (!absl::IsInvalidArgument(status)) return status;
  return absl::FailedPreconditionError(status.message());
}

absl::StatusOr<hocket_constraint*> Copy(const hocket_constraint* constraint) {
  hocket_constraint* copy = nullptr;
  ffi::Error error;
  const int32_t code = hocket_constraint_clone(constraint, &copy, error.out());
  if (absl::Status status = error.ToStatus(code, "constraint"); !status.ok()) return status;
  return copy;
}

}  // namespace

GrammarMatcher::~GrammarMatcher() { hocket_constraint_free(constraint_); }

absl::StatusOr<std::unique_ptr<GrammarMatcher>> GrammarMatcher::Fork() const {
  const absl::StatusOr<hocket_constraint*> copy = Copy(constraint_);
  if (!copy.ok()) return copy.status();
  return std::unique_ptr<GrammarMatcher>(new GrammarMatcher(*copy));
}

absl::Status GrammarMatcher::Mask(std::span<uint32_t> mask) {
  ffi::Error error;
  const int32_t code = hocket_constraint_mask(constraint_, mask.data(), mask.size(), error.out());
  return AtToken(error.ToStatus(code, "constraint"));
}

absl::StatusOr<bool> GrammarMatcher::Accept(TokenId token) {
  bool complete = false;
  ffi::Error error;
  const int32_t code = hocket_constraint_accept(constraint_, token, &complete, error.out());
  absl::Status status = AtToken(error.ToStatus(code, "constraint"));
  if (!status.ok()) return status;
  return complete;
}

Grammar::~Grammar() { hocket_constraint_free(constraint_); }

absl::StatusOr<std::unique_ptr<GrammarMatcher>> Grammar::NewMatcher() const {
  const absl::StatusOr<hocket_constraint*> copy = Copy(constraint_);
  if (!copy.ok()) return copy.status();
  return std::unique_ptr<GrammarMatcher>(new GrammarMatcher(*copy));
}

GrammarVocabulary::~GrammarVocabulary() { hocket_grammar_vocabulary_free(vocabulary_); }

absl::StatusOr<std::unique_ptr<GrammarVocabulary>> GrammarVocabulary::Make(
    const Tokenizer& tokenizer, std::span<const TokenId> end_tokens, int32_t vocabulary_size) {
  hocket_grammar_vocabulary* vocabulary = nullptr;
  ffi::Error error;
  const int32_t code =
      hocket_grammar_vocabulary_new(tokenizer.handle(), end_tokens.data(), end_tokens.size(),
                                    vocabulary_size, &vocabulary, error.out());
  if (absl::Status status = error.ToStatus(code); !status.ok()) return status;
  return std::unique_ptr<GrammarVocabulary>(new GrammarVocabulary(vocabulary));
}

absl::StatusOr<std::shared_ptr<const Grammar>> GrammarVocabulary::Compile(
    GrammarKind kind, std::string_view text) const {
  hocket_constraint* constraint = nullptr;
  ffi::Error error;
  const int32_t code =
      hocket_constraint_new(vocabulary_, KindCode(kind), ffi::View(text), &constraint, error.out());
  if (absl::Status status = error.ToStatus(code); !status.ok()) return status;
  return std::unique_ptr<const Grammar>(new Grammar(constraint));
}

}  // namespace hocket
