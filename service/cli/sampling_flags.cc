#include "service/cli/sampling_flags.h"

#include <limits>
#include <random>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "service/cli/flag_checks.h"
#include "service/cli/number_list.h"
#include "service/sampling_settings.h"

namespace hocket {
namespace {

constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();

uint64_t DrawSeed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace

void SamplingFlags::AddSampling(CLI::App& app) {
  app.add_option("-t,--temperature", temperature, "0 is greedy (default: the model's own, or 1)")
      ->check(Number(0, std::numeric_limits<float>::max()))
      ->type_name("T");
  app.add_option("--top-k", top_k, "Keep the K most likely tokens (0: all)")
      ->check(WholeNumber(0, kMaxInt32))
      ->type_name("K");
  app.add_option("--top-p", top_p, "Keep the most likely tokens whose probability reaches P")
      ->check(Number(0, 1, /*above_low=*/true))
      ->type_name("P");
}

void SamplingFlags::AddStopping(CLI::App& app) {
  filters.Add(app);
  constraint.Add(app);
  app.add_option_function<std::string>(
         "--seed",
         [this](const std::string& text) {
           uint64_t value = 0;
           if (!absl::SimpleAtoi(text, &value)) {
             throw CLI::ValidationError(
                 "--seed", absl::StrCat("\"", text, "\" is not a seed; allowed is from 0 to ",
                                        std::numeric_limits<uint64_t>::max()));
           }
           seed = value;
         },
         "Makes the answer repeatable (default: drawn, and told at the end)")
      ->type_name("N");
  app.add_option("-n,--max-new-tokens", max_new_tokens, "Tokens to generate at most")
      ->check(WholeNumber(1, kMaxInt32))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--min-new-tokens", min_new_tokens, "Tokens before which it cannot end by itself")
      ->check(WholeNumber(0, kMaxInt32))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--stop", stop_strings, "End at this text; may be given several times")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false)
      ->type_name("TEXT");
  app.add_option("--stop-token", stop_tokens, "End at this token id; may be given several times")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false)
      ->check(WholeNumber(0, kMaxInt32))
      ->type_name("ID");
  app.add_flag("--ignore-eos", ignore_eos, "Go on after the model's end-of-text token");
  app.add_flag("--include-stop", include_stop_string, "Keep the stop text in the answer");
  AddOtherEnds(app);
}

void SamplingFlags::AddOtherEnds(CLI::App& app) {
  app.add_flag("--stop-at-sentence-end", stop_at_sentence_end, "End with the first sentence");
  app.add_option("--time-limit", time_limit_seconds, "End after so many seconds")
      ->check(Number(0, 1e9, /*above_low=*/true))
      ->type_name("SECONDS");
  app.add_flag("--stop-at-repetition", stop_at_repetition, "End where the answer repeats itself");
  app.add_option("--repetition-pattern", repetition_pattern,
                 "Longest pattern of tokens that is noticed (default: 64)")
      ->check(WholeNumber(1, 1024))
      ->type_name("N");
  app.add_option("--repetition-repeats", repetition_repeats,
                 "How often it must come in a row (default: 4)")
      ->check(WholeNumber(2, 1024))
      ->type_name("N");
}

absl::Status SamplingFlags::Check() const {
  if (min_new_tokens > max_new_tokens) {
    return absl::InvalidArgumentError(absl::StrCat("--min-new-tokens: ", min_new_tokens,
                                                   " is above --max-new-tokens ", max_new_tokens));
  }
  for (const std::string& stop : stop_strings) {
    if (stop.empty()) return absl::InvalidArgumentError("--stop: the text is empty");
  }
  if ((repetition_pattern || repetition_repeats) && !stop_at_repetition) {
    return absl::InvalidArgumentError("--stop-at-repetition: the other --repetition flags need it");
  }
  return constraint.Check();
}

void SamplingFlags::FillStopping(StoppingSettings& stopping) const {
  stopping.max_new_tokens = max_new_tokens;
  stopping.min_new_tokens = min_new_tokens;
  stopping.stop_tokens = stop_tokens;
  stopping.ignore_eos = ignore_eos;
  stopping.stop_strings = stop_strings;
  stopping.include_stop_string = include_stop_string;
  stopping.stop_at_sentence_end = stop_at_sentence_end;
  if (time_limit_seconds) stopping.time_limit = absl::Seconds(*time_limit_seconds);
  if (!stop_at_repetition) return;
  RepetitionSettings& repetition = stopping.repetition.emplace();
  if (repetition_pattern) repetition.max_pattern_tokens = *repetition_pattern;
  if (repetition_repeats) repetition.min_repeats = *repetition_repeats;
}

absl::StatusOr<GenerationSpec> SamplingFlags::MakeSpec(const ModelInfo& info,
                                                       const ModelText& text) const {
  GenerationSpec spec;
  spec.sampling = info.default_sampling;
  if (temperature) spec.sampling.temperature = *temperature;
  if (top_k) spec.sampling.top_k = *top_k;
  if (top_p) spec.sampling.top_p = *top_p;
  if (absl::Status status = filters.Apply(info, spec.sampling); !status.ok()) return status;
  spec.sampling.seed = seed ? *seed : DrawSeed();
  FillStopping(spec.stopping);
  if (absl::Status status = CheckTokens(stop_tokens, info.vocabulary_size); !status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--stop-token: ", status.message()));
  }
  absl::Status status = spec.Validate();
  status.Update(EncodeBadWords(text, spec.sampling));
  if (!status.ok()) return status;
  absl::StatusOr<std::shared_ptr<const Grammar>> grammar = constraint.Compile(text);
  if (!grammar.ok()) return grammar.status();
  spec.grammar = *std::move(grammar);
  return spec;
}

}  // namespace hocket
