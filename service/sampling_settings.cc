#include "service/sampling_settings.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "runtime/generation_limits.h"
#include "service/field_checks.h"

namespace hocket {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int32_t kMaxInt = std::numeric_limits<int32_t>::max();

uint64_t DrawSeed() {
  absl::BitGen random;
  return absl::Uniform<uint64_t>(random);
}

void ReadFilters(const v1::SamplingSettings& in, SamplingSettings& out) {
  if (in.has_temperature()) out.temperature = in.temperature();
  if (in.has_top_k()) out.top_k = in.top_k();
  if (in.has_top_p()) out.top_p = in.top_p();
  if (in.has_min_p()) out.min_p = in.min_p();
  if (in.has_typical_p()) out.typical_p = in.typical_p();
  if (in.has_top_n_sigma()) out.top_n_sigma = in.top_n_sigma();
  if (in.has_xtc()) {
    out.xtc.emplace();
    if (in.xtc().has_probability()) out.xtc->probability = in.xtc().probability();
    if (in.xtc().has_threshold()) out.xtc->threshold = in.xtc().threshold();
  }
}

absl::Status CheckFilters(const SamplingSettings& out) {
  absl::Status status = CheckFloat("sampling.temperature", out.temperature, 0, kInfinity);
  status.Update(CheckInt("sampling.top_k", out.top_k, 0, kMaxInt));
  status.Update(CheckFloat("sampling.top_p", out.top_p, 0, 1, /*low_open=*/true));
  status.Update(CheckFloat("sampling.min_p", out.min_p, 0, 1));
  status.Update(CheckFloat("sampling.typical_p", out.typical_p, 0, 1, /*low_open=*/true));
  status.Update(CheckFloat("sampling.top_n_sigma", out.top_n_sigma, 0, 100));
  if (out.xtc) {
    status.Update(CheckFloat("sampling.xtc.probability", out.xtc->probability, 0, 1));
    status.Update(
        CheckFloat("sampling.xtc.threshold", out.xtc->threshold, 0, 0.5, /*low_open=*/true));
  }
  return status;
}

absl::Status ReadPenalties(const v1::SamplingSettings& in, const ModelInfo& info,
                           SamplingSettings& out) {
  if (in.has_repetition_penalty()) out.repetition_penalty = in.repetition_penalty();
  if (in.has_presence_penalty()) out.presence_penalty = in.presence_penalty();
  if (in.has_frequency_penalty()) out.frequency_penalty = in.frequency_penalty();
  if (in.has_penalty_window_tokens()) out.penalty_window_tokens = in.penalty_window_tokens();
  absl::Status status = CheckFloat("sampling.repetition_penalty", out.repetition_penalty, 0, 100,
                                   /*low_open=*/true);
  status.Update(CheckFloat("sampling.presence_penalty", out.presence_penalty, -100, 100));
  status.Update(CheckFloat("sampling.frequency_penalty", out.frequency_penalty, -100, 100));
  status.Update(CheckInt("sampling.penalty_window_tokens", out.penalty_window_tokens, 0,
                         info.max_context_tokens));
  return status;
}

absl::Status ReadDry(const v1::SamplingSettings& in, const ModelInfo& info, SamplingSettings& out) {
  if (!in.has_dry()) return absl::OkStatus();
  const v1::DrySettings& dry = in.dry();
  out.dry.emplace();
  if (dry.has_multiplier()) out.dry->multiplier = dry.multiplier();
  if (dry.has_base()) out.dry->base = dry.base();
  if (dry.has_allowed_length()) out.dry->allowed_length = dry.allowed_length();
  if (dry.has_window_tokens()) out.dry->window_tokens = dry.window_tokens();
  if (dry.sequence_breakers_size() > 0) {
    out.dry->sequence_breakers.assign(dry.sequence_breakers().begin(),
                                      dry.sequence_breakers().end());
  }
  absl::Status status = CheckFloat("sampling.dry.multiplier", out.dry->multiplier, 0, 100);
  status.Update(CheckFloat("sampling.dry.base", out.dry->base, 1, 8));
  status.Update(CheckInt("sampling.dry.allowed_length", out.dry->allowed_length, 1, 1024));
  status.Update(
      CheckInt("sampling.dry.window_tokens", out.dry->window_tokens, 0, info.max_context_tokens));
  status.Update(CheckTexts("sampling.dry.sequence_breakers", dry.sequence_breakers(),
                           kMaxSequenceBreakers, kMaxSequenceBreakerBytes));
  return status;
}

absl::Status ReadTokenLists(const v1::SamplingSettings& in, const ModelInfo& info,
                            SamplingSettings& out) {
  const int32_t vocabulary = info.vocabulary_size;
  absl::Status status = CheckCount("sampling.logit_bias", in.logit_bias_size(), kMaxLogitBiases);
  status.Update(CheckCount("sampling.allowed_tokens", in.allowed_tokens_size(), kMaxListedTokens));
  status.Update(CheckCount("sampling.banned_tokens", in.banned_tokens_size(), kMaxListedTokens));
  status.Update(CheckTexts("sampling.bad_words", in.bad_words(), kMaxBadWords, kMaxBadWordBytes));
  status.Update(CheckTokens("sampling.allowed_tokens", in.allowed_tokens(), vocabulary));
  status.Update(CheckTokens("sampling.banned_tokens", in.banned_tokens(), vocabulary));
  if (!status.ok()) return status;
  for (const auto& [token, value] : in.logit_bias()) out.logit_bias.push_back({token, value});
  std::sort(out.logit_bias.begin(), out.logit_bias.end(),
            [](const TokenBias& a, const TokenBias& b) { return a.token < b.token; });
  for (const TokenBias& bias : out.logit_bias) {
    status.Update(CheckInt("sampling.logit_bias", bias.token, 0, vocabulary - 1));
    status.Update(
        CheckFloat(absl::StrCat("sampling.logit_bias[", bias.token, "]"), bias.value, -100, 100));
  }
  out.allowed_tokens.assign(in.allowed_tokens().begin(), in.allowed_tokens().end());
  out.banned_tokens.assign(in.banned_tokens().begin(), in.banned_tokens().end());
  out.bad_words.assign(in.bad_words().begin(), in.bad_words().end());
  return status;
}

// Beam search takes the likeliest texts: what would change how tokens are drawn is a mistake.
absl::Status CheckNothingDraws(const SamplingSettings& settings) {
  const absl::string_view name = DrawSettingInUse(settings);
  if (name.empty()) return absl::OkStatus();
  const std::pair<absl::string_view, double> values[] = {{"temperature", settings.temperature},
                                                         {"top_k", settings.top_k},
                                                         {"top_p", settings.top_p},
                                                         {"min_p", settings.min_p},
                                                         {"typical_p", settings.typical_p},
                                                         {"top_n_sigma", settings.top_n_sigma}};
  for (const auto& [field, value] : values) {
    if (field != name) continue;
    const bool off_at_1 = name == "top_p" || name == "typical_p";
    return FieldError(absl::StrCat("sampling.", name),
                      absl::StrCat(value, " with beam_search, which draws nothing; only ",
                                   off_at_1 ? 1 : 0, " is taken"));
  }
  return FieldError(absl::StrCat("sampling.", name),
                    "is set with beam_search, which draws nothing; leave it out");
}

// Whether any token is left that a request may draw.
absl::Status CheckSomeTokenIsLeft(const SamplingSettings& settings) {
  if (settings.allowed_tokens.empty()) return absl::OkStatus();
  std::vector<TokenId> banned = settings.banned_tokens;
  std::sort(banned.begin(), banned.end());
  for (const TokenId token : settings.allowed_tokens) {
    if (!std::binary_search(banned.begin(), banned.end(), token)) return absl::OkStatus();
  }
  return FieldError("sampling.allowed_tokens", "all of them are in sampling.banned_tokens too");
}

}  // namespace

SamplingSettings WithoutDraw(SamplingSettings settings) {
  settings.temperature = 0;
  settings.top_k = 0;
  settings.top_p = 1;
  settings.min_p = 0;
  settings.typical_p = 1;
  settings.top_n_sigma = 0;
  settings.xtc.reset();
  return settings;
}

absl::string_view DrawSettingInUse(const SamplingSettings& settings) {
  if (settings.temperature != 0) return "temperature";
  if (settings.top_k != 0) return "top_k";
  if (settings.top_p != 1) return "top_p";
  if (settings.min_p != 0) return "min_p";
  if (settings.typical_p != 1) return "typical_p";
  if (settings.top_n_sigma != 0) return "top_n_sigma";
  return settings.xtc ? "xtc" : "";
}

absl::StatusOr<SamplingSettings> ReadSampling(const v1::SamplingSettings& in, const ModelInfo& info,
                                              bool draws) {
  SamplingSettings out = draws ? info.default_sampling : WithoutDraw(info.default_sampling);
  out.seed = in.has_seed() ? in.seed() : DrawSeed();
  ReadFilters(in, out);
  absl::Status status = CheckFilters(out);
  status.Update(ReadPenalties(in, info, out));
  status.Update(ReadDry(in, info, out));
  status.Update(ReadTokenLists(in, info, out));
  status.Update(CheckSomeTokenIsLeft(out));
  if (!draws) status.Update(CheckNothingDraws(out));
  if (!status.ok()) return status;
  return out;
}

v1::SamplingSettings EchoSampling(const SamplingSettings& settings) {
  v1::SamplingSettings out;
  out.set_temperature(settings.temperature);
  out.set_top_k(settings.top_k);
  out.set_top_p(settings.top_p);
  out.set_seed(settings.seed);
  out.set_min_p(settings.min_p);
  out.set_typical_p(settings.typical_p);
  out.set_top_n_sigma(settings.top_n_sigma);
  out.set_repetition_penalty(settings.repetition_penalty);
  out.set_presence_penalty(settings.presence_penalty);
  out.set_frequency_penalty(settings.frequency_penalty);
  out.set_penalty_window_tokens(settings.penalty_window_tokens);
  if (settings.dry) {
    v1::DrySettings& dry = *out.mutable_dry();
    dry.set_multiplier(settings.dry->multiplier);
    dry.set_base(settings.dry->base);
    dry.set_allowed_length(settings.dry->allowed_length);
    dry.set_window_tokens(settings.dry->window_tokens);
    for (const std::string& text : settings.dry->sequence_breakers) dry.add_sequence_breakers(text);
  }
  if (settings.xtc) {
    out.mutable_xtc()->set_probability(settings.xtc->probability);
    out.mutable_xtc()->set_threshold(settings.xtc->threshold);
  }
  for (const TokenBias& bias : settings.logit_bias) {
    (*out.mutable_logit_bias())[bias.token] = bias.value;
  }
  out.mutable_allowed_tokens()->Add(settings.allowed_tokens.begin(), settings.allowed_tokens.end());
  out.mutable_banned_tokens()->Add(settings.banned_tokens.begin(), settings.banned_tokens.end());
  for (const std::string& word : settings.bad_words) out.add_bad_words(word);
  return out;
}

absl::Status EncodeBadWords(const ModelText& text, SamplingSettings& settings) {
  std::vector<std::vector<TokenId>>& words = settings.bad_word_tokens;
  words.clear();
  for (size_t i = 0; i < settings.bad_words.size(); ++i) {
    const std::string& word = settings.bad_words[i];
    for (const std::string& spelling : {word, absl::StrCat(" ", word)}) {
      absl::StatusOr<std::vector<TokenId>> tokens =
          text.Encode(spelling, /*add_special_tokens=*/false);
      if (!tokens.ok()) {
        return FieldError(absl::StrCat("sampling.bad_words[", i, "]"), tokens.status().message());
      }
      if (!tokens->empty()) words.push_back(*std::move(tokens));
    }
  }
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  return absl::OkStatus();
}

}  // namespace hocket
