#include "service/choice_settings.h"

#include "absl/strings/str_cat.h"
#include "service/field_checks.h"

namespace hocket {
namespace {

using EarlyStopping = BeamSettings::EarlyStopping;

absl::StatusOr<EarlyStopping> ReadEarlyStopping(v1::BeamSearchSettings::EarlyStopping value) {
  switch (value) {
    case v1::BeamSearchSettings::EARLY_STOPPING_NEVER:
      return EarlyStopping::kNever;
    case v1::BeamSearchSettings::EARLY_STOPPING_UNSPECIFIED:
    case v1::BeamSearchSettings::EARLY_STOPPING_HEURISTIC:
      return EarlyStopping::kHeuristic;
    case v1::BeamSearchSettings::EARLY_STOPPING_ALWAYS:
      return EarlyStopping::kAlways;
    default:
      return FieldError("beam_search.early_stopping",
                        absl::StrCat(value, " is not a known EarlyStopping"));
  }
}

v1::BeamSearchSettings::EarlyStopping EarlyStoppingOf(EarlyStopping value) {
  switch (value) {
    case EarlyStopping::kNever:
      return v1::BeamSearchSettings::EARLY_STOPPING_NEVER;
    case EarlyStopping::kHeuristic:
      return v1::BeamSearchSettings::EARLY_STOPPING_HEURISTIC;
    case EarlyStopping::kAlways:
      return v1::BeamSearchSettings::EARLY_STOPPING_ALWAYS;
  }
  return v1::BeamSearchSettings::EARLY_STOPPING_UNSPECIFIED;
}

// What a search over whole texts cannot be combined with.
absl::Status CheckAlone(const v1::GenerateRequest& request, int32_t n) {
  if (request.choices().has_best_of() && request.choices().best_of() != n) {
    return FieldError(
        "choices.best_of",
        absl::StrCat(request.choices().best_of(),
                     " with beam_search, which ranks by itself; the range is [", n, ", ", n, "]"));
  }
  if (!request.resume().generated_tokens().empty()) {
    return FieldError("resume.generated_tokens",
                      absl::StrCat(request.resume().generated_tokens_size(),
                                   " tokens with beam_search, which cannot go on from one text; "
                                   "the limit is 0"));
  }
  if (request.speculation().prompt_lookup()) {
    return FieldError("speculation.prompt_lookup",
                      "true with beam_search, whose tokens cannot be guessed; only false is taken");
  }
  if (request.context().policy() == v1::CONTEXT_POLICY_ROLL) {
    return FieldError("context.policy",
                      "CONTEXT_POLICY_ROLL with beam_search; only CONTEXT_POLICY_REFUSE and "
                      "CONTEXT_POLICY_STOP are taken");
  }
  return absl::OkStatus();
}

absl::Status ReadBeam(const v1::GenerateRequest& request, ChoiceSettings& out) {
  const v1::BeamSearchSettings& in = request.beam_search();
  absl::StatusOr<EarlyStopping> early_stopping = ReadEarlyStopping(in.early_stopping());
  if (!early_stopping.ok()) return early_stopping.status();
  BeamSettings beam;
  beam.width = in.width();
  beam.returned = out.n;
  beam.early_stopping = *early_stopping;
  if (in.has_length_penalty()) beam.length_penalty = in.length_penalty();
  absl::Status status = CheckInt("beam_search.width", beam.width, 2, kMaxBeamWidth);
  status.Update(CheckFloat("beam_search.length_penalty", beam.length_penalty, -10, 10));
  if (!status.ok()) return status;
  if (out.n > beam.width) {
    return FieldError("choices.n", absl::StrCat(out.n, " is out of range [1, ", beam.width,
                                                "], of beam_search.width"));
  }
  out.beam = beam;
  return CheckAlone(request, out.n);
}

}  // namespace

void RequestShape::Apply(Request& request) const {
  request.choices = sequences;
  request.beam = beam;
  request.roll_kept_tokens = roll_kept_tokens;
  request.max_draft_tokens = max_draft_tokens;
}

void RequestShape::Apply(const ChoiceSettings& settings, GenerationSpec& spec) const {
  if (beam) spec.beam = settings.beam;
  spec.rolls = roll_kept_tokens.has_value();
  spec.output.total_logprob = ranked;
}

absl::StatusOr<ChoiceSettings> ReadChoices(const v1::GenerateRequest& request) {
  const v1::ChoiceSettings& in = request.choices();
  ChoiceSettings out;
  if (in.has_n()) out.n = in.n();
  absl::Status status = CheckInt("choices.n", out.n, 1, kMaxChoices);
  if (!status.ok()) return status;
  out.best_of = out.n;
  if (request.has_beam_search()) {
    status = ReadBeam(request, out);
    if (!status.ok()) return status;
    return out;
  }
  if (in.has_best_of()) out.best_of = in.best_of();
  status = CheckInt("choices.best_of", out.best_of, out.n, kMaxChoices);
  if (!status.ok()) return status;
  if (out.best_of > 1 && !request.resume().generated_tokens().empty()) {
    return FieldError(out.n > 1 ? "choices.n" : "choices.best_of",
                      absl::StrCat(out.n > 1 ? out.n : out.best_of,
                                   " is out of range [1, 1] with resume, which is of one choice"));
  }
  return out;
}

absl::Status CheckChoicesDiffer(const ChoiceSettings& settings, const SamplingSettings& sampling) {
  if (settings.beam || settings.best_of == 1 || sampling.temperature > 0) return absl::OkStatus();
  const bool several = settings.n > 1;
  return FieldError(several ? "choices.n" : "choices.best_of",
                    absl::StrCat(several ? settings.n : settings.best_of,
                                 " is out of range [1, 1] at sampling.temperature 0, where all "
                                 "choices are equal; beam_search gives several"));
}

absl::StatusOr<SpeculationSettings> ReadSpeculation(const v1::GenerateRequest& request,
                                                    bool prompt_lookup) {
  const v1::SpeculationSettings& in = request.speculation();
  SpeculationSettings out;
  out.prompt_lookup = in.has_prompt_lookup() ? in.prompt_lookup() : prompt_lookup;
  if (request.has_beam_search()) out.prompt_lookup = false;
  if (in.has_max_draft_tokens()) out.max_draft_tokens = in.max_draft_tokens();
  const absl::Status status =
      CheckInt("speculation.max_draft_tokens", out.max_draft_tokens, 1, kMaxDraftTokens);
  if (!status.ok()) return status;
  return out;
}

RequestShape ShapeOf(const ChoiceSettings& choices, const SpeculationSettings& speculation,
                     std::optional<int32_t> roll_kept_tokens, int32_t max_new_tokens) {
  RequestShape shape;
  shape.choices = choices.n;
  shape.roll_kept_tokens = roll_kept_tokens;
  if (max_new_tokens == 0) return shape;
  shape.sequences = choices.beam ? choices.beam->width : choices.best_of;
  shape.ranked = choices.ranked();
  shape.beam = choices.beam.has_value();
  if (speculation.prompt_lookup) shape.max_draft_tokens = speculation.max_draft_tokens;
  return shape;
}

void EchoChoices(const ChoiceSettings& settings, v1::EffectiveSettings* out) {
  out->mutable_choices()->set_n(settings.n);
  out->mutable_choices()->set_best_of(settings.best_of);
  if (!settings.beam) return;
  v1::BeamSearchSettings& beam = *out->mutable_beam_search();
  beam.set_width(settings.beam->width);
  beam.set_length_penalty(settings.beam->length_penalty);
  beam.set_early_stopping(EarlyStoppingOf(settings.beam->early_stopping));
}

void EchoSpeculation(const SpeculationSettings& settings, v1::EffectiveSettings* out) {
  out->mutable_speculation()->set_prompt_lookup(settings.prompt_lookup);
  out->mutable_speculation()->set_max_draft_tokens(settings.max_draft_tokens);
}

}  // namespace hocket
