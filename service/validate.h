// Turns what a client sent into a ValidRequest, the only thing that reaches the engine, or says
// which field is wrong. Renders chats and tokenizes, so it runs on a text thread. Immutable; any
// thread may call it.
#ifndef HOCKET_SERVICE_VALIDATE_H_
#define HOCKET_SERVICE_VALIDATE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hocket/v1/hocket.pb.h"
#include "runtime/generation_spec.h"
#include "runtime/model_runtime.h"
#include "service/choice_settings.h"
#include "service/field_checks.h"
#include "service/model_text.h"
#include "service/scheduling_settings.h"

namespace hocket {

// How the answer is shown; the engine does not care.
struct AnswerDetail {
  bool token_ids = true;
  bool token_pieces = false;
};

struct ValidRequest {
  std::string request_id;  // Made here when the client gave none.
  std::shared_ptr<const std::vector<TokenId>> prompt;
  std::shared_ptr<const std::vector<TokenId>> resumed;  // Null: from the prompt on.
  std::shared_ptr<const GenerationSpec> spec;
  int32_t max_new_tokens = 0;
  RequestShape shape;
  SchedulingSettings scheduling;
  AnswerDetail detail;
  v1::EffectiveSettings effective;  // Only of a GenerateRequest.
};

// For a request whose client gave none.
std::string MakeRequestId();

class Validator {
 public:
  static constexpr int32_t kDefaultMaxNewTokens = 256;

  // `text` must outlive it. `prompt_lookup`: whether requests that do not say are speculated on.
  Validator(std::string model_name, ModelInfo info, const ModelText* text, int64_t max_prompt_bytes,
            bool prompt_lookup = false);

  // Of requests for this model; whom they name is not looked at. INVALID_ARGUMENT or UNIMPLEMENTED
  // naming the field; FAILED_PRECONDITION for a chat without a template.
  absl::StatusOr<ValidRequest> Generate(const v1::GenerateRequest& request) const;
  absl::StatusOr<ValidRequest> Score(const v1::ScoreRequest& request) const;
  absl::StatusOr<ValidRequest> Embed(const v1::EmbedRequest& request) const;
  absl::StatusOr<v1::TokenizeResponse> Tokenize(const v1::TokenizeRequest& request) const;
  absl::StatusOr<v1::DetokenizeResponse> Detokenize(const v1::DetokenizeRequest& request) const;

  const std::string& model_name() const { return model_name_; }
  const ModelInfo& info() const { return info_; }

 private:
  using Tokens = std::vector<TokenId>;

  absl::StatusOr<std::string> ChatPrompt(const v1::Chat& chat) const;
  absl::StatusOr<Tokens> TextTokens(const std::string& text, bool add_special_tokens) const;
  absl::StatusOr<Tokens> GivenTokens(const v1::TokenIds& tokens, int64_t limit) const;
  absl::StatusOr<Tokens> GeneratePrompt(const v1::GenerateRequest& request) const;
  // Of Score and Embed, which take text or tokens.
  template <typename RequestProto>
  absl::StatusOr<ValidRequest> WholePrompt(const RequestProto& request,
                                           OutputSettings output) const;
  // What the answer goes on from; empty without `resume`.
  absl::StatusOr<Tokens> ResumedTokens(const v1::GenerateRequest& request,
                                       int32_t max_new_tokens) const;

  const std::string model_name_;
  const ModelInfo info_;
  const ModelText* const text_;
  const int64_t max_prompt_bytes_;
  const bool prompt_lookup_;
};

}  // namespace hocket

#endif  // HOCKET_SERVICE_VALIDATE_H_
