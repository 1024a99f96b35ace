#include "service/cli/choice_flags.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "service/cli/flag_checks.h"
#include "service/sampling_settings.h"

namespace hocket {
namespace {

constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();

absl::Status FlagError(absl::string_view flag, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(flag, ": ", what));
}

BeamSettings::EarlyStopping EarlyStoppingOf(absl::string_view name) {
  if (name == "never") return BeamSettings::EarlyStopping::kNever;
  if (name == "always") return BeamSettings::EarlyStopping::kAlways;
  return BeamSettings::EarlyStopping::kHeuristic;
}

}  // namespace

void ChoiceFlags::Add(CLI::App& app) {
  app.add_option("--n", n_, "Answers to the prompt")
      ->check(WholeNumber(1, kMaxChoices))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--best-of", best_of_,
                 "Generate so many, and print the --n of the highest mean log-probability")
      ->check(WholeNumber(1, kMaxChoices))
      ->type_name("N");
  app.add_option("--beam-width", beam_width_, "Search the likeliest texts with so many beams")
      ->check(WholeNumber(2, kMaxBeamWidth))
      ->type_name("N");
  app.add_option("--length-penalty", length_penalty_,
                 "A beam's score is its log-probability over its length to this power (default: 1)")
      ->check(Number(-10, 10))
      ->type_name("X");
  app.add_option("--early-stopping", early_stopping_,
                 "When a beam search ends: never before it is sure, heuristic, or always at once "
                 "(default: heuristic)")
      ->check(CLI::IsMember({"never", "heuristic", "always"}));
  app.add_option("--context-policy", context_policy_,
                 "When the context is full: refuse beforehand, stop, or roll, which forgets the "
                 "older half (default: refuse)")
      ->check(CLI::IsMember({"refuse", "stop", "roll"}));
  app.add_flag("--stop-at-context", stop_at_context_, "The same as --context-policy stop");
  app.add_option("--kept-tokens", kept_tokens_, "First tokens that a rolling context never forgets")
      ->check(WholeNumber(0, kMaxInt32))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--speculation", speculation_,
                 "off, or prompt-lookup: guess tokens from the text so far and check several at "
                 "once; the answer is the same")
      ->check(CLI::IsMember({"off", "prompt-lookup"}))
      ->capture_default_str();
  app.add_option("--max-draft-tokens", drafts_.max_draft_tokens, "Tokens guessed in a step at most")
      ->check(WholeNumber(1, kMaxDraftTokens))
      ->capture_default_str()
      ->type_name("N");
}

absl::Status ChoiceFlags::Check() const {
  if (best_of_ && *best_of_ < n_) {
    return FlagError("--best-of", absl::StrCat(*best_of_, " is below --n ", n_));
  }
  if (stop_at_context_ && context_policy_ && *context_policy_ != "stop") {
    return FlagError("--stop-at-context",
                     absl::StrCat("contradicts --context-policy ", *context_policy_));
  }
  if (kept_tokens_ > 0 && context_policy_ != "roll") {
    return FlagError("--kept-tokens", "needs --context-policy roll");
  }
  return CheckBeam();
}

absl::Status ChoiceFlags::CheckBeam() const {
  if (!beam_width_) {
    if (length_penalty_) return FlagError("--length-penalty", "needs --beam-width");
    if (early_stopping_) return FlagError("--early-stopping", "needs --beam-width");
    return absl::OkStatus();
  }
  if (n_ > *beam_width_) {
    return FlagError("--n", absl::StrCat(n_, " is above --beam-width ", *beam_width_));
  }
  if (best_of_ && *best_of_ != n_) {
    return FlagError("--best-of", "--beam-width ranks by itself; leave it out");
  }
  if (speculation_ != "off") return FlagError("--speculation", "only off with --beam-width");
  if (context_policy_ == "roll") {
    return FlagError("--context-policy", "only refuse or stop with --beam-width");
  }
  return absl::OkStatus();
}

ModelInfo ChoiceFlags::Recommending(ModelInfo info) const {
  if (beam()) info.default_sampling = WithoutDraw(std::move(info.default_sampling));
  return info;
}

ChoiceSettings ChoiceFlags::Choices() const {
  ChoiceSettings choices;
  choices.n = n_;
  choices.best_of = best_of_.value_or(n_);
  if (!beam_width_) return choices;
  BeamSettings& beam = choices.beam.emplace();
  beam.width = *beam_width_;
  beam.returned = n_;
  if (length_penalty_) beam.length_penalty = *length_penalty_;
  if (early_stopping_) beam.early_stopping = EarlyStoppingOf(*early_stopping_);
  return choices;
}

absl::StatusOr<ContextSettings> ChoiceFlags::Context(const ModelInfo& info) const {
  ContextSettings context;
  if (stop_at_context_ || context_policy_ == "stop") context.policy = ContextPolicy::kStop;
  if (context_policy_ == "roll") context.policy = ContextPolicy::kRoll;
  context.kept_tokens = kept_tokens_;
  if (kept_tokens_ > info.max_context_tokens / 2) {
    return FlagError("--kept-tokens",
                     absl::StrCat(kept_tokens_, " is out of range; allowed is from 0 to ",
                                  info.max_context_tokens / 2, ", half of the context"));
  }
  return context;
}

absl::Status ChoiceFlags::CheckDraws(const GenerationSpec& spec) const {
  const absl::string_view in_use = DrawSettingInUse(spec.sampling);
  if (beam() && !in_use.empty()) {
    const std::string name = in_use == "xtc" ? "xtc-probability" : std::string(in_use);
    return FlagError(absl::StrCat("--", absl::StrReplaceAll(name, {{"_", "-"}})),
                     "--beam-width draws nothing; leave it out");
  }
  if (!beam() && several() && spec.sampling.temperature == 0) {
    return FlagError(n_ > 1 ? "--n" : "--best-of",
                     "at temperature 0 all answers are equal; --beam-width gives several");
  }
  return absl::OkStatus();
}

absl::StatusOr<RequestShape> ChoiceFlags::Apply(const ModelInfo& info, int64_t prompt_tokens,
                                                GenerationSpec& spec,
                                                int32_t& max_new_tokens) const {
  if (absl::Status draws = CheckDraws(spec); !draws.ok()) return draws;
  absl::StatusOr<ContextSettings> context = Context(info);
  if (!context.ok()) return context.status();
  max_new_tokens = spec.stopping.max_new_tokens;
  const int64_t left = info.max_context_tokens - prompt_tokens;
  if (context->policy == ContextPolicy::kStop && left > 0) {
    max_new_tokens = static_cast<int32_t>(std::min<int64_t>(max_new_tokens, left));
  }
  if (context->rolls() && max_new_tokens > kMaxRolledTokens) {
    return FlagError("--max-new-tokens",
                     absl::StrCat(max_new_tokens, " is out of range; allowed is from 1 to ",
                                  kMaxRolledTokens, " with --context-policy roll"));
  }
  SpeculationSettings drafts = drafts_;
  drafts.prompt_lookup = speculation_ == "prompt-lookup";
  const ChoiceSettings choices = Choices();
  const RequestShape shape = ShapeOf(choices, drafts, context->roll_kept_tokens(), max_new_tokens);
  shape.Apply(choices, spec);
  return shape;
}

}  // namespace hocket
