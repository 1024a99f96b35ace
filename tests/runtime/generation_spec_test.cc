#include "runtime/generation_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

namespace hocket {
namespace {

using testing::AllOf;
using testing::HasSubstr;

void ExpectRefused(const GenerationSpec& spec, const std::string& field, const std::string& value) {
  const absl::Status status = spec.Validate();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(field), HasSubstr(value)));
}

TEST(GenerationSpec, DefaultsAreValid) { EXPECT_TRUE(GenerationSpec().Validate().ok()); }

TEST(GenerationSpec, LimitsThemselvesAreValid) {
  GenerationSpec spec;
  spec.sampling = {.temperature = 1e30f, .top_k = 2147483647, .top_p = 1e-30f, .seed = ~0ull};
  spec.stopping.max_new_tokens = 0;
  spec.stopping.stop_strings.assign(64, std::string(1024, 'x'));
  spec.output.top_logprobs = spec.output.prompt_top_logprobs = 20;
  EXPECT_TRUE(spec.Validate().ok()) << spec.Validate();
  spec.sampling.temperature = 0;
  EXPECT_TRUE(spec.Validate().ok());
}

TEST(GenerationSpec, NamesTheSamplingFieldAndItsValue) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (float bad : {-0.5f, inf, nan}) {
    GenerationSpec spec;
    spec.sampling.temperature = bad;
    ExpectRefused(spec, "sampling.temperature", "at least 0");
  }
  for (float bad : {0.0f, -1.0f, 1.5f, nan}) {
    GenerationSpec spec;
    spec.sampling.top_p = bad;
    ExpectRefused(spec, "sampling.top_p", "(0, 1]");
  }
  GenerationSpec spec;
  spec.sampling.top_k = -3;
  ExpectRefused(spec, "sampling.top_k", "-3");
}

TEST(GenerationSpec, NamesTheFilterOrPenaltyAndItsRange) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto refused = [](const std::function<void(SamplingSettings&)>& change,
                          const std::string& field, const std::string& range) {
    GenerationSpec spec;
    change(spec.sampling);
    ExpectRefused(spec, field, range);
  };
  refused([](SamplingSettings& s) { s.min_p = 1.5f; }, "sampling.min_p", "1.5 is outside [0, 1]");
  refused([](SamplingSettings& s) { s.typical_p = 0; }, "sampling.typical_p", "(0, 1]");
  refused([](SamplingSettings& s) { s.top_n_sigma = 101; }, "sampling.top_n_sigma", "[0, 100]");
  refused([](SamplingSettings& s) { s.repetition_penalty = 0; }, "sampling.repetition_penalty",
          "(0, 100]");
  refused([&](SamplingSettings& s) { s.presence_penalty = nan; }, "sampling.presence_penalty",
          "[-100, 100]");
  refused([](SamplingSettings& s) { s.frequency_penalty = -101; }, "sampling.frequency_penalty",
          "-101");
  refused([](SamplingSettings& s) { s.penalty_window_tokens = -1; },
          "sampling.penalty_window_tokens", "-1");
  refused(
      [](SamplingSettings& s) {
        s.xtc = XtcSettings{2, 0.1f};
      },
      "sampling.xtc.probability", "[0, 1]");
  refused(
      [](SamplingSettings& s) {
        s.xtc = XtcSettings{1, 0.6f};
      },
      "sampling.xtc.threshold", "(0, 0.5]");
  refused([](SamplingSettings& s) { s.dry = DrySettings{.base = 9}; }, "sampling.dry.base",
          "[1, 8]");
  refused([](SamplingSettings& s) { s.dry = DrySettings{.sequence_breakers = {""}}; },
          "sampling.dry.sequence_breakers[0]", "empty");
  refused(
      [](SamplingSettings& s) {
        s.logit_bias = {{7, 101}};
      },
      "sampling.logit_bias[7]", "[-100, 100]");
  refused([](SamplingSettings& s) { s.bad_words = {"a\xff"}; }, "sampling.bad_words[0]", "byte 1");
}

TEST(GenerationSpec, NamesTheStoppingFieldAndItsValue) {
  GenerationSpec spec;
  spec.stopping.max_new_tokens = -1;
  ExpectRefused(spec, "stopping.max_new_tokens", "-1");
  spec = {};
  spec.stopping.time_limit = absl::ZeroDuration();
  ExpectRefused(spec, "stopping.time_limit", "not more than 0");
  spec = {};
  spec.stopping.repetition = RepetitionSettings{.min_repeats = 1};
  ExpectRefused(spec, "stopping.repetition_detection.min_repeats", "[2, 1024]");
  spec = {};
  spec.stopping.min_new_tokens = 300;
  ExpectRefused(spec, "stopping.min_new_tokens", "300");
  spec = {};
  spec.stopping.stop_tokens = {3, -7};
  ExpectRefused(spec, "stopping.stop_tokens[1]", "-7");
  spec = {};
  spec.stopping.stop_tokens.assign(1025, 3);
  ExpectRefused(spec, "stopping.stop_tokens", "1024");
  spec = {};
  spec.stopping.stop_strings.assign(65, "x");
  ExpectRefused(spec, "stopping.stop_strings", "64");
  spec.stopping.stop_strings = {"fine", ""};
  ExpectRefused(spec, "stopping.stop_strings[1]", "empty");
  spec.stopping.stop_strings = {std::string(1025, 'x')};
  ExpectRefused(spec, "stopping.stop_strings[0]", "1024");
}

TEST(GenerationSpec, StopStringsMustBeUtf8) {
  for (const char* good : {"é", "€", "😀", "\u0800\ud7ff\ue000", "\U0010ffff"}) {
    GenerationSpec spec;
    spec.stopping.stop_strings = {good};
    EXPECT_TRUE(spec.Validate().ok()) << good;
  }
  for (const char* bad : {"a\x80", "a\xc3", "a\xc0\xaf", "a\xe0\x80\x80", "a\xed\xa0\x80",
                          "a\xf4\x90\x80\x80", "a\xff", "a\xe2\x82"}) {
    GenerationSpec spec;
    spec.stopping.stop_strings = {bad};
    ExpectRefused(spec, "stopping.stop_strings[0]", "byte 1");
  }
}

TEST(GenerationSpec, NamesTheOutputFieldAndItsRange) {
  GenerationSpec spec;
  spec.output.top_logprobs = 21;
  ExpectRefused(spec, "output.top_logprobs", "21 is outside [0, 20]");
  spec = {};
  spec.output.prompt_top_logprobs = -1;
  ExpectRefused(spec, "output.prompt_top_logprobs", "-1 is outside [0, 20]");
}

}  // namespace
}  // namespace hocket
