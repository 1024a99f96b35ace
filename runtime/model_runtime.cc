#include "runtime/model_runtime.h"

#include <bit>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "runtime/generation_config.h"
#include "runtime/model/decoder.h"
#include "runtime/model_executor.h"

namespace hocket {
namespace {

absl::Status CheckFolder(const std::string& folder) {
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    return absl::NotFoundError(
        absl::StrCat(folder,
                     " is not a folder; give one with config.json, *.safetensors and "
                     "tokenizer.json"));
  }
  if (!std::filesystem::exists(folder + "/config.json", error)) {
    return absl::NotFoundError(
        absl::StrCat(folder,
                     " has no config.json; a Hugging Face model folder holds config.json, "
                     "*.safetensors and tokenizer.json"));
  }
  return absl::OkStatus();
}

class LoadedModel final : public ModelRuntime {
 public:
  LoadedModel(std::unique_ptr<Decoder> decoder, std::unique_ptr<Tokenizer> tokenizer,
              std::unique_ptr<ChatTemplate> chat_template, ModelInfo info)
      : info_(std::move(info)),
        decoder_(std::move(decoder)),
        tokenizer_(std::move(tokenizer)),
        chat_template_(std::move(chat_template)),
        executor_(decoder_.get(), tokenizer_.get(), info_) {}

  const ModelInfo& info() const override { return info_; }
  const Tokenizer& tokenizer() const override { return *tokenizer_; }
  const ChatTemplate* chat_template() const override { return chat_template_.get(); }
  Executor& executor() override { return executor_; }

 private:
  const ModelInfo info_;
  const std::unique_ptr<Decoder> decoder_;
  const std::unique_ptr<Tokenizer> tokenizer_;
  const std::unique_ptr<ChatTemplate> chat_template_;
  ModelExecutor executor_;
};

absl::Status CheckVocabulary(const RuntimeSettings& settings, const Tokenizer& tokenizer,
                             const ModelInfo& info) {
  if (tokenizer.vocabulary_size() <= info.vocabulary_size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(settings.model_dir, "/tokenizer.json has ", tokenizer.vocabulary_size(),
                   " tokens, more than the ", info.vocabulary_size, " of the model's head"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ModelRuntime>> ModelRuntime::Load(const RuntimeSettings& settings) {
  absl::Status status = settings.Validate();
  status.Update(CheckFolder(settings.model_dir));
  if (!status.ok()) return status;

  // Small files first: what is wrong with them is said before the weights are read.
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::Load(settings.model_dir);
  if (!tokenizer.ok()) return tokenizer.status();
  absl::StatusOr<std::unique_ptr<ChatTemplate>> chat_template =
      ChatTemplate::Load(settings.model_dir);
  if (!chat_template.ok() && !absl::IsNotFound(chat_template.status())) {
    return chat_template.status();
  }
  absl::StatusOr<std::unique_ptr<Decoder>> decoder = Decoder::Load(settings);
  if (!decoder.ok()) return decoder.status();

  ModelInfo info = (*decoder)->info();
  status = CheckVocabulary(settings, **tokenizer, info);
  if (!status.ok()) return status;
  absl::StatusOr<GenerationConfig> config =
      ReadGenerationConfig(settings.model_dir, info.vocabulary_size);
  if (!config.ok()) return config.status();
  info.end_of_text_tokens = std::move(config->end_of_text_tokens);
  info.default_sampling = config->default_sampling;
  return std::make_unique<LoadedModel>(*std::move(decoder), *std::move(tokenizer),
                                       chat_template.ok() ? *std::move(chat_template) : nullptr,
                                       std::move(info));
}

}  // namespace hocket
