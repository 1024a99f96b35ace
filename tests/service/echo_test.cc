// Whatever a request sets comes back as it was set, whichever setting it is.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "service/planned_fields.h"
#include "service/validate.h"
#include "small_model.h"

namespace hocket {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::util::MessageDifferencer;

// What a request sets that is no setting of the answer.
const std::set<std::string> kNoSettings = {"request_id", "model", "text",
                                           "tokens",     "chat",  "resume"};

// No value is its default.
constexpr char kDrawn[] = R"(
  text: 'hello there' add_special_tokens: false
  sampling { temperature: 0.5 top_k: 7 top_p: 0.75 seed: 9 min_p: 0.125 typical_p: 0.5
             top_n_sigma: 2 repetition_penalty: 1.5 presence_penalty: 0.5 frequency_penalty: -1
             penalty_window_tokens: 5
             dry { multiplier: 1 base: 2 allowed_length: 3 window_tokens: 4
                   sequence_breakers: [ 'a', 'b' ] }
             xtc { probability: 0.25 threshold: 0.25 }
             logit_bias { key: 3 value: 1.5 } allowed_tokens: [ 9, 3, 3 ] banned_tokens: 4
             bad_words: [ 'bad', 'worse' ] }
  stopping { max_new_tokens: 30 min_new_tokens: 2 stop_strings: 's' stop_tokens: [ 5, 5 ]
             ignore_eos: true include_stop_string: true stop_at_sentence_end: true
             time_limit { seconds: 3 nanos: 5 }
             repetition_detection { max_pattern_tokens: 5 min_repeats: 3 } }
  choices { n: 2 best_of: 3 }
  output { logprobs: true top_logprobs: 2 prompt_logprobs: true prompt_top_logprobs: 3
           logprobs_stage: LOGPROBS_STAGE_AFTER_FILTERING special_tokens_in_text: true
           token_ids: false token_pieces: true }
  context { policy: CONTEXT_POLICY_ROLL kept_tokens: 6 truncate_prompt_tokens: 4 }
  scheduling { priority: PRIORITY_CLASS_BATCH cache_salt: 'salt' }
  speculation { prompt_lookup: true max_draft_tokens: 3 })";

constexpr char kBeams[] = R"(
  text: 'hello there' sampling { seed: 9 }
  beam_search { width: 3 length_penalty: 0.5 early_stopping: EARLY_STOPPING_ALWAYS })";

v1::GenerateRequest Parse(const char* text) {
  v1::GenerateRequest request;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
  return request;
}

// Every field of `message` is there, and of the messages in it. A new one belongs in the requests
// above.
void ExpectComplete(const Message& message, const std::string& path) {
  const auto* reflection = message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = message.GetDescriptor()->field(i);
    const std::string inner = absl::StrCat(path, ".", field->name());
    if (field->is_repeated()) {
      EXPECT_GT(reflection->FieldSize(message, field), 0) << inner;
    } else {
      EXPECT_TRUE(reflection->HasField(message, field)) << inner;
      if (field->message_type() != nullptr &&
          field->message_type()->file()->package() == "hocket.v1") {
        ExpectComplete(reflection->GetMessage(message, field), inner);
      }
    }
  }
}

TEST(EchoTest, EverySettingOfARequestIsOneOfItsEffectiveSettings) {
  const std::set<std::string> planned(PlannedFields().begin(), PlannedFields().end());
  const auto* effective = v1::EffectiveSettings::descriptor();
  for (int i = 0; i < v1::GenerateRequest::descriptor()->field_count(); ++i) {
    const FieldDescriptor* field = v1::GenerateRequest::descriptor()->field(i);
    const FieldDescriptor* echo = effective->FindFieldByName(field->name());
    if (kNoSettings.contains(field->name()) || planned.contains(field->name())) {
      EXPECT_EQ(echo, nullptr) << field->name();
      continue;
    }
    ASSERT_NE(echo, nullptr) << field->name();
    EXPECT_EQ(echo->message_type(), field->message_type()) << field->name();
  }
}

TEST(EchoTest, WhatIsSetComesBackAsItWasSet) {
  const ByteText text;
  const Validator validator("small", SmallModelInfo(), &text, /*max_prompt_bytes=*/8000);
  std::set<std::string> compared;
  for (const char* source : {kDrawn, kBeams}) {
    const v1::GenerateRequest request = Parse(source);
    const absl::StatusOr<ValidRequest> valid = validator.Generate(request);
    ASSERT_TRUE(valid.ok()) << valid.status();
    const auto* reflection = request.GetReflection();
    for (int i = 0; i < request.GetDescriptor()->field_count(); ++i) {
      const FieldDescriptor* field = request.GetDescriptor()->field(i);
      if (field->message_type() == nullptr || !reflection->HasField(request, field) ||
          (source == kBeams && field->name() != "beam_search")) {
        continue;
      }
      const Message& set = reflection->GetMessage(request, field);
      ExpectComplete(set, field->name());
      const Message& told = valid->effective.GetReflection()->GetMessage(
          valid->effective, valid->effective.GetDescriptor()->FindFieldByName(field->name()));
      EXPECT_TRUE(MessageDifferencer::Equals(set, told)) << told.DebugString();
      compared.insert(field->name());
    }
    if (source == kDrawn) {
      EXPECT_FALSE(valid->effective.add_special_tokens());
    }
  }
  // What is left is a constraint, which this model has no grammar for; a real one is told back in
  // tests/e2e/test_conformance.py.
  EXPECT_THAT(compared, testing::ElementsAre("beam_search", "choices", "context", "output",
                                             "sampling", "scheduling", "speculation", "stopping"));
}

}  // namespace
}  // namespace hocket
