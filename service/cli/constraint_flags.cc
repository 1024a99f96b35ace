#include "service/cli/constraint_flags.h"

#include "CLI/CLI.hpp"
#include "service/cli/prompt_flags.h"
#include "service/constraint.h"

namespace hocket {
namespace {

// The text itself, or with "@PATH" what the file holds.
absl::StatusOr<std::string> TextOrFile(const std::string& flag, const std::string& given) {
  if (!given.starts_with("@")) return given;
  return ReadInput(flag, given.substr(1));
}

}  // namespace

void ConstraintFlags::Add(CLI::App& app) {
  app.add_option("--json-schema", json_schema_,
                 "The answer is JSON of this schema; @PATH reads it from a file")
      ->type_name("JSON");
  app.add_flag("--json", any_json_, "The answer is a JSON object or array");
  app.add_option("--regex", regex_, "The whole answer matches this regular expression")
      ->type_name("REGEX");
  app.add_option("--choice", choices_, "The answer is one of these; may be given several times")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false)
      ->type_name("TEXT");
  app.add_option("--lark", lark_,
                 "The answer follows this Lark grammar; @PATH reads it from a file")
      ->type_name("GRAMMAR");
}

absl::Status ConstraintFlags::Check() const {
  const int given = json_schema_.has_value() + any_json_ + regex_.has_value() + !choices_.empty() +
                    lark_.has_value();
  if (given <= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "--json-schema, --json, --regex, --choice and --lark exclude each other");
}

absl::StatusOr<std::shared_ptr<const Grammar>> ConstraintFlags::Compile(
    const ModelText& text) const {
  v1::Constraint constraint;
  if (any_json_) constraint.mutable_any_json();
  if (regex_) constraint.set_regex(*regex_);
  for (const std::string& choice : choices_) constraint.mutable_choice()->add_choices(choice);
  if (json_schema_) {
    absl::StatusOr<std::string> schema = TextOrFile("--json-schema", *json_schema_);
    if (!schema.ok()) return schema.status();
    constraint.set_json_schema(*std::move(schema));
  }
  if (lark_) {
    absl::StatusOr<std::string> grammar = TextOrFile("--lark", *lark_);
    if (!grammar.ok()) return grammar.status();
    constraint.set_lark(*std::move(grammar));
  }
  return ReadConstraint(constraint, text);
}

}  // namespace hocket
