// Requests as the wire brings them, through the parser into validation over a real tokenizer, chat
// template and constraints. What is refused is refused in words that a status can carry; what
// passes obeys the runtime's own checks, and the settings that it echoes mean the same request
// again.
#include <google/protobuf/util/message_differencer.h>

#include <array>

#include "fixture_text.h"
#include "fuzz_input.h"
#include "google/rpc/status.pb.h"
#include "hocket/v1/hocket.pb.h"
#include "promise.h"
#include "service/error_reasons.h"
#include "service/received.h"
#include "service/status.h"
#include "service/validate.h"
#include "tests/runtime/text/fixtures.h"

namespace hocket::fuzz {
namespace {

using google::protobuf::util::MessageDifferencer;

constexpr int64_t kMaxPromptBytes = 4096;

const FixtureText& Text() {
  static const auto* const text = new FixtureText();
  return *text;
}

// Clients take so much of trailers by default; some is left for others.
constexpr size_t kMaxTrailerBytes = 7500;

void CheckRefusal(const absl::Status& status) {
  const std::string message(status.message());
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kFailedPrecondition:
      break;
    default:
      Promise(false, "a refusal says what of the request is wrong", status.ToString());
  }
  const ErrorReason reason = ReasonOrFallback(status);
  Promise(reason == ErrorReason::kMalformedMessage || message.find(": ") != std::string::npos,
          "a refusal names the field", message);
  const grpc::Status sent = ToGrpcStatus(status);
  Promise(testing::IsValidUtf8(sent.error_message()), "a refusal is text", sent.error_message());
  google::rpc::Status details;
  Promise(details.ParseFromString(sent.error_details()) && details.details_size() > 0,
          "a refusal has details");
  // What is not ASCII is three characters there, and what is binary has base 64.
  Promise(sent.error_message().size() * 3 + sent.error_details().size() * 4 / 3 < kMaxTrailerBytes,
          "a refusal fits the trailers", details.DebugString());
}

void CheckTokens(const std::vector<TokenId>& tokens, const ModelInfo& info) {
  for (const TokenId token : tokens) {
    Promise(token >= 0 && token < info.vocabulary_size, "tokens are of the model");
  }
}

// Of what every kind of request has in common.
void CheckValid(const ValidRequest& valid, const ModelInfo& info) {
  Promise(!valid.request_id.empty() && valid.request_id.size() <= kMaxRequestIdBytes,
          "a request has an id");
  Promise(valid.prompt != nullptr && !valid.prompt->empty(), "a prompt has tokens");
  CheckTokens(*valid.prompt, info);
  Promise(valid.prompt->size() <= static_cast<size_t>(info.max_context_tokens),
          "a prompt fits the context");
  Promise(valid.spec != nullptr, "a request has a spec");
  const absl::Status spec = valid.spec->Validate();
  Promise(spec.ok(), "what the service takes the runtime takes", spec.ToString());
}

// The request that an answer's own echo describes.
v1::GenerateRequest Again(const v1::GenerateRequest& request, const v1::EffectiveSettings& echo) {
  v1::GenerateRequest again;
  again.set_request_id(request.request_id());
  switch (request.input_case()) {
    case v1::GenerateRequest::kText:
      again.set_text(request.text());
      again.set_add_special_tokens(echo.add_special_tokens());
      break;
    case v1::GenerateRequest::kTokens:
      *again.mutable_tokens() = request.tokens();
      break;
    default:
      *again.mutable_chat() = request.chat();
  }
  *again.mutable_sampling() = echo.sampling();
  *again.mutable_stopping() = echo.stopping();
  *again.mutable_choices() = echo.choices();
  if (echo.has_beam_search()) *again.mutable_beam_search() = echo.beam_search();
  if (echo.has_constraint()) *again.mutable_constraint() = echo.constraint();
  *again.mutable_output() = echo.output();
  *again.mutable_context() = echo.context();
  *again.mutable_scheduling() = echo.scheduling();
  *again.mutable_speculation() = echo.speculation();
  if (request.has_resume()) *again.mutable_resume() = request.resume();
  return again;
}

void CheckGenerate(const v1::GenerateRequest& request, const Validator& validator) {
  const ModelInfo& info = validator.info();
  const absl::StatusOr<ValidRequest> valid = validator.Generate(request);
  if (!valid.ok()) return CheckRefusal(valid.status());
  CheckValid(*valid, info);
  const auto prompt_tokens = static_cast<int32_t>(valid->prompt->size());
  Promise(valid->max_new_tokens >= 0, "a number of tokens is not negative");
  Promise(valid->shape.roll_kept_tokens ||
              prompt_tokens + valid->max_new_tokens <= info.max_context_tokens,
          "an answer fits the context, or it rolls");
  const RequestShape& shape = valid->shape;
  Promise(shape.choices >= 1 && shape.sequences >= 1, "there is a choice and its sequence");
  // Where nothing is generated, one sequence is enough.
  Promise(shape.sequences >= shape.choices || valid->max_new_tokens == 0,
          "there are as many sequences as choices");
  if (valid->resumed != nullptr) {
    CheckTokens(*valid->resumed, info);
    Promise(static_cast<int32_t>(valid->resumed->size()) < valid->max_new_tokens,
            "something is left to generate");
  }

  std::string wire;
  v1::EffectiveSettings received;
  Promise(valid->effective.SerializeToString(&wire) && received.ParseFromString(wire),
          "the echo can be sent");
  const v1::GenerateRequest again = Again(request, received);
  const absl::StatusOr<ValidRequest> repeated = validator.Generate(again);
  Promise(repeated.ok(), "the echo is a request", repeated.status().ToString());
  MessageDifferencer difference;
  std::string report;
  difference.ReportDifferencesToString(&report);
  Promise(difference.Compare(received, repeated->effective), "the echo's echo is the same", report);
  Promise(*repeated->prompt == *valid->prompt, "the same prompt again");
  Promise(repeated->max_new_tokens == valid->max_new_tokens, "as many tokens again");
}

// Score and Embed.
void CheckWhole(const absl::StatusOr<ValidRequest>& valid, const ModelInfo& info) {
  if (!valid.ok()) return CheckRefusal(valid.status());
  CheckValid(*valid, info);
  Promise(valid->max_new_tokens == 0, "nothing is generated");
}

template <typename Response>
void CheckAnswer(const absl::StatusOr<Response>& response) {
  if (!response.ok()) return CheckRefusal(response.status());
  std::string wire;
  Response received;
  Promise(response->SerializeToString(&wire) && received.ParseFromString(wire),
          "an answer can be sent");
}

// What the service's own door takes of `bytes`, handed on.
template <typename Request, typename Use>
void Take(const std::string& bytes, const Use& use) {
  const grpc::Slice slice(bytes);
  grpc::ByteBuffer buffer(&slice, 1);
  Request request;
  const absl::Status status = Receive(&buffer, &request);
  if (!status.ok()) return CheckRefusal(status);
  use(request);
}

void Check(FuzzInput input) {
  static const auto* const validators = new std::array<const Validator, 2>{
      Validator("small", Text().Info(), &Text(), kMaxPromptBytes, /*prompt_lookup=*/false),
      Validator("small", Text().Info(), &Text(), kMaxPromptBytes, /*prompt_lookup=*/true)};
  const uint8_t kind = input.Byte();
  const Validator& validator = (*validators)[kind >> 7];
  const std::string bytes = input.Rest();
  switch (kind % 8) {
    case 0:
      return Take<v1::ScoreRequest>(
          bytes, [&](const auto& r) { CheckWhole(validator.Score(r), validator.info()); });
    case 1:
      return Take<v1::EmbedRequest>(
          bytes, [&](const auto& r) { CheckWhole(validator.Embed(r), validator.info()); });
    case 2:
      return Take<v1::TokenizeRequest>(bytes,
                                       [&](const auto& r) { CheckAnswer(validator.Tokenize(r)); });
    case 3:
      return Take<v1::DetokenizeRequest>(
          bytes, [&](const auto& r) { CheckAnswer(validator.Detokenize(r)); });
    default:
      return Take<v1::GenerateRequest>(bytes, [&](const auto& r) { CheckGenerate(r, validator); });
  }
}

}  // namespace
}  // namespace hocket::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hocket::fuzz::Check({data, size});
  return 0;
}
