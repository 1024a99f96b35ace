#include "service/cli/filter_flags.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "service/cli/flag_checks.h"
#include "service/cli/number_list.h"

namespace hocket {
namespace {

constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();

template <typename T>
CLI::Option* AddRepeated(CLI::App& app, const std::string& name, std::vector<T>& values,
                         const std::string& help) {
  return app.add_option(name, values, help)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
}

// "ID=VALUE".
absl::StatusOr<TokenBias> ParseBias(const std::string& text, int32_t vocabulary_size) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
  TokenBias bias;
  if (!absl::SimpleAtoi(parts.first, &bias.token) || !absl::SimpleAtof(parts.second, &bias.value)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--logit-bias: \"", text, "\" is not TOKEN=VALUE, as 42=-1.5"));
  }
  const TokenId token[] = {bias.token};
  if (absl::Status status = CheckTokens(token, vocabulary_size); !status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--logit-bias: ", status.message()));
  }
  if (!(bias.value >= -100 && bias.value <= 100)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--logit-bias: ", parts.second, " is out of range; allowed is from -100 to 100"));
  }
  return bias;
}

}  // namespace

void FilterFlags::Add(CLI::App& app) {
  AddFilters(app);
  AddPenalties(app);
  AddDry(app);
  AddTokenLists(app);
}

void FilterFlags::AddFilters(CLI::App& app) {
  app.add_option("--min-p", min_p_, "Keep tokens at least P times as likely as the likeliest")
      ->check(Number(0, 1))
      ->type_name("P");
  app.add_option("--typical-p", typical_p_, "Keep the most typical tokens that reach P")
      ->check(Number(0, 1, /*above_low=*/true))
      ->type_name("P");
  app.add_option("--top-n-sigma", top_n_sigma_,
                 "Keep logits within N standard deviations of the highest (0: all)")
      ->check(Number(0, 100))
      ->type_name("N");
  app.add_option("--xtc-probability", xtc_probability_,
                 "How often to exclude the top choices but the least likely (default: never)")
      ->check(Number(0, 1))
      ->type_name("P");
  app.add_option("--xtc-threshold", xtc_threshold_,
                 "Probability that makes a top choice (default: 0.1)")
      ->check(Number(0, 0.5, /*above_low=*/true))
      ->type_name("P");
}

void FilterFlags::AddPenalties(CLI::App& app) {
  app.add_option("--repetition-penalty", repetition_penalty_,
                 "Weaken tokens that were in prompt or answer, by this factor (1: off)")
      ->check(Number(0, 100, /*above_low=*/true))
      ->type_name("X");
  app.add_option("--presence-penalty", presence_penalty_,
                 "Subtract this once from tokens that were generated")
      ->check(Number(-100, 100))
      ->type_name("X");
  app.add_option("--frequency-penalty", frequency_penalty_,
                 "Subtract this, times their count, from tokens that were generated")
      ->check(Number(-100, 100))
      ->type_name("X");
  app.add_option("--penalty-window", penalty_window_,
                 "How many last tokens these penalties look at (0: all)")
      ->check(WholeNumber(0, kMaxInt32))
      ->type_name("N");
}

void FilterFlags::AddDry(CLI::App& app) {
  app.add_option("--dry-multiplier", dry_multiplier_,
                 "Penalize tokens that continue a repetition, with this strength")
      ->check(Number(0, 100))
      ->type_name("X");
  app.add_option("--dry-base", dry_base_, "How the penalty grows by token (default: 1.75)")
      ->check(Number(1, 8))
      ->type_name("X");
  app.add_option("--dry-allowed-length", dry_allowed_length_,
                 "Tokens that may repeat without penalty (default: 2)")
      ->check(WholeNumber(1, 1024))
      ->type_name("N");
  app.add_option("--dry-window", dry_window_, "How many last tokens are searched (0: all)")
      ->check(WholeNumber(0, kMaxInt32))
      ->type_name("N");
  AddRepeated(app, "--dry-breaker", dry_breakers_,
              "Text that no repetition spans; may be given several times")
      ->type_name("TEXT");
}

void FilterFlags::AddTokenLists(CLI::App& app) {
  AddRepeated(app, "--logit-bias", logit_biases_,
              "Add to a token's logit; may be given several times")
      ->type_name("ID=VALUE");
  AddRepeated(app, "--allow-token", allowed_tokens_,
              "Only these token ids may come; may be given several times")
      ->check(WholeNumber(0, kMaxInt32))
      ->type_name("ID");
  AddRepeated(app, "--ban-token", banned_tokens_,
              "This token id may not come; may be given several times")
      ->check(WholeNumber(0, kMaxInt32))
      ->type_name("ID");
  AddRepeated(app, "--bad-word", bad_words_,
              "This text may not be completed; may be given several times")
      ->type_name("TEXT");
}

absl::Status FilterFlags::Apply(const ModelInfo& info, SamplingSettings& settings) const {
  if (min_p_) settings.min_p = *min_p_;
  if (typical_p_) settings.typical_p = *typical_p_;
  if (top_n_sigma_) settings.top_n_sigma = *top_n_sigma_;
  if (xtc_threshold_ && !xtc_probability_) {
    return absl::InvalidArgumentError("--xtc-threshold: needs --xtc-probability");
  }
  if (xtc_probability_) settings.xtc = XtcSettings{.probability = *xtc_probability_};
  if (xtc_threshold_) settings.xtc->threshold = *xtc_threshold_;
  if (repetition_penalty_) settings.repetition_penalty = *repetition_penalty_;
  if (presence_penalty_) settings.presence_penalty = *presence_penalty_;
  if (frequency_penalty_) settings.frequency_penalty = *frequency_penalty_;
  if (penalty_window_) settings.penalty_window_tokens = *penalty_window_;
  if (absl::Status status = ApplyDry(settings); !status.ok()) return status;
  return ApplyTokenLists(info, settings);
}

absl::Status FilterFlags::ApplyDry(SamplingSettings& settings) const {
  const bool more = dry_base_ || dry_allowed_length_ || dry_window_ || !dry_breakers_.empty();
  if (!dry_multiplier_) {
    return more ? absl::InvalidArgumentError("--dry-multiplier: the other --dry flags need it")
                : absl::OkStatus();
  }
  DrySettings& dry = settings.dry.emplace();
  dry.multiplier = *dry_multiplier_;
  if (dry_base_) dry.base = *dry_base_;
  if (dry_allowed_length_) dry.allowed_length = *dry_allowed_length_;
  if (dry_window_) dry.window_tokens = *dry_window_;
  if (!dry_breakers_.empty()) dry.sequence_breakers = dry_breakers_;
  return absl::OkStatus();
}

absl::Status FilterFlags::ApplyTokenLists(const ModelInfo& info, SamplingSettings& settings) const {
  const std::pair<const char*, const std::vector<TokenId>*> lists[] = {
      {"--allow-token: ", &allowed_tokens_}, {"--ban-token: ", &banned_tokens_}};
  for (const auto& [flag, tokens] : lists) {
    if (absl::Status status = CheckTokens(*tokens, info.vocabulary_size); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(flag, status.message()));
    }
  }
  settings.allowed_tokens = allowed_tokens_;
  settings.banned_tokens = banned_tokens_;
  settings.bad_words = bad_words_;
  for (const std::string& text : logit_biases_) {
    absl::StatusOr<TokenBias> bias = ParseBias(text, info.vocabulary_size);
    if (!bias.ok()) return bias.status();
    settings.logit_bias.push_back(*bias);
  }
  std::sort(settings.logit_bias.begin(), settings.logit_bias.end(),
            [](const TokenBias& a, const TokenBias& b) { return a.token < b.token; });
  return absl::OkStatus();
}

}  // namespace hocket
