#include "service/cli/result_json.h"

#include <cmath>
#include <cstdlib>
#include <string>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "scheduler/step_text.h"

namespace hocket {
namespace {

using Json = nlohmann::ordered_json;

double Milliseconds(absl::Duration duration) {
  return std::round(absl::ToDoubleMicroseconds(duration)) / 1e3;
}

Json LogprobsJson(std::span<const TokenScore> scores) {
  Json list = Json::array();
  for (const TokenScore& score : scores) {
    list.push_back({{"id", score.token},
                    {"logprob", FloatJson(score.logprob)},
                    {"rank", score.rank},
                    {"top", TopJson(score.top)}});
  }
  return list;
}

Json ExplanationsJson(std::span<const Explanation> explanations) {
  Json list = Json::array();
  for (const Explanation& explanation : explanations) {
    Json stages = Json::array();
    for (const ExplainedStage& stage : explanation.stages) {
      Json probabilities = Json::array();
      for (const float probability : stage.probabilities) {
        probabilities.push_back(FloatJson(probability));
      }
      stages.push_back(
          {{"name", stage.name}, {"kept", stage.kept}, {"probabilities", probabilities}});
    }
    list.push_back(
        {{"id", explanation.token}, {"candidates", explanation.candidates}, {"stages", stages}});
  }
  return list;
}

Json TimingsJson(const CompletionResult& result) {
  const RequestTimings& timings = result.finished.timings;
  Json json = {{"queued_ms", Milliseconds(timings.queued)},
               {"prefill_ms", Milliseconds(timings.prefill)},
               {"decode_ms", Milliseconds(timings.decode)},
               {"first_token_ms", Milliseconds(result.first_token)},
               {"total_ms", Milliseconds(result.total)}};
  return json;
}

// The effective settings; lists and groups only where they are in use.
Json SamplingJson(const SamplingSettings& sampling) {
  Json json = {{"temperature", FloatJson(sampling.temperature)},
               {"top_k", sampling.top_k},
               {"top_p", FloatJson(sampling.top_p)},
               {"min_p", FloatJson(sampling.min_p)},
               {"typical_p", FloatJson(sampling.typical_p)},
               {"top_n_sigma", FloatJson(sampling.top_n_sigma)},
               {"repetition_penalty", FloatJson(sampling.repetition_penalty)},
               {"presence_penalty", FloatJson(sampling.presence_penalty)},
               {"frequency_penalty", FloatJson(sampling.frequency_penalty)},
               {"penalty_window_tokens", sampling.penalty_window_tokens}};
  if (sampling.xtc) {
    json["xtc"] = {{"probability", FloatJson(sampling.xtc->probability)},
                   {"threshold", FloatJson(sampling.xtc->threshold)}};
  }
  if (sampling.dry) {
    json["dry"] = {{"multiplier", FloatJson(sampling.dry->multiplier)},
                   {"base", FloatJson(sampling.dry->base)},
                   {"allowed_length", sampling.dry->allowed_length},
                   {"window_tokens", sampling.dry->window_tokens},
                   {"sequence_breakers", sampling.dry->sequence_breakers}};
  }
  for (const TokenBias& bias : sampling.logit_bias) {
    json["logit_bias"][std::to_string(bias.token)] = FloatJson(bias.value);
  }
  if (!sampling.allowed_tokens.empty()) json["allowed_tokens"] = sampling.allowed_tokens;
  if (!sampling.banned_tokens.empty()) json["banned_tokens"] = sampling.banned_tokens;
  if (!sampling.bad_words.empty()) json["bad_words"] = sampling.bad_words;
  return json;
}

Json ModelJson(const ModelInfo& info) {
  return {{"model", info.name},
          {"precision", PrecisionName(info.precision)},
          {"kv_precision", KvPrecisionName(info.kv_precision)}};
}

// What is a choice's own.
Json ChoiceJson(const GenerationSpec& spec, const CompletionResult& result) {
  const Finish& finish = result.finished.finish;
  Json json;
  json["text"] = result.text;
  json["tokens"] = result.tokens;
  if (spec.output.logprobs) json["logprobs"] = LogprobsJson(result.scores);
  if (!result.explanations.empty()) json["explanations"] = ExplanationsJson(result.explanations);
  json["finish_reason"] = FinishReasonName(finish.reason);
  if (finish.reason == FinishReason::kStopString) json["stop_string"] = finish.stop_string;
  if (finish.stop_token) json["stop_token"] = *finish.stop_token;
  if (finish.total_logprob) json["total_logprob"] = *finish.total_logprob;
  if (finish.score) json["score"] = *finish.score;
  return json;
}

// What is the whole request's.
Json RequestJson(const GenerationSpec& spec, const CompletionResult& result) {
  Json json;
  json["seed"] = spec.sampling.seed;
  json["sampling"] = SamplingJson(spec.sampling);
  json["sampling"].update({{"max_new_tokens", spec.stopping.max_new_tokens},
                           {"min_new_tokens", spec.stopping.min_new_tokens},
                           {"stop_strings", spec.stopping.stop_strings},
                           {"stop_tokens", spec.stopping.stop_tokens},
                           {"ignore_eos", spec.stopping.ignore_eos}});
  const Usage& usage = result.finished.usage;
  json["usage"] = {{"prompt_tokens", usage.prompt_tokens},
                   {"cached_tokens", usage.cached_tokens},
                   {"generated_tokens", usage.generated_tokens}};
  json["timings"] = TimingsJson(result);
  return json;
}

const char* EarlyStoppingName(BeamSettings::EarlyStopping value) {
  switch (value) {
    case BeamSettings::EarlyStopping::kNever:
      return "never";
    case BeamSettings::EarlyStopping::kHeuristic:
      return "heuristic";
    case BeamSettings::EarlyStopping::kAlways:
      return "always";
  }
  return "";
}

}  // namespace

Json FloatJson(float value) {
  if (!std::isfinite(value)) return nullptr;
  return std::strtod(absl::StrFormat("%.9g", value).c_str(), nullptr);
}

Json TopJson(std::span<const TokenLogprob> top) {
  Json list = Json::array();
  for (const TokenLogprob& entry : top) {
    list.push_back({{"id", entry.token}, {"logprob", FloatJson(entry.logprob)}});
  }
  return list;
}

Json CompletionJson(const ModelInfo& info, const GenerationSpec& spec,
                    const CompletionResult& result) {
  Json json = ModelJson(info);
  json.update(ChoiceJson(spec, result));
  json.update(RequestJson(spec, result));
  return json;
}

Json ChoicesJson(const ModelInfo& info, const GenerationSpec& spec, const RequestShape& shape,
                 std::span<const CompletionResult> choices) {
  Json json = ModelJson(info);
  json["choices"] = Json::array();
  for (size_t i = 0; i < choices.size(); ++i) {
    Json choice = {{"index", i}};
    choice.update(ChoiceJson(spec, choices[i]));
    json["choices"].push_back(std::move(choice));
  }
  if (spec.beam) {
    json["beam_search"] = {{"width", spec.beam->width},
                           {"length_penalty", FloatJson(spec.beam->length_penalty)},
                           {"early_stopping", EarlyStoppingName(spec.beam->early_stopping)}};
  } else {
    json["best_of"] = shape.sequences;
  }
  json.update(RequestJson(spec, choices.front()));
  return json;
}

std::string JsonLine(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace hocket
