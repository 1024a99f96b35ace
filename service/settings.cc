#include "service/settings.h"

#include <algorithm>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "runtime/generation_limits.h"
#include "service/field_checks.h"
#include "service/planned_fields.h"
#include "service/sampling_settings.h"

namespace hocket {
namespace {

constexpr int32_t kMaxInt = std::numeric_limits<int32_t>::max();
constexpr int64_t kMaxSeconds = 315576000000;  // google.protobuf.Duration's largest.

absl::Status ReadTimeLimit(const v1::StoppingSettings& in, StoppingSettings& out) {
  if (!in.has_time_limit()) return absl::OkStatus();
  const google::protobuf::Duration& limit = in.time_limit();
  const bool well_formed = limit.seconds() >= 0 && limit.seconds() <= kMaxSeconds &&
                           limit.nanos() >= 0 && limit.nanos() < 1000000000;
  if (!well_formed || (limit.seconds() == 0 && limit.nanos() == 0)) {
    return FieldError("stopping.time_limit",
                      absl::StrCat(limit.seconds(), " s and ", limit.nanos(),
                                   " ns is out of range (0, ", kMaxSeconds, " s]"));
  }
  out.time_limit = absl::Seconds(limit.seconds()) + absl::Nanoseconds(limit.nanos());
  return absl::OkStatus();
}

absl::Status ReadRepetition(const v1::StoppingSettings& in, StoppingSettings& out) {
  if (!in.has_repetition_detection()) return absl::OkStatus();
  const v1::RepetitionDetection& detection = in.repetition_detection();
  RepetitionSettings& repetition = out.repetition.emplace();
  if (detection.has_max_pattern_tokens()) {
    repetition.max_pattern_tokens = detection.max_pattern_tokens();
  }
  if (detection.has_min_repeats()) repetition.min_repeats = detection.min_repeats();
  absl::Status status = CheckInt("stopping.repetition_detection.max_pattern_tokens",
                                 repetition.max_pattern_tokens, 1, 1024);
  status.Update(
      CheckInt("stopping.repetition_detection.min_repeats", repetition.min_repeats, 2, 1024));
  return status;
}

absl::StatusOr<StoppingSettings> ReadStopping(const v1::StoppingSettings& in,
                                              const ModelInfo& info) {
  absl::Status status = CheckInt("stopping.max_new_tokens", in.max_new_tokens(), 0, kMaxInt);
  status.Update(CheckInt("stopping.min_new_tokens", in.min_new_tokens(), 0, kMaxInt));
  status.Update(
      CheckTexts("stopping.stop_strings", in.stop_strings(), kMaxStopStrings, kMaxStopStringBytes));
  status.Update(CheckCount("stopping.stop_tokens", in.stop_tokens_size(), kMaxStopTokens));
  status.Update(CheckTokens("stopping.stop_tokens", in.stop_tokens(), info.vocabulary_size));
  if (!status.ok()) return status;
  StoppingSettings out;
  if (in.has_max_new_tokens()) out.max_new_tokens = in.max_new_tokens();
  out.min_new_tokens = in.min_new_tokens();
  out.stop_strings.assign(in.stop_strings().begin(), in.stop_strings().end());
  out.stop_tokens.assign(in.stop_tokens().begin(), in.stop_tokens().end());
  out.ignore_eos = in.ignore_eos();
  out.include_stop_string = in.include_stop_string();
  out.stop_at_sentence_end = in.stop_at_sentence_end();
  status.Update(ReadTimeLimit(in, out));
  status.Update(ReadRepetition(in, out));
  if (!status.ok()) return status;
  return out;
}

// `on` is a switch and `count` a number that implies it; they contradict each other when the switch
// is explicitly off and the number is not 0.
absl::Status CheckTop(absl::string_view on_path, bool has_on, bool on, absl::string_view count_path,
                      int32_t count) {
  absl::Status status = CheckInt(count_path, count, 0, kMaxTopLogprobs);
  if (!status.ok()) return status;
  if (has_on && !on && count > 0) {
    return FieldError(count_path, absl::StrCat(count, " contradicts ", on_path, ": false"));
  }
  return absl::OkStatus();
}

absl::StatusOr<OutputSettings> ReadOutput(const v1::OutputSettings& in) {
  absl::Status status = CheckTop("output.logprobs", in.has_logprobs(), in.logprobs(),
                                 "output.top_logprobs", in.top_logprobs());
  status.Update(CheckTop("output.prompt_logprobs", in.has_prompt_logprobs(), in.prompt_logprobs(),
                         "output.prompt_top_logprobs", in.prompt_top_logprobs()));
  if (!status.ok()) return status;
  if (!v1::LogprobsStage_IsValid(in.logprobs_stage())) {
    return FieldError("output.logprobs_stage",
                      absl::StrCat(in.logprobs_stage(), " is not a known LogprobsStage"));
  }
  OutputSettings out;
  out.top_logprobs = in.top_logprobs();
  out.logprobs = in.logprobs() || in.top_logprobs() > 0;
  out.prompt_top_logprobs = in.prompt_top_logprobs();
  out.prompt_logprobs = in.prompt_logprobs() || in.prompt_top_logprobs() > 0;
  out.scored_after_filtering = in.logprobs_stage() == v1::LOGPROBS_STAGE_AFTER_FILTERING;
  out.special_tokens_in_text = in.special_tokens_in_text();
  return out;
}

}  // namespace

absl::StatusOr<GenerationSpec> ReadSettings(const v1::GenerateRequest& request,
                                            const ModelInfo& info) {
  if (absl::Status planned = RefusePlannedFields(request); !planned.ok()) return planned;
  absl::StatusOr<SamplingSettings> sampling =
      ReadSampling(request.sampling(), info, /*draws=*/!request.has_beam_search());
  if (!sampling.ok()) return sampling.status();
  absl::StatusOr<StoppingSettings> stopping = ReadStopping(request.stopping(), info);
  if (!stopping.ok()) return stopping.status();
  absl::StatusOr<OutputSettings> output = ReadOutput(request.output());
  if (!output.ok()) return output.status();
  GenerationSpec spec;
  spec.sampling = *std::move(sampling);
  spec.stopping = *std::move(stopping);
  spec.output = *std::move(output);
  return spec;
}

v1::EffectiveSettings EffectiveSettingsOf(const GenerationSpec& spec) {
  v1::EffectiveSettings out;
  *out.mutable_sampling() = EchoSampling(spec.sampling);

  v1::StoppingSettings& stopping = *out.mutable_stopping();
  stopping.set_max_new_tokens(spec.stopping.max_new_tokens);
  stopping.set_min_new_tokens(spec.stopping.min_new_tokens);
  for (const std::string& stop : spec.stopping.stop_strings) stopping.add_stop_strings(stop);
  for (TokenId token : spec.stopping.stop_tokens) stopping.add_stop_tokens(token);
  stopping.set_ignore_eos(spec.stopping.ignore_eos);
  stopping.set_include_stop_string(spec.stopping.include_stop_string);

  stopping.set_stop_at_sentence_end(spec.stopping.stop_at_sentence_end);
  if (spec.stopping.time_limit != absl::InfiniteDuration()) {
    const absl::Duration limit = spec.stopping.time_limit;
    stopping.mutable_time_limit()->set_seconds(absl::ToInt64Seconds(limit));
    stopping.mutable_time_limit()->set_nanos(
        static_cast<int32_t>(absl::ToInt64Nanoseconds(limit % absl::Seconds(1))));
  }
  if (const auto& repetition = spec.stopping.repetition) {
    stopping.mutable_repetition_detection()->set_max_pattern_tokens(repetition->max_pattern_tokens);
    stopping.mutable_repetition_detection()->set_min_repeats(repetition->min_repeats);
  }

  v1::OutputSettings& output = *out.mutable_output();
  output.set_logprobs(spec.output.logprobs);
  output.set_top_logprobs(spec.output.top_logprobs);
  output.set_prompt_logprobs(spec.output.prompt_logprobs);
  output.set_prompt_top_logprobs(spec.output.prompt_top_logprobs);
  output.set_logprobs_stage(spec.output.scored_after_filtering
                                ? v1::LOGPROBS_STAGE_AFTER_FILTERING
                                : v1::LOGPROBS_STAGE_BEFORE_FILTERING);
  output.set_special_tokens_in_text(spec.output.special_tokens_in_text);
  return out;
}

}  // namespace hocket
