#include "service/validate.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "small_model.h"

namespace hocket {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

struct Refusal {
  std::string request;
  absl::StatusCode code;
  std::string message_start;
};

class ValidateTest : public testing::Test {
 protected:
  absl::StatusOr<ValidRequest> Generate(const std::string& request) {
    return validator_.Generate(Parse<v1::GenerateRequest>(request));
  }

  void ExpectRefused(const std::vector<Refusal>& table) {
    for (const Refusal& row : table) {
      const absl::Status status = Generate(row.request).status();
      EXPECT_EQ(status.code(), row.code) << row.request << "\n" << status;
      EXPECT_THAT(std::string(status.message()), StartsWith(row.message_start)) << row.request;
    }
  }

  ByteText text_;
  Validator validator_{"small", SmallModelInfo(), &text_, /*max_prompt_bytes=*/8000};
};

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kPlanned = absl::StatusCode::kUnimplemented;

TEST_F(ValidateTest, RefusalsNameTheFieldAndTheRange) {
  const std::vector<Refusal> table = {
      {"", kInvalid, "input: exactly one of text, tokens and chat"},
      {"text: '' add_special_tokens: false", kInvalid, "input: gives no tokens"},
      {"tokens { }", kInvalid, "input: gives no tokens"},
      {"tokens { ids: [5, 256] }", kInvalid, "tokens.ids[1]: 256 is out of range [0, 255]"},
      {"tokens { ids: -1 }", kInvalid, "tokens.ids[0]: -1 is out of range"},
      {"tokens { ids: 5 } add_special_tokens: true", kInvalid, "add_special_tokens: only text"},
      {"chat { }", kInvalid, "chat.messages: is empty"},
      {"chat { messages { content: 'x' } }", kInvalid, "chat.messages[0].role: is empty"},
      {"chat { messages { role: 'nobody' } }", kInvalid, "chat: nobody may not speak"},
      {"text: 'x' stopping { max_new_tokens: -1 }", kInvalid, "stopping.max_new_tokens: -1"},
      {"text: 'x' stopping { max_new_tokens: 4095 }", kInvalid,
       "stopping.max_new_tokens: 2 prompt tokens and 4095 new ones are more than the context of "
       "4096"},
      {"text: 'x' stopping { min_new_tokens: -1 }", kInvalid, "stopping.min_new_tokens: -1"},
      {"text: 'x' stopping { min_new_tokens: 5 max_new_tokens: 4 }", kInvalid,
       "stopping.min_new_tokens: 5 is out of range [0, 4]"},
      {"text: 'x' stopping { stop_strings: '' }", kInvalid, "stopping.stop_strings[0]: is empty"},
      {"text: 'x' stopping { stop_tokens: 300 }", kInvalid, "stopping.stop_tokens[0]: 300"},
      {"text: 'x' choices { n: 0 }", kInvalid, "choices.n: 0 is out of range [1, 64]"},
      {"text: 'x' output { top_logprobs: 21 }", kInvalid,
       "output.top_logprobs: 21 is out of range [0, 20]"},
      {"text: 'x' output { logprobs: false top_logprobs: 1 }", kInvalid,
       "output.top_logprobs: 1 contradicts output.logprobs: false"},
      {"text: 'x' output { prompt_logprobs: false prompt_top_logprobs: 1 }", kInvalid,
       "output.prompt_top_logprobs: 1 contradicts"},
      {"text: 'x' stopping { time_limit { seconds: 0 } }", kInvalid,
       "stopping.time_limit: 0 s and 0 ns is out of range (0, "},
      {"text: 'x' stopping { time_limit { seconds: 1 nanos: -1 } }", kInvalid,
       "stopping.time_limit: 1 s and -1 ns"},
      {"text: 'x' stopping { repetition_detection { min_repeats: 1 } }", kInvalid,
       "stopping.repetition_detection.min_repeats: 1 is out of range [2, 1024]"},
      {"text: 'x' stopping { repetition_detection { max_pattern_tokens: 0 } }", kInvalid,
       "stopping.repetition_detection.max_pattern_tokens: 0 is out of range [1, 1024]"},
      {"text: 'x' context { truncate_prompt_tokens: 0 }", kInvalid,
       "context.truncate_prompt_tokens: 0 is out of range [1, 4096]"},
      {"text: 'x' constraint { }", kInvalid, "constraint: exactly one of json_schema"},
      {"text: 'x' request_id: 'a\\tb'", kInvalid, "request_id: has a control character at byte 1"},
      {"text: 'x' constraint { json_schema: '' }", kInvalid, "constraint.json_schema: is empty"},
      {"text: 'x' constraint { json_schema: '{}' }", kInvalid,
       "constraint.json_schema: no grammar of kind 0: {}"},
      {"text: 'x' constraint { any_json {} }", kInvalid,
       "constraint.any_json: no grammar of kind 0"},
      {"text: 'x' constraint { regex: 'a+' }", kInvalid,
       "constraint.regex: no grammar of kind 1: a+"},
      {"text: 'x' constraint { choice { } }", kInvalid, "constraint.choice.choices: is empty"},
      {"text: 'x' constraint { choice { choices: ['a', ''] } }", kInvalid,
       "constraint.choice.choices[1]: is empty"},
      {"text: 'x' constraint { choice { choices: ['a\"', 'b'] } }", kInvalid,
       "constraint.choice: no grammar of kind 2: [\"a\\\"\",\"b\"]"},
      {"text: 'x' constraint { lark: 'start: x' }", kInvalid,
       "constraint.lark: no grammar of kind 3: start: x"},
      {"text: 'x' adapter: 'mine'", kPlanned, "adapter: not implemented yet"},
  };
  ExpectRefused(table);
}

TEST_F(ValidateTest, RefusalsOfSamplingSettingsNameTheFieldAndTheRange) {
  const std::vector<Refusal> table = {
      {"text: 'x' sampling { temperature: -0.1 }", kInvalid,
       "sampling.temperature: -0.1 is out of range [0, inf)"},
      {"text: 'x' sampling { temperature: nan }", kInvalid, "sampling.temperature: nan"},
      {"text: 'x' sampling { temperature: inf }", kInvalid, "sampling.temperature: inf"},
      {"text: 'x' sampling { top_k: -1 }", kInvalid, "sampling.top_k: -1 is out of range [0, 21"},
      {"text: 'x' sampling { top_p: 0 }", kInvalid, "sampling.top_p: 0 is out of range (0, 1]"},
      {"text: 'x' sampling { top_p: 1.5 }", kInvalid, "sampling.top_p: 1.5"},
      {"text: 'x' sampling { top_p: nan }", kInvalid, "sampling.top_p: nan"},
      {"text: 'x' sampling { min_p: 1.1 }", kInvalid, "sampling.min_p: 1.1 is out of range [0, 1]"},
      {"text: 'x' sampling { typical_p: 0 }", kInvalid,
       "sampling.typical_p: 0 is out of range (0, 1]"},
      {"text: 'x' sampling { top_n_sigma: -1 }", kInvalid,
       "sampling.top_n_sigma: -1 is out of range [0, 100]"},
      {"text: 'x' sampling { repetition_penalty: 0 }", kInvalid,
       "sampling.repetition_penalty: 0 is out of range (0, 100]"},
      {"text: 'x' sampling { presence_penalty: nan }", kInvalid,
       "sampling.presence_penalty: nan is out of range [-100, 100]"},
      {"text: 'x' sampling { frequency_penalty: 101 }", kInvalid,
       "sampling.frequency_penalty: 101 is out of range [-100, 100]"},
      {"text: 'x' sampling { penalty_window_tokens: 4097 }", kInvalid,
       "sampling.penalty_window_tokens: 4097 is out of range [0, 4096]"},
      {"text: 'x' sampling { xtc { threshold: 0.6 } }", kInvalid,
       "sampling.xtc.threshold: 0.6 is out of range (0, 0.5]"},
      {"text: 'x' sampling { xtc { probability: 2 } }", kInvalid,
       "sampling.xtc.probability: 2 is out of range [0, 1]"},
      {"text: 'x' sampling { dry { base: 0.5 } }", kInvalid,
       "sampling.dry.base: 0.5 is out of range [1, 8]"},
      {"text: 'x' sampling { dry { multiplier: -1 } }", kInvalid,
       "sampling.dry.multiplier: -1 is out of range [0, 100]"},
      {"text: 'x' sampling { dry { allowed_length: 0 } }", kInvalid,
       "sampling.dry.allowed_length: 0 is out of range [1, 1024]"},
      {"text: 'x' sampling { dry { window_tokens: -1 } }", kInvalid,
       "sampling.dry.window_tokens: -1 is out of range [0, 4096]"},
      {"text: 'x' sampling { dry { sequence_breakers: '' } }", kInvalid,
       "sampling.dry.sequence_breakers[0]: is empty"},
      {"text: 'x' sampling { logit_bias { key: 256 value: 1 } }", kInvalid,
       "sampling.logit_bias: 256 is out of range [0, 255]"},
      {"text: 'x' sampling { logit_bias { key: 7 value: 101 } }", kInvalid,
       "sampling.logit_bias[7]: 101 is out of range [-100, 100]"},
      {"text: 'x' sampling { allowed_tokens: [3, -1] }", kInvalid,
       "sampling.allowed_tokens[1]: -1 is out of range [0, 255]"},
      {"text: 'x' sampling { allowed_tokens: 3 banned_tokens: 3 }", kInvalid,
       "sampling.allowed_tokens: all of them are in sampling.banned_tokens too"},
      {"text: 'x' sampling { banned_tokens: 256 }", kInvalid, "sampling.banned_tokens[0]: 256"},
      {"text: 'x' sampling { bad_words: ['a', ''] }", kInvalid, "sampling.bad_words[1]: is empty"},
  };
  ExpectRefused(table);
}

TEST_F(ValidateTest, EverySamplingSettingIsReadAndEchoed) {
  const std::string settings =
      "temperature: 0.5 top_k: 7 top_p: 0.75 seed: 9 min_p: 0.25 typical_p: 0.5 top_n_sigma: 2 "
      "repetition_penalty: 1.5 presence_penalty: 0.5 frequency_penalty: -0.5 "
      "penalty_window_tokens: 64 dry { multiplier: 1 base: 2 allowed_length: 3 window_tokens: 99 "
      "sequence_breakers: '.' } xtc { probability: 0.25 threshold: 0.125 } "
      "logit_bias { key: 5 value: -2 } logit_bias { key: 2 value: 4 } allowed_tokens: [1, 2, 5] "
      "banned_tokens: 1 bad_words: 'no'";
  const absl::StatusOr<ValidRequest> valid = Generate("text: 'x' sampling { " + settings + " }");
  ASSERT_TRUE(valid.ok()) << valid.status();
  const SamplingSettings& sampling = valid->spec->sampling;
  EXPECT_EQ(sampling.min_p, 0.25f);
  EXPECT_EQ(sampling.penalty_window_tokens, 64);
  EXPECT_EQ(sampling.dry, (DrySettings{1, 2, 3, 99, {"."}}));
  EXPECT_EQ(sampling.xtc, (XtcSettings{0.25f, 0.125f}));
  EXPECT_THAT(sampling.logit_bias, ElementsAre(TokenBias{2, 4}, TokenBias{5, -2}));
  EXPECT_THAT(sampling.bad_word_tokens,
              ElementsAre(ElementsAre(' ', 'n', 'o'), ElementsAre('n', 'o')));
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(
      valid->effective.sampling(), Parse<v1::SamplingSettings>(settings)))
      << valid->effective.sampling().DebugString();
}

TEST_F(ValidateTest, WhatIsLeftOutOfDryAndXtcGetsItsDefault) {
  const absl::StatusOr<ValidRequest> valid = Generate("text: 'x' sampling { dry { } xtc { } }");
  ASSERT_TRUE(valid.ok()) << valid.status();
  const v1::SamplingSettings& sampling = valid->effective.sampling();
  EXPECT_EQ(sampling.dry().multiplier(), 0.8f);
  EXPECT_EQ(sampling.dry().base(), 1.75f);
  EXPECT_EQ(sampling.dry().allowed_length(), 2);
  EXPECT_THAT(sampling.dry().sequence_breakers(), ElementsAre("\n", ":", "\"", "*"));
  EXPECT_EQ(sampling.xtc().probability(), 0.5f);
  EXPECT_EQ(sampling.xtc().threshold(), 0.1f);
}

TEST_F(ValidateTest, TheOtherEndsAreReadAndEchoed) {
  const std::string settings =
      "stop_at_sentence_end: true time_limit { seconds: 3 nanos: 5 } "
      "repetition_detection { max_pattern_tokens: 8 }";
  const absl::StatusOr<ValidRequest> valid = Generate("text: 'x' stopping { " + settings + " }");
  ASSERT_TRUE(valid.ok()) << valid.status();
  const StoppingSettings& stopping = valid->spec->stopping;
  EXPECT_TRUE(stopping.stop_at_sentence_end);
  EXPECT_EQ(stopping.time_limit, absl::Seconds(3) + absl::Nanoseconds(5));
  EXPECT_EQ(stopping.repetition, (RepetitionSettings{8, 4}));
  const v1::StoppingSettings& echo = valid->effective.stopping();
  EXPECT_TRUE(echo.stop_at_sentence_end());
  EXPECT_EQ(echo.time_limit().nanos(), 5);
  EXPECT_EQ(echo.repetition_detection().min_repeats(), 4);
}

TEST_F(ValidateTest, ALongPromptMayBeCutToItsEnd) {
  const absl::StatusOr<ValidRequest> valid =
      Generate("text: 'abcdef' context { truncate_prompt_tokens: 2 }");
  ASSERT_TRUE(valid.ok()) << valid.status();
  EXPECT_THAT(*valid->prompt, ElementsAre('e', 'f'));
  EXPECT_EQ(valid->effective.context().truncate_prompt_tokens(), 2);
  EXPECT_THAT(*Generate("text: 'ab' context { truncate_prompt_tokens: 9 }")->prompt,
              ElementsAre(kBeginOfText, 'a', 'b'));
  const std::string longer = "text: '" + std::string(5000, 'x') + "'";
  EXPECT_FALSE(Generate(longer).ok());
  EXPECT_TRUE(Generate(longer + " context { truncate_prompt_tokens: 4000 }").ok());
}

TEST_F(ValidateTest, WithThePolicyStopTheContextMayEndTheAnswer) {
  const std::string request = "text: 'abc' stopping { max_new_tokens: 9000 }";
  EXPECT_FALSE(Generate(request).ok());
  const absl::StatusOr<ValidRequest> valid =
      Generate(request + " context { policy: CONTEXT_POLICY_STOP }");
  ASSERT_TRUE(valid.ok()) << valid.status();
  EXPECT_EQ(valid->max_new_tokens, 4092);
  EXPECT_EQ(valid->spec->stopping.max_new_tokens, 9000);
  EXPECT_EQ(valid->effective.context().policy(), v1::CONTEXT_POLICY_STOP);
}

TEST_F(ValidateTest, UnknownEnumValuesAreRefused) {
  auto request = Parse<v1::GenerateRequest>("text: 'x'");
  request.mutable_output()->set_logprobs_stage(static_cast<v1::LogprobsStage>(9));
  EXPECT_THAT(std::string(validator_.Generate(request).status().message()),
              StartsWith("output.logprobs_stage: 9 is not a known"));
  request.clear_output();
  request.mutable_context()->set_policy(static_cast<v1::ContextPolicy>(9));
  EXPECT_THAT(std::string(validator_.Generate(request).status().message()),
              StartsWith("context.policy: 9 is not a known"));
  request.clear_context();
  request.mutable_scheduling()->set_priority(static_cast<v1::PriorityClass>(9));
  EXPECT_THAT(std::string(validator_.Generate(request).status().message()),
              StartsWith("scheduling.priority: 9 is not a known"));
  v1::EmbedRequest embed = Parse<v1::EmbedRequest>("text: 'x'");
  embed.set_pooling(static_cast<v1::Pooling>(9));
  EXPECT_THAT(std::string(validator_.Embed(embed).status().message()),
              StartsWith("pooling: 9 is not a known"));
}

TEST_F(ValidateTest, LimitsHoldForSizes) {
  EXPECT_THAT(
      std::string(Generate("text: 'x' scheduling { cache_salt: '" + std::string(257, 's') + "' }")
                      .status()
                      .message()),
      StartsWith("scheduling.cache_salt: 257 bytes are more than the limit of 256"));
  const std::string long_text(8001, 'x');
  EXPECT_THAT(std::string(Generate("text: '" + long_text + "'").status().message()),
              StartsWith("text: 8001 bytes are more than this server's limit of 8000"));
  EXPECT_THAT(
      std::string(Generate("chat { messages { role: 'user' content: '" + long_text + "' } }")
                      .status()
                      .message()),
      StartsWith("chat: 8005 bytes are more"));
  auto request = Parse<v1::GenerateRequest>("text: 'x'");
  for (int i = 0; i < 65; ++i) request.mutable_stopping()->add_stop_strings("stop");
  EXPECT_THAT(std::string(validator_.Generate(request).status().message()),
              StartsWith("stopping.stop_strings: 65 entries are more than the limit of 64"));
  request.mutable_stopping()->clear_stop_strings();
  request.mutable_stopping()->add_stop_strings(std::string(1025, 's'));
  EXPECT_THAT(std::string(validator_.Generate(request).status().message()),
              StartsWith("stopping.stop_strings[0]: 1025 bytes"));
  EXPECT_THAT(
      std::string(
          Generate("text: 'x' request_id: '" + std::string(129, 'i') + "'").status().message()),
      StartsWith("request_id: 129 bytes"));
}

TEST_F(ValidateTest, APromptThatFillsTheContextIsRefusedUnlessNothingNewIsAskedFor) {
  const std::string full = "text: '" + std::string(4095, 'x') + "'";
  EXPECT_THAT(std::string(Generate(full).status().message()),
              StartsWith("input: 4096 prompt tokens and 1 new ones are more than the context"));
  EXPECT_EQ(Generate(full + " stopping { max_new_tokens: 0 }").status(), absl::OkStatus());
}

TEST_F(ValidateTest, MaxNewTokensDefaultsToWhatIsLeft) {
  EXPECT_EQ(Generate("text: 'x'")->max_new_tokens, Validator::kDefaultMaxNewTokens);
  EXPECT_EQ(Generate("text: '" + std::string(4000, 'x') + "'")->max_new_tokens, 95);
}

TEST_F(ValidateTest, AnExplicitZeroIsNotUnset) {
  const absl::StatusOr<ValidRequest> valid = Generate(
      "text: 'x' sampling { temperature: 0 top_k: 0 seed: 0 } "
      "stopping { max_new_tokens: 0 }");
  ASSERT_TRUE(valid.ok()) << valid.status();
  EXPECT_EQ(valid->spec->sampling.temperature, 0);
  EXPECT_EQ(valid->spec->sampling.top_k, 0);
  EXPECT_EQ(valid->spec->sampling.seed, 0u);
  EXPECT_EQ(valid->max_new_tokens, 0);
}

TEST_F(ValidateTest, UnsetSettingsComeFromTheModel) {
  const absl::StatusOr<ValidRequest> valid = Generate("text: 'x'");
  ASSERT_TRUE(valid.ok()) << valid.status();
  EXPECT_FLOAT_EQ(valid->spec->sampling.temperature, 0.7f);
  EXPECT_EQ(valid->spec->sampling.top_k, 40);
  EXPECT_NE(valid->spec->sampling.seed, Generate("text: 'x'")->spec->sampling.seed);
}

TEST_F(ValidateTest, TextAndChatAndTokensBecomePrompts) {
  EXPECT_THAT(*Generate("text: 'hi'")->prompt, ElementsAre(kBeginOfText, 'h', 'i'));
  EXPECT_THAT(*Generate("text: 'hi' add_special_tokens: false")->prompt, ElementsAre('h', 'i'));
  EXPECT_THAT(*Generate("tokens { ids: [7, 8] }")->prompt, ElementsAre(7, 8));
  const auto chat =
      Generate("chat { messages { role: 'a' content: 'b' } add_generation_prompt: false }");
  EXPECT_THAT(*chat->prompt, ElementsAre('a', ':', ' ', 'b', '\n'));
}

TEST_F(ValidateTest, AChatNeedsATemplate) {
  text_.chats = false;
  EXPECT_TRUE(absl::IsFailedPrecondition(
      Generate("chat { messages { role: 'user' content: 'x' } }").status()));
}

TEST_F(ValidateTest, EffectiveSettingsSentBackGiveTheSameRequest) {
  const absl::StatusOr<ValidRequest> first = Generate(
      "text: 'hi' stopping { stop_strings: ['.', '!'] stop_tokens: 9 ignore_eos: true } "
      "output { top_logprobs: 3 token_ids: false } scheduling { cache_salt: 'mine' priority: "
      "PRIORITY_CLASS_BATCH }");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(first->effective.output().logprobs());

  auto again = Parse<v1::GenerateRequest>("text: 'hi'");
  again.set_add_special_tokens(first->effective.add_special_tokens());
  *again.mutable_sampling() = first->effective.sampling();
  *again.mutable_stopping() = first->effective.stopping();
  *again.mutable_choices() = first->effective.choices();
  *again.mutable_output() = first->effective.output();
  *again.mutable_context() = first->effective.context();
  *again.mutable_scheduling() = first->effective.scheduling();
  *again.mutable_speculation() = first->effective.speculation();
  const absl::StatusOr<ValidRequest> second = validator_.Generate(again);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->effective.SerializeAsString(), first->effective.SerializeAsString());
  EXPECT_EQ(second->spec->sampling.seed, first->spec->sampling.seed);
  EXPECT_EQ(second->spec->stopping.stop_strings, first->spec->stopping.stop_strings);
  EXPECT_EQ(second->detail.token_ids, false);
  EXPECT_EQ(second->scheduling.cache_salt, "mine");
  EXPECT_EQ(second->scheduling.priority, PriorityClass::kBatch);
}

TEST_F(ValidateTest, ResumeNeedsTheSeedAndLeavesSomethingToGenerate) {
  const auto request = [](const std::string& sampling) {
    return "text: 'x' stopping { max_new_tokens: 3 } resume { generated_tokens: [ 97, 98 ] } " +
           sampling;
  };
  EXPECT_THAT(std::string(Generate(request("")).status().message()),
              StartsWith("sampling.seed: is not set"));
  const absl::StatusOr<ValidRequest> valid = Generate(request("sampling { seed: 1 }"));
  ASSERT_TRUE(valid.ok()) << valid.status();
  EXPECT_EQ(*valid->resumed, (std::vector<TokenId>{97, 98}));
  EXPECT_EQ(Generate("text: 'x' resume { }")->resumed, nullptr);
  EXPECT_THAT(std::string(Generate("text: 'x' sampling { seed: 1 } stopping { max_new_tokens: 1 } "
                                   "resume { generated_tokens: 97 }")
                              .status()
                              .message()),
              StartsWith("resume.generated_tokens: 1 tokens leave nothing of max_new_tokens 1"));
  EXPECT_THAT(
      std::string(Generate("text: 'x' sampling { seed: 1 } resume { generated_tokens: 256 }")
                      .status()
                      .message()),
      StartsWith("resume.generated_tokens[0]: 256"));
}

TEST_F(ValidateTest, TenantsMeetOnlyInASaltThatTheyName) {
  const SchedulingSettings own;
  SchedulingSettings named;
  named.cache_salt = "shared";
  EXPECT_EQ(CacheSaltOf(named, "a"), CacheSaltOf(named, "b"));
  EXPECT_NE(CacheSaltOf(own, "a"), CacheSaltOf(own, "b"));
  EXPECT_NE(CacheSaltOf(own, "shared"), CacheSaltOf(named, "a"));
}

TEST_F(ValidateTest, ARequestIdIsMadeWhenNoneIsGiven) {
  EXPECT_EQ(Generate("text: 'x' request_id: 'mine'")->request_id, "mine");
  const std::string made = Generate("text: 'x'")->request_id;
  EXPECT_THAT(made, StartsWith("r-"));
  EXPECT_NE(made, Generate("text: 'x'")->request_id);
}

TEST_F(ValidateTest, ScoreAsksForThePromptAndNothingNew) {
  const auto valid = validator_.Score(Parse<v1::ScoreRequest>("text: 'hi' top_logprobs: 2"));
  ASSERT_TRUE(valid.ok()) << valid.status();
  EXPECT_EQ(valid->max_new_tokens, 0);
  EXPECT_TRUE(valid->spec->output.prompt_logprobs);
  EXPECT_EQ(valid->spec->output.prompt_top_logprobs, 2);
  EXPECT_THAT(std::string(validator_.Score(Parse<v1::ScoreRequest>("")).status().message()),
              StartsWith("input: exactly one of text and tokens"));
  EXPECT_THAT(std::string(validator_.Score(Parse<v1::ScoreRequest>("text: 'x' top_logprobs: 21"))
                              .status()
                              .message()),
              StartsWith("top_logprobs: 21 is out of range [0, 20]"));
}

TEST_F(ValidateTest, EmbedPoolsAsAsked) {
  const auto mean = validator_.Embed(Parse<v1::EmbedRequest>("text: 'hi'"));
  EXPECT_EQ(mean->spec->output.embedding, EmbeddingPooling::kMean);
  EXPECT_TRUE(mean->spec->output.normalize_embedding);
  const auto last = validator_.Embed(
      Parse<v1::EmbedRequest>("text: 'hi' pooling: POOLING_LAST_TOKEN normalize: false"));
  EXPECT_EQ(last->spec->output.embedding, EmbeddingPooling::kLastToken);
  EXPECT_FALSE(last->spec->output.normalize_embedding);
}

TEST_F(ValidateTest, TokenizeAndDetokenizeAreInverse) {
  const auto tokens =
      validator_.Tokenize(Parse<v1::TokenizeRequest>("text: 'hi' token_pieces: true"));
  ASSERT_TRUE(tokens.ok());
  EXPECT_THAT(tokens->token_ids(), ElementsAre(kBeginOfText, 'h', 'i'));
  EXPECT_THAT(tokens->pieces(), ElementsAre("<1>", "<104>", "<105>"));
  v1::DetokenizeRequest back;
  *back.mutable_token_ids() = tokens->token_ids();
  EXPECT_EQ(validator_.Detokenize(back)->text(), "hi");
  back.add_token_ids(256);
  EXPECT_THAT(std::string(validator_.Detokenize(back).status().message()),
              HasSubstr("token_ids[3]: 256 is out of range"));
}

}  // namespace
}  // namespace hocket
