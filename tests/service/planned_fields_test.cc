#include "service/planned_fields.h"

#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "service/choice_settings.h"
#include "service/context_settings.h"
#include "service/scheduling_settings.h"
#include "service/settings.h"
#include "small_model.h"

namespace hocket {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Makes the field at `path` present, with its type's zero.
void MakePresent(Message* message, const std::string& path) {
  const std::vector<std::string> parts = absl::StrSplit(path, '.');
  for (size_t i = 0; i < parts.size(); ++i) {
    const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(parts[i]);
    ASSERT_NE(field, nullptr) << path;
    const auto* reflection = message->GetReflection();
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      message = field->is_repeated() ? reflection->AddMessage(message, field)
                                     : reflection->MutableMessage(message, field);
    } else if (field->is_repeated()) {
      field->cpp_type() == FieldDescriptor::CPPTYPE_STRING
          ? reflection->AddString(message, field, "")
          : reflection->AddInt32(message, field, 0);
    } else {
      switch (field->cpp_type()) {
        case FieldDescriptor::CPPTYPE_FLOAT:
          reflection->SetFloat(message, field, 0);
          break;
        case FieldDescriptor::CPPTYPE_INT32:
          reflection->SetInt32(message, field, 0);
          break;
        case FieldDescriptor::CPPTYPE_BOOL:
          reflection->SetBool(message, field, false);
          break;
        case FieldDescriptor::CPPTYPE_ENUM:
          reflection->SetEnumValue(message, field, 0);
          break;
        case FieldDescriptor::CPPTYPE_STRING:
          reflection->SetString(message, field, "");
          break;
        default:
          FAIL() << "unexpected type of " << path;
      }
    }
  }
}

TEST(PlannedFieldsTest, EachIsRefusedByNameEvenWithItsTypesZero) {
  for (absl::string_view path : PlannedFields()) {
    v1::GenerateRequest request;
    MakePresent(&request, std::string(path));
    const absl::Status status = RefusePlannedFields(request);
    EXPECT_TRUE(absl::IsUnimplemented(status)) << path;
    EXPECT_EQ(status.message(), absl::StrCat(path, ": not implemented yet"));
  }
}

// Nothing can be set that is neither refused nor told back.
TEST(PlannedFieldsTest, EverySettingIsEitherPlannedOrEchoed) {
  GenerationSpec spec;
  spec.sampling.dry.emplace();
  spec.sampling.xtc.emplace();
  spec.sampling.logit_bias = {{3, 1.5f}};
  spec.sampling.allowed_tokens = {3};
  spec.sampling.banned_tokens = {4};
  spec.sampling.bad_words = {"bad"};
  spec.stopping.stop_strings = {"stop"};
  spec.stopping.stop_tokens = {1};
  spec.stopping.time_limit = absl::Seconds(1);
  spec.stopping.repetition.emplace();
  v1::EffectiveSettings effective = EffectiveSettingsOf(spec);
  EchoScheduling(SchedulingSettings{}, &effective);
  EchoChoices({.n = 1, .best_of = 1, .beam = BeamSettings()}, &effective);
  EchoSpeculation(SpeculationSettings{}, &effective);
  EchoContext(ContextSettings{}, /*prompt_tokens=*/1, &effective);
  effective.mutable_output()->set_token_ids(true);
  effective.mutable_output()->set_token_pieces(true);

  const std::set<std::string> planned(PlannedFields().begin(), PlannedFields().end());
  const auto* request = v1::GenerateRequest::descriptor();
  for (int i = 0; i < request->field_count(); ++i) {
    const FieldDescriptor* group = request->field(i);
    const std::set<std::string> not_settings = {"request_id", "model", "text",
                                                "tokens",     "chat",  "add_special_tokens",
                                                "constraint",  // Of which there is one kind.
                                                "resume"};
    if (not_settings.contains(group->name()) || planned.contains(group->name())) continue;
    const FieldDescriptor* echoed = effective.GetDescriptor()->FindFieldByName(group->name());
    ASSERT_NE(echoed, nullptr) << group->name();
    const Message& values = effective.GetReflection()->GetMessage(effective, echoed);
    for (int j = 0; j < group->message_type()->field_count(); ++j) {
      const FieldDescriptor* field = group->message_type()->field(j);
      const bool is_echoed = field->is_repeated()
                                 ? values.GetReflection()->FieldSize(values, field) > 0
                                 : values.GetReflection()->HasField(values, field);
      const std::string path = absl::StrCat(group->name(), ".", field->name());
      EXPECT_NE(is_echoed, planned.contains(path)) << path;
    }
  }
}

}  // namespace
}  // namespace hocket
