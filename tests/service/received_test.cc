#include "service/received.h"

#include <gmock/gmock.h>
#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <string>

#include "hocket/v1/hocket.pb.h"
#include "service/error_reasons.h"

namespace hocket {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Pair;

absl::Status ReceiveBytes(const std::string& bytes, v1::GenerateRequest* request) {
  const grpc::Slice slice(bytes);
  grpc::ByteBuffer buffer(&slice, 1);
  return Receive(&buffer, request);
}

v1::GenerateRequest FullRequest() {
  v1::GenerateRequest request;
  request.mutable_chat()->add_messages()->set_content("x");
  request.mutable_chat()->add_messages()->set_content("y");
  request.mutable_sampling()->mutable_dry()->set_base(2);
  (*request.mutable_sampling()->mutable_logit_bias())[3] = 1;
  request.mutable_stopping()->mutable_time_limit()->set_seconds(1);
  return request;
}

TEST(ReceivedTest, AGoodMessageComesWhole) {
  v1::GenerateRequest received;
  EXPECT_EQ(ReceiveBytes(FullRequest().SerializeAsString(), &received), absl::OkStatus());
  EXPECT_EQ(received.SerializeAsString(), FullRequest().SerializeAsString());
  EXPECT_EQ(ReceiveBytes("", &received), absl::OkStatus());
}

TEST(ReceivedTest, WhatIsNoMessageIsRefusedAndLeavesNothing) {
  const std::string good = FullRequest().SerializeAsString();
  for (const std::string& bytes : {std::string("\xFF"), good.substr(0, good.size() - 1),
                                   std::string("\x1A\x7F"), std::string("\x1C")}) {
    v1::GenerateRequest received;
    const absl::Status status = ReceiveBytes(bytes, &received);
    EXPECT_EQ(ReasonOf(status), ErrorReason::kMalformedMessage);
    EXPECT_THAT(std::string(status.message()), HasSubstr("hocket.v1.GenerateRequest"));
    EXPECT_EQ(received.ByteSizeLong(), 0u);
  }
}

TEST(ReceivedTest, ATextThatIsNotUtf8IsNamed) {
  v1::GenerateRequest received;
  const absl::Status status = ReceiveBytes("\x1A\x02\xC3\x28", &received);
  EXPECT_EQ(ReasonOf(status), ErrorReason::kMalformedMessage);
  EXPECT_THAT(std::string(status.message()), HasSubstr("'hocket.v1.GenerateRequest.text'"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("UTF-8"));
}

TEST(ReceivedTest, AnUnknownFieldIsNamedByItsMessageAndNumber) {
  const auto unknown = [](google::protobuf::Message* message) {
    message->GetReflection()->MutableUnknownFields(message)->AddVarint(77, 1);
  };
  const auto expect = [](const v1::GenerateRequest& request, const std::string& field) {
    v1::GenerateRequest received;
    const absl::Status status = ReceiveBytes(request.SerializeAsString(), &received);
    EXPECT_EQ(ReasonOf(status), ErrorReason::kUnknownField) << field;
    EXPECT_THAT(MetadataOf(status), Contains(Pair("field", field)));
  };
  v1::GenerateRequest request = FullRequest();
  unknown(&request);
  expect(request, "77");
  request = FullRequest();
  unknown(request.mutable_chat()->mutable_messages(1));
  expect(request, "chat.messages[1].77");
  request = FullRequest();
  unknown(request.mutable_sampling()->mutable_dry());
  expect(request, "sampling.dry.77");
  request = FullRequest();
  unknown(request.mutable_stopping()->mutable_time_limit());
  expect(request, "stopping.time_limit.77");
  // Present, and with nothing known in it.
  request.Clear();
  unknown(request.mutable_context());
  expect(request, "context.77");
}

TEST(ReceivedTest, AFieldOfAnotherTypeIsAnUnknownOne) {
  v1::GenerateRequest received;
  // Field 3, `text`, as a number.
  EXPECT_EQ(ReasonOf(ReceiveBytes("\x18\x05", &received)), ErrorReason::kUnknownField);
}

// As Protobuf has it: the last of a oneof counts, and of a field that comes twice.
TEST(ReceivedTest, TheLastOfAOneofCounts) {
  v1::GenerateRequest first, second, received;
  first.set_text("text");
  second.mutable_tokens()->add_ids(5);
  ASSERT_TRUE(ReceiveBytes(first.SerializeAsString() + second.SerializeAsString(), &received).ok());
  EXPECT_EQ(received.input_case(), v1::GenerateRequest::kTokens);
}

}  // namespace
}  // namespace hocket
