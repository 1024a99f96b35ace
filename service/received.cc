#include "service/received.h"

#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/unknown_field_set.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <spdlog/spdlog.h>

#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "service/error_reasons.h"
#include "service/field_checks.h"

namespace hocket {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// What Protobuf said while this thread parsed a message; null while it parses none. That is the
// only way to learn which text is not UTF-8.
thread_local std::string* parse_complaint = nullptr;

void HearProtobuf(google::protobuf::LogLevel level, const char* file, int line,
                  const std::string& message) {
  if (parse_complaint != nullptr) {
    *parse_complaint = message.substr(0, message.find(". "));
  } else if (level >= google::protobuf::LOGLEVEL_WARNING) {
    spdlog::warn("protobuf: {} ({}:{})", message, file, line);
  }
}

bool Parse(grpc::ByteBuffer* buffer, Message* message, std::string* complaint) {
  static std::once_flag heard;
  std::call_once(heard, [] { google::protobuf::SetLogHandler(&HearProtobuf); });
  grpc::ProtoBufferReader reader(buffer);
  if (!reader.status().ok()) {
    *complaint = reader.status().error_message();
    return false;
  }
  parse_complaint = complaint;
  const bool parsed = message->ParseFromZeroCopyStream(&reader);
  parse_complaint = nullptr;
  return parsed;
}

// The path of the first unknown field, a number at its end; empty where there is none.
std::string UnknownField(const Message& message, const std::string& path) {
  const auto* reflection = message.GetReflection();
  const auto& unknown = reflection->GetUnknownFields(message);
  if (!unknown.empty()) return absl::StrCat(path, unknown.field(0).number());
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_map()) continue;
    const int count = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const Message& inner = field->is_repeated()
                                 ? reflection->GetRepeatedMessage(message, field, i)
                                 : reflection->GetMessage(message, field);
      const std::string place = field->is_repeated() ? absl::StrCat("[", i, "]") : "";
      std::string found = UnknownField(inner, absl::StrCat(path, field->name(), place, "."));
      if (!found.empty()) return found;
    }
  }
  return "";
}

}  // namespace

absl::Status RefuseUnknownFields(const Message& message) {
  const std::string path = UnknownField(message, "");
  if (path.empty()) return absl::OkStatus();
  return FieldError(path,
                    absl::StrCat("this server knows no field of this number in ",
                                 message.GetDescriptor()->full_name()),
                    ErrorReason::kUnknownField);
}

absl::Status Receive(grpc::ByteBuffer* buffer, Message* message) {
  std::string complaint;
  const bool parsed = Parse(buffer, message, &complaint);
  buffer->Clear();
  absl::Status status = parsed
                            ? RefuseUnknownFields(*message)
                            : ReasonError(ErrorReason::kMalformedMessage,
                                          absl::StrCat("the message is not a valid ",
                                                       message->GetDescriptor()->full_name(),
                                                       complaint.empty() ? "" : ": ", complaint));
  if (!status.ok()) message->Clear();
  return status;
}

}  // namespace hocket
