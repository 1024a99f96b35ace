#include "service/validate.h"

#include <optional>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "runtime/generation_limits.h"
#include "service/constraint.h"
#include "service/context_settings.h"
#include "service/field_checks.h"
#include "service/resume_point.h"
#include "service/sampling_settings.h"
#include "service/settings.h"

namespace hocket {
namespace {

absl::StatusOr<std::string> RequestId(const std::string& given) {
  if (const absl::Status status = CheckRequestId(given); !status.ok()) return status;
  return given.empty() ? MakeRequestId() : given;
}

// The tokenizer's and the template's complaints are about the client's input.
absl::Status AboutField(absl::string_view path, const absl::Status& status) {
  if (status.code() != absl::StatusCode::kInvalidArgument) return status;
  return FieldError(path, status.message());
}

std::shared_ptr<const std::vector<TokenId>> Share(std::vector<TokenId> tokens) {
  return std::make_shared<const std::vector<TokenId>>(std::move(tokens));
}

// All of a request but its prompt and what needs the tokenizer.
struct Settings {
  GenerationSpec spec;
  ChoiceSettings choices;
  SpeculationSettings speculation;
  ContextSettings context;
  SchedulingSettings scheduling;
};

absl::StatusOr<Settings> ReadAll(const v1::GenerateRequest& request, const ModelInfo& info,
                                 bool prompt_lookup) {
  absl::StatusOr<GenerationSpec> spec = ReadSettings(request, info);
  if (!spec.ok()) return spec.status();
  absl::StatusOr<ChoiceSettings> choices = ReadChoices(request);
  if (!choices.ok()) return choices.status();
  absl::Status differ = CheckChoicesDiffer(*choices, spec->sampling);
  if (!differ.ok()) return differ;
  absl::StatusOr<SpeculationSettings> speculation = ReadSpeculation(request, prompt_lookup);
  if (!speculation.ok()) return speculation.status();
  absl::StatusOr<ContextSettings> context = ReadContext(request.context(), info.max_context_tokens);
  if (!context.ok()) return context.status();
  absl::StatusOr<SchedulingSettings> scheduling = ReadScheduling(request.scheduling());
  if (!scheduling.ok()) return scheduling.status();
  return Settings{*std::move(spec), *choices, *speculation, *context, *std::move(scheduling)};
}

// Every setting as used.
v1::EffectiveSettings Echo(const v1::GenerateRequest& request, const Settings& settings,
                           const ValidRequest& valid) {
  v1::EffectiveSettings out = EffectiveSettingsOf(settings.spec);
  EchoChoices(settings.choices, &out);
  EchoSpeculation(settings.speculation, &out);
  EchoScheduling(settings.scheduling, &out);
  EchoContext(settings.context, static_cast<int32_t>(valid.prompt->size()), &out);
  if (settings.spec.grammar != nullptr) *out.mutable_constraint() = request.constraint();
  out.mutable_output()->set_token_ids(valid.detail.token_ids);
  out.mutable_output()->set_token_pieces(valid.detail.token_pieces);
  if (request.has_text()) {
    out.set_add_special_tokens(!request.has_add_special_tokens() || request.add_special_tokens());
  }
  return out;
}

}  // namespace

std::string MakeRequestId() {
  absl::BitGen random;
  return absl::StrCat("r-", absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16));
}

Validator::Validator(std::string model_name, ModelInfo info, const ModelText* text,
                     int64_t max_prompt_bytes, bool prompt_lookup)
    : model_name_(std::move(model_name)),
      info_(std::move(info)),
      text_(text),
      max_prompt_bytes_(max_prompt_bytes),
      prompt_lookup_(prompt_lookup) {}

absl::StatusOr<std::string> Validator::ChatPrompt(const v1::Chat& chat) const {
  if (chat.messages().empty()) return FieldError("chat.messages", "is empty");
  std::vector<ChatMessage> messages;
  int64_t bytes = 0;
  for (int i = 0; i < chat.messages_size(); ++i) {
    const v1::ChatMessage& message = chat.messages(i);
    if (message.role().empty()) {
      return FieldError(absl::StrCat("chat.messages[", i, "].role"), "is empty");
    }
    bytes += static_cast<int64_t>(message.role().size() + message.content().size());
    messages.push_back({message.role(), message.content()});
  }
  if (bytes > max_prompt_bytes_) {
    return FieldError(
        "chat",
        absl::StrCat(bytes, " bytes are more than this server's limit of ", max_prompt_bytes_),
        ErrorReason::kPromptTooLong);
  }
  const bool open = !chat.has_add_generation_prompt() || chat.add_generation_prompt();
  absl::StatusOr<std::string> prompt = text_->RenderChat(messages, open);
  if (absl::IsFailedPrecondition(prompt.status())) {
    return WithReason(prompt.status(), ErrorReason::kNoChatTemplate);
  }
  if (!prompt.ok()) return AboutField("chat", prompt.status());
  return prompt;
}

absl::StatusOr<std::vector<TokenId>> Validator::TextTokens(const std::string& text,
                                                           bool add_special_tokens) const {
  const int64_t bytes = static_cast<int64_t>(text.size());
  if (bytes > max_prompt_bytes_) {
    return FieldError(
        "text",
        absl::StrCat(bytes, " bytes are more than this server's limit of ", max_prompt_bytes_),
        ErrorReason::kPromptTooLong);
  }
  absl::StatusOr<Tokens> tokens = text_->Encode(text, add_special_tokens);
  if (!tokens.ok()) return AboutField("text", tokens.status());
  return tokens;
}

absl::StatusOr<std::vector<TokenId>> Validator::GivenTokens(const v1::TokenIds& tokens,
                                                            int64_t limit) const {
  // The number is checked before the ids, so that no work grows with a message's size.
  absl::Status status =
      CheckCount("tokens.ids", tokens.ids_size(), limit, ErrorReason::kPromptTooLong);
  status.Update(CheckTokens("tokens.ids", tokens.ids(), info_.vocabulary_size));
  if (!status.ok()) return status;
  return Tokens(tokens.ids().begin(), tokens.ids().end());
}

absl::StatusOr<std::vector<TokenId>> Validator::GeneratePrompt(
    const v1::GenerateRequest& request) const {
  using Input = v1::GenerateRequest::InputCase;
  if (request.has_add_special_tokens() && request.input_case() != Input::kText) {
    return FieldError("add_special_tokens", "only text input takes it");
  }
  switch (request.input_case()) {
    case Input::kText:
      return TextTokens(request.text(),
                        !request.has_add_special_tokens() || request.add_special_tokens());
    case Input::kTokens:
      return GivenTokens(request.tokens(), request.context().has_truncate_prompt_tokens()
                                               ? max_prompt_bytes_
                                               : info_.max_context_tokens);
    case Input::kChat: {
      absl::StatusOr<std::string> prompt = ChatPrompt(request.chat());
      if (!prompt.ok()) return prompt.status();
      return text_->Encode(*prompt, /*add_special_tokens=*/false);
    }
    case Input::INPUT_NOT_SET:
      break;
  }
  return FieldError("input", "exactly one of text, tokens and chat must be set");
}

absl::StatusOr<std::vector<TokenId>> Validator::ResumedTokens(const v1::GenerateRequest& request,
                                                              int32_t max_new_tokens) const {
  const auto& tokens = request.resume().generated_tokens();
  if (tokens.empty()) return Tokens();
  if (!request.sampling().has_seed()) {
    return FieldError("sampling.seed", "is not set, and resume needs the first run's");
  }
  if (tokens.size() >= max_new_tokens) {
    return FieldError(
        "resume.generated_tokens",
        absl::StrCat(tokens.size(), " tokens leave nothing of max_new_tokens ", max_new_tokens));
  }
  const absl::Status status = CheckTokens("resume.generated_tokens", tokens, info_.vocabulary_size);
  if (!status.ok()) return status;
  return Tokens(tokens.begin(), tokens.end());
}

absl::StatusOr<ValidRequest> Validator::Generate(const v1::GenerateRequest& request) const {
  absl::StatusOr<std::string> id = RequestId(request.request_id());
  if (!id.ok()) return id.status();
  absl::StatusOr<Settings> settings = ReadAll(request, info_, prompt_lookup_);
  if (!settings.ok()) return settings.status();
  GenerationSpec& spec = settings->spec;
  absl::Status encoded = EncodeBadWords(*text_, spec.sampling);
  if (!encoded.ok()) return encoded;
  absl::StatusOr<Tokens> prompt = GeneratePrompt(request);
  if (!prompt.ok()) return prompt.status();
  Truncate(settings->context, *prompt);
  const bool given = request.stopping().has_max_new_tokens();
  absl::StatusOr<int32_t> max_new_tokens =
      MaxNewTokens(given ? std::optional(request.stopping().max_new_tokens()) : std::nullopt,
                   kDefaultMaxNewTokens, settings->context, static_cast<int64_t>(prompt->size()),
                   info_.max_context_tokens);
  if (!max_new_tokens.ok()) return max_new_tokens.status();
  if (request.has_constraint() &&
      request.constraint().kind_case() == v1::Constraint::KIND_NOT_SET) {
    return FieldError("constraint",
                      "exactly one of json_schema, any_json, regex, choice and lark must be set");
  }
  absl::StatusOr<std::shared_ptr<const Grammar>> grammar =
      ReadConstraint(request.constraint(), *text_);
  if (!grammar.ok()) return grammar.status();
  spec.grammar = *std::move(grammar);
  // Where the context ends the answer, its limit is as given: the finish reason then says so.
  if (!given) spec.stopping.max_new_tokens = *max_new_tokens;
  absl::Status status =
      CheckInt("stopping.min_new_tokens", spec.stopping.min_new_tokens, 0, *max_new_tokens);
  if (!status.ok()) return status;

  status = CheckOffsets(request, settings->choices.n, *max_new_tokens, spec.sampling.temperature);
  if (!status.ok()) return status;
  absl::StatusOr<Tokens> resumed = ResumedTokens(request, *max_new_tokens);
  if (!resumed.ok()) return resumed.status();

  ValidRequest valid;
  valid.request_id = *std::move(id);
  valid.prompt = Share(*std::move(prompt));
  if (!resumed->empty()) valid.resumed = Share(*std::move(resumed));
  valid.max_new_tokens = *max_new_tokens;
  valid.shape = ShapeOf(settings->choices, settings->speculation,
                        settings->context.roll_kept_tokens(), *max_new_tokens);
  valid.scheduling = settings->scheduling;
  valid.detail.token_ids = !request.output().has_token_ids() || request.output().token_ids();
  valid.detail.token_pieces = request.output().token_pieces();
  valid.effective = Echo(request, *settings, valid);
  valid.shape.Apply(settings->choices, spec);
  valid.spec = std::make_shared<const GenerationSpec>(std::move(spec));
  return valid;
}

template <typename RequestProto>
absl::StatusOr<ValidRequest> Validator::WholePrompt(const RequestProto& request,
                                                    OutputSettings output) const {
  absl::StatusOr<std::string> id = RequestId(request.request_id());
  if (!id.ok()) return id.status();
  if (request.has_add_special_tokens() && !request.has_text()) {
    return FieldError("add_special_tokens", "only text input takes it");
  }
  absl::StatusOr<Tokens> prompt = FieldError("input", "exactly one of text and tokens must be set");
  if (request.has_text()) {
    prompt = TextTokens(request.text(),
                        !request.has_add_special_tokens() || request.add_special_tokens());
  } else if (request.has_tokens()) {
    prompt = GivenTokens(request.tokens(), info_.max_context_tokens);
  }
  if (!prompt.ok()) return prompt.status();
  absl::StatusOr<int32_t> fits = MaxNewTokens(
      /*given=*/0, 0, ContextSettings(), static_cast<int64_t>(prompt->size()),
      info_.max_context_tokens);
  if (!fits.ok()) return fits.status();

  GenerationSpec spec;
  spec.stopping.max_new_tokens = 0;
  spec.output = output;
  ValidRequest valid;
  valid.request_id = *std::move(id);
  valid.prompt = Share(*std::move(prompt));
  valid.spec = std::make_shared<const GenerationSpec>(std::move(spec));
  return valid;
}

absl::StatusOr<ValidRequest> Validator::Score(const v1::ScoreRequest& request) const {
  absl::Status status = CheckInt("top_logprobs", request.top_logprobs(), 0, kMaxTopLogprobs);
  if (!status.ok()) return status;
  OutputSettings output;
  output.prompt_logprobs = true;
  output.prompt_top_logprobs = request.top_logprobs();
  absl::StatusOr<ValidRequest> valid = WholePrompt(request, output);
  if (valid.ok()) valid->detail.token_pieces = request.token_pieces();
  return valid;
}

absl::StatusOr<ValidRequest> Validator::Embed(const v1::EmbedRequest& request) const {
  if (!v1::Pooling_IsValid(request.pooling())) {
    return FieldError("pooling", absl::StrCat(request.pooling(), " is not a known Pooling"));
  }
  OutputSettings output;
  output.embedding = request.pooling() == v1::POOLING_LAST_TOKEN ? EmbeddingPooling::kLastToken
                                                                 : EmbeddingPooling::kMean;
  output.normalize_embedding = !request.has_normalize() || request.normalize();
  return WholePrompt(request, output);
}

absl::StatusOr<v1::TokenizeResponse> Validator::Tokenize(const v1::TokenizeRequest& request) const {
  if (request.has_add_special_tokens() && !request.has_text()) {
    return FieldError("add_special_tokens", "only text input takes it");
  }
  v1::TokenizeResponse response;
  absl::StatusOr<Tokens> tokens = FieldError("input", "exactly one of text and chat must be set");
  if (request.has_text()) {
    tokens = TextTokens(request.text(),
                        !request.has_add_special_tokens() || request.add_special_tokens());
  } else if (request.has_chat()) {
    absl::StatusOr<std::string> prompt = ChatPrompt(request.chat());
    if (!prompt.ok()) return prompt.status();
    tokens = text_->Encode(*prompt, /*add_special_tokens=*/false);
    response.set_prompt(*std::move(prompt));
  }
  if (!tokens.ok()) return tokens.status();
  response.mutable_token_ids()->Add(tokens->begin(), tokens->end());
  if (request.token_pieces()) {
    for (TokenId token : *tokens) response.add_pieces(text_->IdToPiece(token).value_or(""));
  }
  return response;
}

absl::StatusOr<v1::DetokenizeResponse> Validator::Detokenize(
    const v1::DetokenizeRequest& request) const {
  absl::Status status = CheckCount("token_ids", request.token_ids_size(), max_prompt_bytes_);
  status.Update(CheckTokens("token_ids", request.token_ids(), info_.vocabulary_size));
  if (!status.ok()) return status;
  absl::StatusOr<std::string> text =
      text_->Decode(absl::Span<const TokenId>(request.token_ids().data(), request.token_ids_size()),
                    !request.special_tokens_in_text());
  if (!text.ok()) return AboutField("token_ids", text.status());
  v1::DetokenizeResponse response;
  response.set_text(*std::move(text));
  return response;
}

}  // namespace hocket
