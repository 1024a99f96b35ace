#include "runtime/text/chat_template.h"

#include <array>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "runtime/text/ffi/text_ffi.h"
#include "runtime/text/ffi_result.h"
#include "runtime/text/model_file.h"

namespace hocket {
namespace {

using Json = nlohmann::json;

constexpr char kTemplateFile[] = "chat_template.jinja";
constexpr char kConfigFile[] = "tokenizer_config.json";
constexpr char kSpecialTokensFile[] = "special_tokens_map.json";

// The named tokens that `transformers` hands to a template.
constexpr std::array<const char*, 7> kTokenNames = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

// An absent file is an empty object.
absl::StatusOr<Json> ReadJsonObject(const std::string& model_dir, const std::string& name) {
  absl::StatusOr<std::string> text = ReadModelFile(model_dir, name);
  if (absl::IsNotFound(text.status())) return Json::object();
  if (!text.ok()) return text.status();
  Json json = Json::parse(*text, /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(model_dir, "/", name, ": not a JSON object"));
  }
  return json;
}

// A token is written as a string or as an object with its "content".
void TakeTokens(const Json& source, Json& variables) {
  for (const char* name : kTokenNames) {
    const auto found = source.find(name);
    if (found == source.end() || variables.contains(name)) continue;
    if (found->is_string()) variables[name] = *found;
    if (!found->is_object()) continue;
    const auto content = found->find("content");
    if (content != found->end() && content->is_string()) variables[name] = *content;
  }
}

// config["chat_template"]: a string, or a list of {"name", "template"} of which "default" is taken.
absl::StatusOr<std::string> TemplateOf(const Json& config, const std::string& model_dir) {
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) {
    return absl::NotFoundError(absl::StrCat(model_dir, ": no chat template (neither ",
                                            kTemplateFile, " nor \"chat_template\" in ",
                                            kConfigFile, ")"));
  }
  if (found->is_string()) return found->get<std::string>();
  const absl::Status malformed = absl::InvalidArgumentError(
      absl::StrCat(model_dir, "/", kConfigFile,
                   ": \"chat_template\" is neither a string nor a list with a \"default\""));
  if (!found->is_array()) return malformed;
  for (const Json& named : *found) {
    if (!named.is_object()) return malformed;
    const auto name = named.find("name");
    const auto source = named.find("template");
    if (name == named.end() || *name != "default") continue;
    if (source != named.end() && source->is_string()) return source->get<std::string>();
  }
  return malformed;
}

}  // namespace

class ChatTemplate::Impl {
 public:
  explicit Impl(hocket_chat_template* handle) : handle_(handle) {}
  ~Impl() { hocket_chat_template_free(handle_); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  const hocket_chat_template* handle() const { return handle_; }

 private:
  hocket_chat_template* handle_;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::~ChatTemplate() = default;

absl::StatusOr<std::unique_ptr<ChatTemplate>> ChatTemplate::Load(const std::string& model_dir) {
  absl::StatusOr<Json> config = ReadJsonObject(model_dir, kConfigFile);
  if (!config.ok()) return config.status();
  absl::StatusOr<Json> special_tokens = ReadJsonObject(model_dir, kSpecialTokensFile);
  if (!special_tokens.ok()) return special_tokens.status();

  std::string file = kTemplateFile;
  absl::StatusOr<std::string> source = ReadModelFile(model_dir, file);
  if (absl::IsNotFound(source.status())) {
    file = kConfigFile;
    source = TemplateOf(*config, model_dir);
  }
  if (!source.ok()) return source.status();

  Json variables = Json::object();
  TakeTokens(*config, variables);
  TakeTokens(*special_tokens, variables);
  hocket_chat_template* handle = nullptr;
  ffi::Error error;
  const int32_t code = hocket_chat_template_new(ffi::View(*source), ffi::View(variables.dump()),
                                                &handle, error.out());
  absl::Status status = error.ToStatus(code, absl::StrCat(model_dir, "/", file));
  if (!status.ok()) return status;
  return std::unique_ptr<ChatTemplate>(new ChatTemplate(std::make_unique<Impl>(handle)));
}

absl::StatusOr<std::string> ChatTemplate::Render(const std::vector<ChatMessage>& messages,
                                                 bool add_generation_prompt) const {
  std::vector<hocket_chat_message> views;
  views.reserve(messages.size());
  for (const ChatMessage& message : messages) {
    views.push_back({ffi::View(message.role), ffi::View(message.content)});
  }
  ffi::Buffer text;
  ffi::Error error;
  const int32_t code = hocket_chat_template_render(impl_->handle(), views.data(), views.size(),
                                                   add_generation_prompt, text.out(), error.out());
  if (code != HOCKET_TEXT_OK) return error.ToStatus(code);
  return text.ToString();
}

}  // namespace hocket
