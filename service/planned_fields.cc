#include "service/planned_fields.h"

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "service/field_checks.h"

namespace hocket {
namespace {

constexpr absl::string_view kPlannedFields[] = {
    "adapter",
};

bool IsPresent(const google::protobuf::Message& root, absl::string_view path) {
  const google::protobuf::Message* message = &root;
  const std::vector<std::string> parts = absl::StrSplit(path, '.');
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto* field = message->GetDescriptor()->FindFieldByName(parts[i]);
    const auto* reflection = message->GetReflection();
    if (field->is_repeated()) return reflection->FieldSize(*message, field) > 0;
    if (!reflection->HasField(*message, field)) return false;
    if (i + 1 < parts.size()) message = &reflection->GetMessage(*message, field);
  }
  return true;
}

}  // namespace

absl::Span<const absl::string_view> PlannedFields() { return kPlannedFields; }

absl::Status RefusePlannedFields(const v1::GenerateRequest& request) {
  for (absl::string_view path : kPlannedFields) {
    if (IsPresent(request, path)) return NotImplemented(path);
  }
  return absl::OkStatus();
}

}  // namespace hocket
