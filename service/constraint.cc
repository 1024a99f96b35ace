#include "service/constraint.h"

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "service/field_checks.h"

namespace hocket {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 20;
constexpr int64_t kMaxGrammarBytes = int64_t{1} << 16;  // Of what takes longest to compile.
constexpr int32_t kMaxChoices = 4096;
constexpr absl::string_view kAnyJson = R"({"type":["object","array"]})";

// A JSON string: only what JSON does not allow is escaped.
std::string Quoted(absl::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += absl::StrCat("\\", absl::string_view(&c, 1));
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppend(&out, "\\u00", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

absl::StatusOr<std::string> ChoicesText(const v1::ChoiceList& list) {
  absl::Status status =
      CheckTexts("constraint.choice.choices", list.choices(), kMaxChoices, kMaxBytes);
  if (status.ok() && list.choices().empty()) {
    status = FieldError("constraint.choice.choices", "is empty");
  }
  if (!status.ok()) return status;
  std::string text = "[";
  for (const std::string& choice : list.choices()) {
    absl::StrAppend(&text, text.size() > 1 ? "," : "", Quoted(choice));
  }
  return text + "]";
}

absl::StatusOr<std::shared_ptr<const Grammar>> Compile(absl::string_view path, GrammarKind kind,
                                                       absl::string_view grammar,
                                                       const ModelText& text) {
  if (grammar.empty()) return FieldError(path, "is empty");
  const bool is_grammar = kind == GrammarKind::kRegex || kind == GrammarKind::kLark;
  const int64_t limit = is_grammar ? kMaxGrammarBytes : kMaxBytes;
  if (static_cast<int64_t>(grammar.size()) > limit) {
    return FieldError(path,
                      absl::StrCat(grammar.size(), " bytes are more than the limit of ", limit));
  }
  absl::StatusOr<std::shared_ptr<const Grammar>> compiled =
      text.CompileGrammar(kind, std::string_view(grammar.data(), grammar.size()));
  if (absl::IsInvalidArgument(compiled.status())) {
    return FieldError(path, compiled.status().message());
  }
  return compiled;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Grammar>> ReadConstraint(const v1::Constraint& constraint,
                                                              const ModelText& text) {
  switch (constraint.kind_case()) {
    case v1::Constraint::kJsonSchema:
      return Compile("constraint.json_schema", GrammarKind::kJsonSchema, constraint.json_schema(),
                     text);
    case v1::Constraint::kAnyJson:
      return Compile("constraint.any_json", GrammarKind::kJsonSchema, kAnyJson, text);
    case v1::Constraint::kRegex:
      return Compile("constraint.regex", GrammarKind::kRegex, constraint.regex(), text);
    case v1::Constraint::kChoice: {
      const absl::StatusOr<std::string> choices = ChoicesText(constraint.choice());
      if (!choices.ok()) return choices.status();
      return Compile("constraint.choice", GrammarKind::kChoices, *choices, text);
    }
    case v1::Constraint::kLark:
      return Compile("constraint.lark", GrammarKind::kLark, constraint.lark(), text);
    case v1::Constraint::KIND_NOT_SET:
      break;
  }
  return nullptr;
}

}  // namespace hocket
